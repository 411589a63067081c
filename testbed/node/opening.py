"""Chooses the cluster that runs pods: the caller's by explicit wish, else one of our own."""

from __future__ import annotations

from testbed.cluster import given_kubeconfig, wants_given_cluster
from testbed.node.cluster import NodeCluster
from testbed.node.pods import GivenPodCluster, PodCluster
from testbed.places import Progress, say


def open_node_cluster(*, audit: bool = False, progress: Progress = say) -> PodCluster:
    """The cluster of KUBECONFIG if MODELECOLOGY_USE_KUBECONFIG=1 asks for it, else a new NodeCluster.

    Use it in a with statement. Raises ClusterNotGiven.
    """
    if wants_given_cluster():
        return GivenPodCluster(given_kubeconfig(), progress)
    return NodeCluster(audit=audit, progress=progress)
