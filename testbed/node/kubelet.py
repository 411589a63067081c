"""The node's kubelet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from testbed.commands import flag_arguments
from testbed.node import system
from testbed.node.layout import NodeLayout
from testbed.node.ranges import Ranges
from testbed.pki import KeyPair
from testbed.processes import Command

NODE_NAME = "testbed"
CGROUP = "modelecology-testbed"
# kubelet writes these for the whole machine; a node gives them back at its end.
SYSCTLS = (
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)


@dataclass(frozen=True, slots=True)
class KubeletPorts:
    """``api`` on the node's address, for logs and exec; ``health`` on 127.0.0.1."""

    api: int
    health: int


def config(
    layout: NodeLayout, ranges: Ranges, ports: KubeletPorts, authority: Path, serving: KeyPair, resolv: Path
) -> str:
    """The configuration file.

    kubelet 1.34 accepts cgroup v1, later ones only if told so. It must never throw away images, which cannot
    be pulled again, nor pods because a disk that it shares with everything else is full.
    """
    document = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": ranges.node,
        "port": ports.api,
        "readOnlyPort": 0,
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": ports.health,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(serving.certificate),
        "tlsPrivateKeyFile": str(serving.key),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{CGROUP}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "clusterDomain": "cluster.local",
        "clusterDNS": [ranges.dns],
        "resolvConf": str(resolv),
        "containerRuntimeEndpoint": f"unix://{layout.socket}",
        "podLogsDir": str(layout.pod_logs),
        "volumePluginDir": str(layout.kubelet / "volume-plugins"),
        "staticPodPath": "",
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "0%", "imagefs.available": "0%"},
        "enforceNodeAllocatable": ["pods"],
        "protectKernelDefaults": False,
        "registerNode": True,
        # Start-up matters more here than the load of many nodes.
        "kubeAPIQPS": 100,
        "kubeAPIBurst": 200,
        "registryPullQPS": 0,
        "eventRecordQPS": 0,
        "nodeStatusUpdateFrequency": "10s",
        "volumeStatsAggPeriod": "5m",
        "shutdownGracePeriod": "0s",
    }
    return yaml.safe_dump(document, sort_keys=False)


def command(program: Path, layout: NodeLayout, ranges: Ranges, kubeconfig: Path) -> Command:
    """The command line."""
    flags = {
        "config": layout.kubelet_config,
        "kubeconfig": kubeconfig,
        "root-dir": layout.kubelet,
        "cert-dir": layout.kubelet / "pki",
        "hostname-override": NODE_NAME,
        "node-ip": ranges.node,
        "v": 1,
    }
    return Command("kubelet", program, flag_arguments(flags), {"PATH": system.PATH})
