"""Chooses the cluster: the caller's by explicit wish, else a control plane of our own."""

from __future__ import annotations

from testbed.cluster import Cluster, given_cluster, wants_given_cluster
from testbed.controlplane import ControlPlane
from testbed.places import Progress, say


def open_cluster(*, use_kubeconfig: bool | None = None, progress: Progress = say) -> Cluster:
    """The cluster of KUBECONFIG if asked for, by argument or environment, else a new ControlPlane.

    Use it in a with statement. Raises ClusterNotGiven.
    """
    wanted = wants_given_cluster() if use_kubeconfig is None else use_kubeconfig
    return given_cluster(progress) if wanted else ControlPlane(progress=progress)
