"""A cluster of the caller's is used by explicit wish only, and never broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed import Cluster, ControlPlane, GivenCluster, open_cluster
from testbed.errors import ClusterNotGiven, ClusterNotOwned, KubectlFailed


def test_a_kubeconfig_alone_is_not_a_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MODELECOLOGY_USE_KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    assert isinstance(open_cluster(), ControlPlane)


def test_the_given_cluster_is_used_on_demand(
    control_plane: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELECOLOGY_USE_KUBECONFIG", "1")
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    with open_cluster() as cluster:
        assert isinstance(cluster, GivenCluster)
        assert cluster.endpoint == control_plane.endpoint
        assert namespace in cluster.kubectl("get", "namespaces", "-o", "name")
        nobody = cluster.kubeconfig_for("nobody", groups=["strangers"])
        with pytest.raises(KubectlFailed, match='User "nobody" cannot list'):
            cluster.kubectl("get", "configmaps", "-n", namespace, kubeconfig=nobody)


def test_the_given_cluster_is_never_stopped(control_plane: Cluster) -> None:
    with GivenCluster(control_plane.kubeconfig) as cluster:
        for fault in (
            cluster.kill_apiserver,
            cluster.start_apiserver,
            cluster.restart_apiserver,
            cluster.paused_apiserver,
            cluster.restart_controllers,
        ):
            with pytest.raises(ClusterNotOwned, match="not the testbed's"):
                fault()
    assert control_plane.kubectl("get", "--raw", "/readyz") == "ok"


def test_a_wish_without_a_kubeconfig_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    with pytest.raises(ClusterNotGiven, match="KUBECONFIG is not"):
        open_cluster(use_kubeconfig=True)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
    with pytest.raises(ClusterNotGiven, match="is not a file"):
        open_cluster(use_kubeconfig=True)
