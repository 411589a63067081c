"""Writes kubeconfig files that hold everything they need, readable by their owner only."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import yaml

from testbed.pki import KeyPair

_CONTEXT = "modelecology-testbed"


def write_kubeconfig(path: Path, server: str, authority: Path, user: str, client: KeyPair) -> Path:
    """Write a kubeconfig for one user of one server, with the certificates inside."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": _CONTEXT,
        "clusters": [
            {
                "name": _CONTEXT,
                "cluster": {"server": server, "certificate-authority-data": _encoded(authority)},
            }
        ],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": _encoded(client.certificate),
                    "client-key-data": _encoded(client.key),
                },
            }
        ],
        "contexts": [{"name": _CONTEXT, "context": {"cluster": _CONTEXT, "user": user}}],
    }
    write_private_text(path, yaml.safe_dump(document, sort_keys=False))
    return path


def write_private_text(path: Path, content: str) -> None:
    """Write a file that only its owner may read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as handle:
        handle.write(content)


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
