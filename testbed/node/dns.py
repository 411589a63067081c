"""The cluster's DNS: CoreDNS as a process on the node's address, behind the Service ``kube-dns``.

As a pod it would need an image and would go with kubelet and its sandbox; as a process it is there before the
first pod is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from testbed.node.layout import NodeLayout
from testbed.node.ranges import Ranges
from testbed.processes import Command

USER = "system:coredns"
_PORT = 53


@dataclass(frozen=True, slots=True)
class DnsPorts:
    """``queries`` on the node's address, UDP and TCP; ``ready`` on 127.0.0.1."""

    queries: int
    ready: int


def corefile(ranges: Ranges, ports: DnsPorts, kubeconfig: Path, resolv: Path) -> str:
    """The configuration file; names outside the cluster go to this machine's own servers, if it has any."""
    servers = [line for line in resolv.read_text().splitlines() if line.startswith("nameserver")]
    forward = f"\n    forward . {resolv}" if servers else ""
    return f"""\
.:{ports.queries} {{
    bind {ranges.node}
    errors
    ready 127.0.0.1:{ports.ready}
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {kubeconfig}
        pods insecure
        ttl 5
    }}{forward}
    cache 5
}}
"""


def command(program: Path, layout: NodeLayout) -> Command:
    """The command line."""
    return Command("coredns", program, (f"-conf={layout.corefile}",))


def objects(ranges: Ranges, ports: DnsPorts) -> str:
    """The Service that pods know, its endpoint on the node, and what CoreDNS may read."""
    service = "kube-dns"
    place = {"name": service, "namespace": "kube-system"}
    names = ("dns", "UDP"), ("dns-tcp", "TCP")
    role = {"name": USER}
    reads = [
        {
            "apiGroups": [""],
            "resources": ["endpoints", "services", "pods", "namespaces"],
            "verbs": ["list", "watch"],
        },
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    return yaml.safe_dump_all(
        [
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {**place, "labels": {"k8s-app": service}},
                "spec": {
                    "clusterIP": ranges.dns,
                    "ports": [
                        {"name": name, "port": _PORT, "protocol": protocol, "targetPort": ports.queries}
                        for name, protocol in names
                    ],
                },
            },
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {**place, "labels": {"kubernetes.io/service-name": service}},
                "addressType": "IPv4",
                "endpoints": [{"addresses": [ranges.node], "conditions": {"ready": True}}],
                "ports": [
                    {"name": name, "port": ports.queries, "protocol": protocol} for name, protocol in names
                ],
            },
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRole",
                "metadata": role,
                "rules": reads,
            },
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": role,
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": USER},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER}],
            },
        ],
        sort_keys=False,
    )
