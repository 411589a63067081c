"""One start of a node: its programs, ports, keys and files, and how to see that its parts are ready."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from testbed.binaries import tool
from testbed.node import containerd, credentials, dns, kubelet, network, proxy, scheduler, system
from testbed.node.containerd import Containers
from testbed.node.credentials import Credentials
from testbed.node.errors import NodeUnsupported
from testbed.node.layout import NodeLayout
from testbed.node.ranges import Ranges
from testbed.places import Progress
from testbed.probe import answers_plainly
from testbed.processes import Command, free_ports
from testbed.start import Start

_RESOLV = Path("/etc/resolv.conf")


@dataclass(frozen=True, slots=True)
class Programs:
    """The node's programs that are built here."""

    scheduler: Path
    kubelet: Path
    proxy: Path
    dns: Path

    @classmethod
    def find(cls, progress: Progress) -> Programs:
        """Find them, building what is missing. Raises GoUnavailable or BuildFailed."""
        names = ("kube-scheduler", "kubelet", "kube-proxy", "coredns")
        return cls(*(tool(name, progress) for name in names))


@dataclass(frozen=True, slots=True)
class NodePorts:
    """The ports of the node's parts."""

    scheduler: int
    kubelet: kubelet.KubeletPorts
    proxy: proxy.ProxyPorts
    dns: dns.DnsPorts

    @classmethod
    def free(cls) -> NodePorts:
        """Ports that are free now."""
        a, b, c, d, e, f, g = free_ports(7)
        return cls(a, kubelet.KubeletPorts(b, c), proxy.ProxyPorts(d, e), dns.DnsPorts(f, g))


class Node:
    """What the parts of a node share from its start to its end."""

    def __init__(self, run: Start, programs: Programs, pause_image: str, now: datetime) -> None:
        self.ranges = Ranges.of(run.network)
        self.layout = NodeLayout.of(run.layout.root)
        self.containers = Containers(self.layout)
        self.credentials = Credentials.issue(run, self.ranges, now)
        self.ports = NodePorts.free()
        self._run = run
        self._programs = programs
        self._write_files(pause_image, credentials.write_kubeconfigs(run, now))

    def apiserver_flags(self) -> dict[str, object]:
        """What the API server needs to know of the node."""
        client = self.credentials.kubelet_client
        return {
            "authorization-mode": "Node,RBAC",
            "enable-admission-plugins": "NodeRestriction",
            # Pods reach the API server by the Service `kubernetes`.
            "endpoint-reconciler-type": "lease",
            "allow-privileged": "true",
            "kubelet-preferred-address-types": "InternalIP",
            "kubelet-certificate-authority": self._run.keys.cluster.files.certificate,
            "kubelet-client-certificate": client.certificate,
            "kubelet-client-key": client.key,
        }

    def objects(self) -> str:
        """What the cluster must hold before its node works."""
        return f"{dns.objects(self.ranges, self.ports.dns)}---\n{credentials.kubelet_rights()}"

    def containerd(self) -> Command:
        """Its command line."""
        return containerd.command(self.layout)

    def scheduler(self) -> Command:
        """Its command line."""
        serving = self.credentials.scheduler_serving
        return scheduler.command(self._programs.scheduler, self.layout, serving, self.ports.scheduler)

    def kubelet(self) -> Command:
        """Its command line."""
        kubeconfig = self._run.layout.kubeconfigs / credentials.KUBELET
        return kubelet.command(self._programs.kubelet, self.layout, self.ranges, kubeconfig)

    def proxy(self) -> Command:
        """Its command line."""
        return proxy.command(self._programs.proxy, self.layout)

    def dns(self) -> Command:
        """Its command line."""
        return dns.command(self._programs.dns, self.layout)

    def scheduler_is_ready(self) -> bool:
        """Whether it answers."""
        return self._run.answers(self.ports.scheduler, "/healthz")

    def kubelet_is_healthy(self) -> bool:
        """Whether it answers; the node may still not be ready for pods."""
        return answers_plainly(self.ports.kubelet.health, "/healthz")

    def proxy_is_ready(self) -> bool:
        """Whether its rules follow the Services."""
        return answers_plainly(self.ports.proxy.health, "/healthz")

    def dns_is_ready(self) -> bool:
        """Whether it knows the Services."""
        return answers_plainly(self.ports.dns.ready, "/ready")

    def _write_files(self, pause_image: str, kubeconfigs: dict[str, Path]) -> None:
        layout, ranges, ports = self.layout, self.ranges, self.ports
        cni_folder = system.cni_folder()
        if cni_folder is None:
            raise NodeUnsupported(
                "There are no CNI plugins. Install them: apt-get install containernetworking-plugins"
            )
        authority = self._run.keys.cluster.files.certificate
        files = {
            layout.containerd_config: containerd.config(layout, cni_folder, pause_image),
            layout.cni_config: network.cni_config(ranges, layout),
            layout.scheduler_config: scheduler.config(kubeconfigs[credentials.SCHEDULER]),
            layout.kubelet_config: kubelet.config(
                layout, ranges, ports.kubelet, authority, self.credentials.kubelet_serving, _RESOLV
            ),
            layout.proxy_config: proxy.config(ranges, ports.proxy, kubeconfigs[credentials.PROXY]),
            layout.corefile: dns.corefile(ranges, ports.dns, kubeconfigs[credentials.DNS], _RESOLV),
        }
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        layout.images.mkdir(parents=True, exist_ok=True)
