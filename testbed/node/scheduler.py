"""The scheduler of a control plane that has a node."""

from __future__ import annotations

from pathlib import Path

import yaml

from testbed.commands import flag_arguments
from testbed.node.layout import NodeLayout
from testbed.pki import KeyPair
from testbed.processes import Command


def config(kubeconfig: Path) -> str:
    """The configuration file: one scheduler, which need not lead others."""
    document = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "leaderElection": {"leaderElect": False},
        "clientConnection": {"kubeconfig": str(kubeconfig), "qps": 100, "burst": 200},
    }
    return yaml.safe_dump(document, sort_keys=False)


def command(program: Path, layout: NodeLayout, serving: KeyPair, port: int) -> Command:
    """The command line."""
    flags = {
        "config": layout.scheduler_config,
        "bind-address": "127.0.0.1",
        "secure-port": port,
        "tls-cert-file": serving.certificate,
        "tls-private-key-file": serving.key,
        "authentication-skip-lookup": "true",
    }
    return Command("kube-scheduler", program, flag_arguments(flags))
