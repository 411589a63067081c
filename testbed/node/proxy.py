"""The node's kube-proxy: Services by iptables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from testbed.node import system
from testbed.node.kubelet import NODE_NAME
from testbed.node.layout import NodeLayout
from testbed.node.ranges import Ranges
from testbed.processes import Command


@dataclass(frozen=True, slots=True)
class ProxyPorts:
    """Both on 127.0.0.1."""

    health: int
    metrics: int


def config(ranges: Ranges, ports: ProxyPorts, kubeconfig: Path) -> str:
    """The configuration file.

    The zeros of ``conntrack`` mean "leave it as it is": else kube-proxy fails where it may not write these
    settings, and elsewhere changes them for the whole machine. Node ports are opened on the node's address
    only, which no other machine reaches.
    """
    document = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "hostnameOverride": NODE_NAME,
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "clusterCIDR": str(ranges.pods),
        "detectLocalMode": "ClusterCIDR",
        "nodePortAddresses": [f"{ranges.node}/32"],
        "healthzBindAddress": f"127.0.0.1:{ports.health}",
        "metricsBindAddress": f"127.0.0.1:{ports.metrics}",
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
        # Rules appear this soon after their Service; the default lets a second pass.
        "iptables": {"minSyncPeriod": "100ms", "syncPeriod": "30s", "localhostNodePorts": False},
    }
    return yaml.safe_dump(document, sort_keys=False)


def command(program: Path, layout: NodeLayout) -> Command:
    """The command line."""
    arguments = (f"--config={layout.proxy_config}",)
    return Command("kube-proxy", program, arguments, {"PATH": system.PATH})
