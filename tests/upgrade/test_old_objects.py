"""A real API server takes today's CRDs in place of a release's, and every object goes on as it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from testbed.cluster import Cluster
from testbed.controlplane import ControlPlane

from .releases import PLACE, Object, Release, releases

ROOT = Path(__file__).parents[2]
PLURALS = "evaluationsuites,populations,specialists,decisions"


@dataclass(frozen=True, slots=True)
class Upgraded:
    """A control plane on which the objects were made under a release's CRDs, and which has today's now."""

    cluster: Cluster
    namespace: str
    manifests: list[Object]  # as people, and for decisions the operator, applied them
    statuses: list[Object]
    before: dict[str, Object]  # as they were read under the release's CRDs

    def read(self) -> dict[str, Object]:
        """Read all objects, by kind and name."""
        return _read(self.cluster, self.namespace)


@pytest.fixture(scope="module", params=releases(), ids=lambda release: release.tag)
def upgraded(request: pytest.FixtureRequest) -> Iterator[Upgraded]:
    """A control plane of its own: CRDs are the whole cluster's, and these are old ones for a while."""
    release: Release = request.param
    objects = [*release.read_objects(Path(PLACE)), *release.read_decisions()]
    manifests = [_as_applied(o) for o in objects]
    statuses = [o for o in objects if "status" in o]
    with ControlPlane(controllers=False) as cluster:
        cluster.install_crds(release.crds)
        namespace = cluster.create_namespace("upgrade")
        _apply(cluster, namespace, manifests)
        for status in statuses:
            _set_status(cluster, namespace, status, status["status"])
        before = _read(cluster, namespace)
        cluster.install_crds(ROOT / "crds")
        # Which schema a running server holds is its own affair for a moment; a new one has today's.
        cluster.restart_apiserver()
        yield Upgraded(cluster, namespace, manifests, statuses, before)


def test_every_object_reads_as_before(upgraded: Upgraded) -> None:
    after = upgraded.read()
    assert after.keys() == upgraded.before.keys()
    for name, old in upgraded.before.items():
        new = after[name]
        assert new["metadata"] == old["metadata"], name
        assert new.get("status") == old.get("status"), name
        assert _kept(old["spec"], new["spec"]), name
        if old["kind"] == "Decision":
            assert new["spec"] == old["spec"], name


def test_the_same_manifests_are_applied_again_and_change_nothing(upgraded: Upgraded) -> None:
    read = upgraded.read()
    _apply(upgraded.cluster, upgraded.namespace, upgraded.manifests)
    after = upgraded.read()
    for name, old in upgraded.before.items():
        # What a newer schema fills in may be stored now; that is no change of the spec.
        assert after[name]["metadata"]["generation"] == old["metadata"]["generation"], name
        assert after[name]["spec"] == read[name]["spec"], name
        assert after[name].get("status") == old.get("status"), name


def test_every_status_can_be_written(upgraded: Upgraded) -> None:
    for body in upgraded.statuses:
        _set_status(upgraded.cluster, upgraded.namespace, body, {"observedGeneration": 7})
    after = upgraded.read()
    for body in upgraded.statuses:
        name = f"{body['kind']}/{body['metadata']['name']}"
        assert after[name]["status"] == upgraded.before[name]["status"] | {"observedGeneration": 7}


def test_what_a_release_took_is_taken_anew(upgraded: Upgraded) -> None:
    """An update lets unchanged faults pass; only what is created is judged whole."""
    namespace = upgraded.cluster.create_namespace("anew")
    _apply(upgraded.cluster, namespace, upgraded.manifests)
    for body in upgraded.statuses:
        _set_status(upgraded.cluster, namespace, body, body["status"])
    assert _read(upgraded.cluster, namespace).keys() == upgraded.before.keys()


def _as_applied(body: Object) -> Object:
    """Take from an object what somebody wrote, and not what the server or a status added."""
    kept = ("name", "labels", "annotations", "finalizers", "ownerReferences")
    metadata = {k: v for k, v in body["metadata"].items() if k in kept}
    return {k: body[k] for k in ("apiVersion", "kind", "spec")} | {"metadata": metadata}


def _apply(cluster: Cluster, namespace: str, manifests: list[Object]) -> None:
    bundle = {"apiVersion": "v1", "kind": "List", "items": manifests}
    options = ("--server-side", "--validate=strict", "--field-manager=somebody", f"--namespace={namespace}")
    cluster.kubectl("apply", *options, "--filename=-", stdin=json.dumps(bundle))


def _set_status(cluster: Cluster, namespace: str, body: Object, status: Any) -> None:
    patch = json.dumps({"status": status})
    named = (body["kind"].lower(), body["metadata"]["name"], f"--namespace={namespace}")
    cluster.kubectl("patch", *named, "--subresource=status", "--type=merge", f"--patch={patch}")


def _read(cluster: Cluster, namespace: str) -> dict[str, Object]:
    found = json.loads(cluster.kubectl("get", PLURALS, f"--namespace={namespace}", "--output=json"))
    return {f"{o['kind']}/{o['metadata']['name']}": o for o in found["items"]}


def _kept(old: Any, new: Any) -> bool:
    """Say whether all of a value is still there; a newer schema may fill in what is new."""
    if isinstance(old, dict) and isinstance(new, dict):
        return all(name in new and _kept(value, new[name]) for name, value in old.items())
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(_kept, old, new))
    return bool(old == new)
