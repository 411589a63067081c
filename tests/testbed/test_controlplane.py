"""The control plane as a test uses it: a real API server with RBAC, controllers and faults on demand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from testbed import Cluster, ControlPlane
from testbed.errors import AlreadyRunning, KubectlFailed, NotRunning
from testbed.pki import KeyPair
from testbed.probe import Probe
from testbed.waiting import holds_within

_GADGETS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.testbed.modelecology.io}
spec:
  group: testbed.modelecology.io
  names: {kind: Gadget, plural: gadgets}
  scope: Namespaced
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
"""


def _exists(cluster: Cluster, kind: str, name: str, namespace: str) -> bool:
    return bool(cluster.kubectl("get", kind, name, "-n", namespace, "--ignore-not-found", "-o", "name"))


def _pair(folder: Path, name: str) -> KeyPair:
    return KeyPair(folder / f"{name}.crt", folder / f"{name}.key")


def _child_of(owner: str, api_version: str, kind: str, name: str) -> str:
    parent = json.loads(owner)
    reference = {key: parent[key] for key in ("apiVersion", "kind")} | {
        key: parent["metadata"][key] for key in ("name", "uid")
    }
    metadata = {"name": name, "ownerReferences": [reference]}
    return json.dumps({"apiVersion": api_version, "kind": kind, "metadata": metadata})


def test_the_pinned_api_server_answers(control_plane: Cluster) -> None:
    answer = json.loads(control_plane.kubectl("version", "-o", "json"))
    assert answer["serverVersion"]["gitVersion"].startswith("v1.")
    assert control_plane.endpoint.startswith("https://127.0.0.1:")


def test_an_unknown_user_is_refused(control_plane: Cluster, namespace: str) -> None:
    nobody = control_plane.kubeconfig_for("nobody")
    with pytest.raises(KubectlFailed) as failed:
        control_plane.kubectl("get", "configmaps", "-n", namespace, kubeconfig=nobody)
    assert "Forbidden" in failed.value.stderr
    assert 'User "nobody"' in failed.value.stderr


def test_a_group_may_do_what_its_role_grants_and_nothing_else(control_plane: Cluster, namespace: str) -> None:
    control_plane.kubectl(
        "create", "rolebinding", "readers", "--clusterrole=view", "--group=readers", "-n", namespace
    )
    reader = control_plane.kubeconfig_for("system:serviceaccount-like/name", groups=["readers"])

    def reads() -> bool:
        try:
            return bool(
                control_plane.kubectl("get", "configmaps", "-n", namespace, "-o", "name", kubeconfig=reader)
            )
        except KubectlFailed:
            return False

    assert holds_within(reads, 10)  # the authorizer sees a new binding a moment later
    with pytest.raises(KubectlFailed, match="cannot create"):
        control_plane.kubectl("create", "configmap", "x", "-n", namespace, kubeconfig=reader)


def test_a_private_file_holds_each_kubeconfig(control_plane: Cluster) -> None:
    for path in (control_plane.kubeconfig, control_plane.kubeconfig_for("somebody")):
        assert path.stat().st_mode & 0o077 == 0


def test_a_namespace_has_its_default_service_account(control_plane: Cluster, namespace: str) -> None:
    assert _exists(control_plane, "serviceaccount", "default", namespace)
    assert namespace.startswith("a-namespace-has-its-default-service")


def test_a_deleted_namespace_disappears_with_its_contents(control_plane: Cluster) -> None:
    name = control_plane.create_namespace("short-lived")
    control_plane.kubectl("create", "configmap", "content", "-n", name)
    control_plane.delete_namespace(name)
    control_plane.kubectl("wait", f"namespace/{name}", "--for=delete", "--timeout=60s")


def test_the_child_of_a_deleted_owner_disappears(control_plane: Cluster, namespace: str) -> None:
    owner = control_plane.kubectl("create", "configmap", "owner", "-n", namespace, "-o", "json")
    child = _child_of(owner, "v1", "ConfigMap", "child")
    control_plane.kubectl("create", "-f", "-", "-n", namespace, stdin=child)
    control_plane.kubectl("delete", "configmap", "owner", "-n", namespace)
    assert holds_within(lambda: not _exists(control_plane, "configmap", "child", namespace), 30)


def test_the_garbage_collector_knows_a_kind_as_soon_as_it_is_installed(
    control_plane: Cluster, namespace: str, tmp_path: Path
) -> None:
    (tmp_path / "gadgets.yaml").write_text(_GADGETS)
    control_plane.install_crds(tmp_path)
    gadget = {"apiVersion": "testbed.modelecology.io/v1", "kind": "Gadget", "metadata": {"name": "owner"}}
    owner = control_plane.kubectl(
        "create", "-f", "-", "-n", namespace, "-o", "json", stdin=json.dumps(gadget)
    )
    child = _child_of(owner, "testbed.modelecology.io/v1", "Gadget", "child")
    control_plane.kubectl("create", "-f", "-", "-n", namespace, stdin=child)
    control_plane.kubectl("delete", "gadget", "owner", "-n", namespace)
    # Less than the 30 s after which the garbage collector looks for new kinds by itself.
    assert holds_within(lambda: not _exists(control_plane, "gadget", "child", namespace), 15)


def test_a_restart_keeps_data_and_port(control_plane: Cluster, namespace: str) -> None:
    before = control_plane.endpoint
    control_plane.kubectl("create", "configmap", "kept", "-n", namespace)
    control_plane.restart_apiserver()
    assert control_plane.endpoint == before
    assert _exists(control_plane, "configmap", "kept", namespace)


def test_a_killed_api_server_is_unreachable_until_it_is_started_again(
    control_plane: Cluster, namespace: str
) -> None:
    control_plane.kill_apiserver()
    with pytest.raises(KubectlFailed, match="refused"):
        control_plane.kubectl("get", "namespace", namespace)
    control_plane.start_apiserver()
    assert _exists(control_plane, "namespace", namespace, namespace)


def test_a_running_api_server_is_not_started_twice(control_plane: Cluster) -> None:
    with pytest.raises(AlreadyRunning):
        control_plane.start_apiserver()


def test_a_paused_api_server_holds_its_answers_back(control_plane: Cluster, namespace: str) -> None:
    with control_plane.paused_apiserver(), pytest.raises(KubectlFailed, match="no answer in 1 s"):
        control_plane.kubectl("get", "namespace", namespace, timeout_seconds=1)
    assert _exists(control_plane, "namespace", namespace, namespace)


def test_a_certificate_of_the_cluster_does_not_open_etcd(control_plane: Cluster) -> None:
    assert isinstance(control_plane, ControlPlane)
    pki = control_plane.directory / "pki"
    own = Probe(pki / "etcd-ca.crt", _pair(pki, "etcd-client"))
    other = Probe(pki / "etcd-ca.crt", _pair(pki, "admin"))
    assert own.answers(control_plane.ports.etcd, "/health")
    assert not other.answers(control_plane.ports.etcd, "/health")


def test_a_control_plane_that_is_not_started_says_so() -> None:
    plane = ControlPlane()
    with pytest.raises(NotRunning, match="start\\(\\)"):
        plane.kubectl("version")
    with pytest.raises(NotRunning, match="start\\(\\)"):
        plane.kill_apiserver()
    plane.stop()
