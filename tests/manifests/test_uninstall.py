"""Whoever installed by `kubectl apply -k` uninstalls by label, and keeps what is theirs."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from modelecology.reconcile.finalizer import FINALIZER
from testbed.cluster import Cluster
from tests.charts.installed import Release

from .kustomize import MANIFESTS


@pytest.fixture
def desk(kinds: Cluster) -> Iterator[Release]:
    """A namespace whose name is short enough for a certificate of its service accounts."""
    found = Release(kinds, kinds.create_namespace("desk"))
    yield found
    found.let_go()
    kinds.delete_namespace(found.namespace)


def test_an_uninstall_leaves_what_the_users_have_and_nothing_holds_it(desk: Release) -> None:
    overlay = str(MANIFESTS / "overlays/namespaced")
    desk.kubectl("apply", "--server-side", "-k", overlay)
    desk.apply_quickstart()
    made = desk.users_objects()
    desk.hold("specialists", "dates")
    desk.hold("populations", "desk", "example.com/backup")

    desk.kubectl("delete", "-k", overlay, "--selector=app.kubernetes.io/instance=modelecology")
    assert desk.users_objects() == made
    release = str(MANIFESTS / "release-finalizers/namespaced")
    desk.kubectl("apply", "-k", release)
    desk.run_hook()
    desk.kubectl("wait", "--for=condition=Complete", "--timeout=10s", "job/modelecology-release")
    desk.kubectl("delete", "-k", release)

    assert desk.users_objects() == made
    text = desk.kubectl("get", "specialists,populations", "--output=json")
    held = {o["metadata"]["name"]: o["metadata"].get("finalizers", []) for o in json.loads(text)["items"]}
    assert not any(FINALIZER in finalizers for finalizers in held.values())
    assert held["desk"] == ["example.com/backup"]
    desk.kubectl("delete", "specialist", "dates", "--timeout=30s")
    left = "deployments,jobs,roles,rolebindings,networkpolicies,services,serviceaccounts"
    assert {o["metadata"]["name"] for o in desk.items(left)} == {"default"}
