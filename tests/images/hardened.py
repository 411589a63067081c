"""Runs an image as a strict pod does: its numeric user, read-only root, no capability, a writable /tmp."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.images.buildah import Buildah

_MOUNTS = (
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
    {
        "destination": "/dev/shm",
        "type": "tmpfs",
        "source": "shm",
        "options": ["nosuid", "nodev", "mode=1777"],
    },
    {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=1777"]},
)
_NAMESPACES = ("pid", "ipc", "uts", "mount", "network")


@dataclass(frozen=True, slots=True)
class Hardened:
    """An image's root and configuration, as buildah has them."""

    root: Path
    config: dict[str, Any]

    def run(self, bundle: Path, *arguments: str, entrypoint: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the entrypoint with arguments, or any command, by runc; what it said and its exit code."""
        command = [*(self.config.get("Entrypoint") or () if entrypoint else ()), *arguments]
        uid, gid = map(int, self.config["User"].split(":"))
        specification = {
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": uid, "gid": gid},
                "args": command,
                "env": self.config["Env"],
                "cwd": self.config.get("WorkingDir") or "/",
                "capabilities": {},
                "noNewPrivileges": True,
            },
            "root": {"path": str(self.root), "readonly": True},
            "mounts": list(_MOUNTS),
            "linux": {"namespaces": [{"type": name} for name in _NAMESPACES]},
        }
        (bundle / "config.json").write_text(json.dumps(specification))
        name = f"modelecology-test-{uuid.uuid4().hex[:12]}"
        return subprocess.run(
            ["runc", "--root", str(bundle / "state"), "run", "--bundle", str(bundle), name],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


@contextmanager
def opened(image: str, buildah: Buildah) -> Iterator[Hardened]:
    """Mount an image for the time of the block."""
    container = buildah.run("from", "--pull-never", image).strip()
    try:
        config = json.loads(buildah.run("inspect", "--type=container", container))["OCIv1"]["config"]
        yield Hardened(Path(buildah.run("mount", container).strip()), config)
    finally:
        buildah.run("rm", container)
