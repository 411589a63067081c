"""A single node with real pods for the testbed's control plane: containerd, kubelet, network and DNS."""

from testbed.node.cluster import NodeCluster
from testbed.node.errors import NodeUnsupported

__all__ = ["NodeCluster", "NodeUnsupported"]
