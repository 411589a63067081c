"""Redis of this machine, as Argo CD needs one: for itself, on one port of 127.0.0.1, with a password."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from testbed.errors import BinariesIncomplete
from testbed.places import Progress, say


def redis_settings(directory: Path, port: int, password: str) -> str:
    """The text of a settings file: nothing is kept, and nobody gets in without the password."""
    lines = ("bind 127.0.0.1", f"port {port}", f"requirepass {password}", f"dir {directory}", 'save ""')
    return "".join(f"{line}\n" for line in (*lines, "appendonly no", "daemonize no"))


def redis_program(directory: Path, progress: Progress = say) -> Path:
    """Redis of this machine, by a link in a folder; root may have it installed. Raises BinariesIncomplete."""
    link = directory / "redis-server"
    if link.exists():
        return link
    found = _find_redis()
    if found is None:
        _install_redis(progress)
        found = _find_redis()
    if found is None:
        raise BinariesIncomplete("There is no redis-server. Install it with: apt-get install redis-server")
    link.symlink_to(found)
    return link


def _find_redis() -> str | None:
    # Debian's redis-tools has the same program by another name, and starts no service.
    return shutil.which("redis-server") or shutil.which("redis-check-rdb")


def _install_redis(progress: Progress) -> None:
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        raise BinariesIncomplete(
            "Argo CD needs a Redis. Install it as root with: apt-get install redis-server"
        )
    progress("INSTALLING A PACKAGE ON THIS MACHINE, once: apt-get install redis-tools")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ("update",),
        ("install", "--yes", "--no-install-recommends", "--no-remove", "redis-tools"),
    ):
        done = subprocess.run([apt, *command], env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BinariesIncomplete(f"apt-get {command[0]} failed: {done.stderr.strip()[-800:]}")
