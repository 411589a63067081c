"""The kinds on a real API server, asked over its official client."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from kubernetes import client, config

from testbed.cluster import Cluster

from .manifests import API_GROUP, PLURALS, ROOT, Manifest


class Refused(Exception):
    """The API server said no; `args` are the HTTP status and the message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Server:
    """Creates and changes objects of our kinds in one namespace, with strict validation of fields."""

    objects: Any
    namespace: str

    def create(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """Create an object; returns what the server made of it. Raises Refused."""
        options = {"field_validation": "Strict"} | ({"dry_run": "All"} if dry_run else {})
        return self._ask("create_namespaced_custom_object", manifest["kind"], body=manifest, **options)

    def patch(self, kind: str, name: str, patch: Manifest, *, subresource: str = "") -> Manifest:
        """Merge a patch into an object, or into its status. Raises Refused."""
        verb = "patch_namespaced_custom_object" + (f"_{subresource}" if subresource else "")
        return self._ask(verb, kind, name=name, body=patch)

    def _ask(self, verb: str, kind: str, **arguments: Any) -> Manifest:
        try:
            answer: Manifest = getattr(self.objects, verb)(
                API_GROUP, "v1alpha1", self.namespace, PLURALS[kind], **arguments
            )
        except client.ApiException as error:
            raise Refused(error.status, json.loads(error.body or "{}").get("message", error.reason)) from None
        return answer


@pytest.fixture(scope="session")
def kinds(control_plane: Cluster) -> Cluster:
    """A control plane that knows our kinds."""
    control_plane.install_crds(ROOT / "crds")
    return control_plane


@pytest.fixture(scope="session")
def objects(kinds: Cluster) -> Any:
    """The official client for custom objects."""
    connection = config.new_client_from_config(str(kinds.kubeconfig))  # type: ignore[no-untyped-call]  # untyped there
    return client.CustomObjectsApi(connection)


@pytest.fixture(scope="session")
def judge(objects: Any) -> Server:
    """The server, for objects that are judged and not kept."""
    return Server(objects, "default")


@pytest.fixture
def server(objects: Any, namespace: str) -> Server:
    """The server, with a namespace of the test's own."""
    return Server(objects, namespace)
