"""Certificates of the node's parts, issued by the cluster's authority."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml

from testbed.kubeconfig import write_kubeconfig
from testbed.node import dns
from testbed.node.kubelet import NODE_NAME
from testbed.node.ranges import Ranges
from testbed.pki import KeyPair
from testbed.start import Start

SCHEDULER = "kube-scheduler"
KUBELET = "kubelet"
PROXY = "kube-proxy"
DNS = "coredns"
_KUBELET_CLIENT = "modelecology-testbed-kubelet-client"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the API server shows to kubelet, and the two servers' own."""

    kubelet_client: KeyPair
    kubelet_serving: KeyPair
    scheduler_serving: KeyPair

    @classmethod
    def issue(cls, run: Start, ranges: Ranges, now: datetime) -> Credentials:
        """Issue all of them."""
        authority, folder = run.keys.cluster, run.layout.pki
        loopback = ("127.0.0.1", "localhost")
        return cls(
            kubelet_client=authority.issue(folder, "kubelet-client", now, user=_KUBELET_CLIENT),
            kubelet_serving=authority.issue(
                folder,
                "kubelet-serving",
                now,
                user=f"system:node:{NODE_NAME}",
                hosts=(ranges.node, NODE_NAME),
            ),
            scheduler_serving=authority.issue(
                folder, "scheduler", now, user="system:kube-scheduler", hosts=loopback
            ),
        )


def write_kubeconfigs(run: Start, now: datetime) -> dict[str, Path]:
    """Write a kubeconfig for each part of the node; by the part's name. Call it for each choice of ports."""
    parts: dict[str, tuple[str, Sequence[str]]] = {
        SCHEDULER: ("system:kube-scheduler", ()),
        KUBELET: (f"system:node:{NODE_NAME}", ("system:nodes",)),
        PROXY: ("system:kube-proxy", ()),
        DNS: (dns.USER, ()),
    }
    written = {}
    for part, (user, groups) in parts.items():
        client = run.keys.cluster.issue(run.layout.pki, f"{part}-user", now, user=user, groups=groups)
        path = run.layout.kubeconfigs / part
        written[part] = write_kubeconfig(path, run.endpoint, run.keys.cluster.files.certificate, user, client)
    return written


def kubelet_rights() -> str:
    """What lets the API server ask kubelet for logs and run commands in pods."""
    return yaml.safe_dump(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": _KUBELET_CLIENT},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "system:kubelet-api-admin",
            },
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": _KUBELET_CLIENT}],
        },
        sort_keys=False,
    )
