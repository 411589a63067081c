"""Objects for tests on real pods."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_RESTRICTED_POD = {
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "runAsGroup": 10001,
    "fsGroup": 10001,
    "seccompProfile": {"type": "RuntimeDefault"},
}
_RESTRICTED_CONTAINER = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def pod(
    name: str,
    image: str,
    command: Sequence[str],
    *,
    volumes: Sequence[dict[str, Any]] = (),
    mounts: Sequence[dict[str, Any]] = (),
    restart: str = "Never",
) -> str:
    """A pod of one container that a restricted namespace admits."""
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "Never",
        "command": list(command),
        "securityContext": _RESTRICTED_CONTAINER,
        "volumeMounts": list(mounts),
    }
    spec = {
        "containers": [container],
        "volumes": list(volumes),
        "restartPolicy": restart,
        "terminationGracePeriodSeconds": 1,
        "securityContext": _RESTRICTED_POD,
    }
    metadata = {"name": name, "labels": {"app": name}}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})


def service(name: str, port: int) -> str:
    """A Service on port 80 that leads to the pods whose label ``app`` is its name."""
    ports = [{"port": 80, "targetPort": port}]
    spec = {"selector": {"app": name}, "ports": ports}
    return json.dumps({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})


def volume(name: str, folder: Path) -> str:
    """A volume that is a folder of this machine, for the claim ``data`` in the namespace of its name."""
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteMany"],
        "hostPath": {"path": str(folder), "type": "Directory"},
        "storageClassName": "",
        "claimRef": {"namespace": name, "name": "data"},
    }
    return json.dumps(
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}
    )


def claim(volume_name: str) -> str:
    """The claim ``data`` of a volume."""
    spec = {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": "",
        "volumeName": volume_name,
    }
    return json.dumps(
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": spec}
    )
