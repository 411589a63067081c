"""The testbed: the real Kubernetes parts a machine lacks, built once and run as plain processes.

``with ControlPlane() as cluster:`` starts etcd, kube-apiserver and kube-controller-manager on free ports.
By hand: ``python -m testbed up``, ``down``, ``status``, ``binaries``, ``kubectl``.
"""

from testbed.cluster import Cluster, GivenCluster
from testbed.controlplane import ControlPlane
from testbed.opening import open_cluster

__all__ = ["Cluster", "ControlPlane", "GivenCluster", "open_cluster"]
