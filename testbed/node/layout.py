"""The files of a node, below its run's folder, and what outlives a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from testbed.node.errors import NodeUnsupported
from testbed.places import cache_root

# The kernel's limit of a Unix socket's path, without its final zero.
_LONGEST_SOCKET = 107
_KUBELET_SOCKET = "pod-resources/kubelet.sock"


@dataclass(frozen=True, slots=True)
class NodeLayout:
    """The folders of one node; ``root`` belongs to it alone and goes with it."""

    root: Path

    @classmethod
    def of(cls, run: Path) -> NodeLayout:
        """The node's part of a run's folder."""
        return cls(run / "node")

    def check(self) -> None:
        """Raise NodeUnsupported where sockets would have too long a path."""
        sockets = (self.socket.with_name(f"{self.socket.name}.ttrpc"), self.kubelet / _KUBELET_SOCKET)
        longest = max(sockets, key=lambda path: len(str(path)))
        if len(str(longest)) > _LONGEST_SOCKET:
            raise NodeUnsupported(
                f"The run's folder has too long a path for sockets ({longest}, of which the kernel takes "
                f"{_LONGEST_SOCKET} letters). Use a shorter one: --dir, or XDG_STATE_HOME."
            )

    @property
    def socket(self) -> Path:
        """containerd's."""
        return self.root / "containerd.sock"

    @property
    def state(self) -> Path:
        """containerd's state: bundles, mounts, network namespaces."""
        return self.root / "containerd"

    @property
    def images(self) -> Path:
        """containerd's contents: images are imported once and outlive the run."""
        return cache_root() / "node" / "containerd"

    @property
    def containerd_config(self) -> Path:
        return self.root / "containerd.toml"

    @property
    def cni(self) -> Path:
        return self.root / "cni"

    @property
    def cni_config(self) -> Path:
        return self.cni / "net.d" / "10-modelecology.conflist"

    @property
    def kubelet(self) -> Path:
        """kubelet's folder: the volumes of pods are mounted here."""
        return self.root / "kubelet"

    @property
    def kubelet_config(self) -> Path:
        return self.root / "kubelet.yaml"

    @property
    def pod_logs(self) -> Path:
        return self.root / "pod-logs"

    @property
    def proxy_config(self) -> Path:
        return self.root / "kube-proxy.yaml"

    @property
    def scheduler_config(self) -> Path:
        return self.root / "kube-scheduler.yaml"

    @property
    def corefile(self) -> Path:
        return self.root / "Corefile"
