"""Builds one program of a pinned Go module into the user's cache, once."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from testbed.errors import BuildFailed
from testbed.golang import Go, find_go, needed_version
from testbed.modules import Module, Program, cache_key, linker_flags, pinned_version
from testbed.places import Progress, cache_root, exclusive

_HEARTBEAT_SECONDS = 15.0
_LAST_LINES = 20
_REMEDY = "Check the disk and that GOPROXY can be reached"


class _Download(BaseModel):
    """What ``go mod download -json`` answers."""

    directory: Path | None = Field(default=None, alias="Dir")
    error: str = Field(default="", alias="Error")


def is_program(path: Path) -> bool:
    """Whether a file is there that can be run."""
    return path.is_file() and os.access(path, os.X_OK)


def toolchain(module: Module, progress: Progress) -> Go:
    """A Go that is new enough for the module; raises GoUnavailable."""
    return find_go(needed_version(module.go_mod), progress)


def place(program: Program, go: Go) -> Path:
    """Where the program lies once it is built: each module has a folder of its own."""
    module = program.module
    folder = cache_root() / f"{module.name}-{cache_key(go.version, module)}" / "bin"
    return folder.resolve() / program.name


def ensure(program: Program, go: Go, progress: Progress, position: str = "") -> Path:
    """The built program, built now if it is not there; raises BuildFailed.

    One program is built at a time for one user, since each build takes all cores.
    """
    path = place(program, go)
    if is_program(path):
        return path
    with exclusive(cache_root() / "build.lock", progress, "it builds a program, once for this user"):
        if not is_program(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _build(program, path, go, position, progress)
    return path


def source_directory(module: Module, go: Go) -> Path:
    """The read-only sources of a module, fetched if they are not there and checked against go.sum."""
    answer = subprocess.run(
        [str(go.command), "mod", "download", "-json", module.source],
        cwd=module.folder,
        env=go.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        download = _Download.model_validate_json(answer.stdout)
    except ValidationError:
        download = _Download()
    if answer.returncode != 0 or download.directory is None:
        reason = download.error or answer.stderr.strip()
        raise BuildFailed(f"Go could not fetch {module.source}: {reason}\n{_REMEDY}.")
    return download.directory


def _build(program: Program, path: Path, go: Go, position: str, progress: Progress) -> None:
    """Build one program beside its place and move it there, so that a half-built one is never found."""
    unfinished = path.with_name(f".{program.name}.{os.getpid()}")
    title = f"{program.name} {pinned_version(program.module)}{position}"
    command = [
        str(go.command),
        "build",
        "-v",
        f"-ldflags={' '.join(linker_flags(program.module))}",
        "-o",
        str(unfinished),
        program.package,
    ]
    progress(f"building {title} with {go.version}; the first build takes minutes")
    started = time.monotonic()
    try:
        packages = _run_build(command, go, program, title, progress)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    progress(f"built {title}: {packages} packages compiled, {time.monotonic() - started:.0f} s")


def _run_build(command: Sequence[str], go: Go, program: Program, title: str, progress: Progress) -> int:
    started = time.monotonic()
    lines: deque[str] = deque(maxlen=_LAST_LINES)
    packages = 0
    with subprocess.Popen(
        command,
        cwd=program.module.folder,
        env=go.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        done = threading.Event()

        def beat() -> None:
            while not done.wait(_HEARTBEAT_SECONDS):
                elapsed = time.monotonic() - started
                progress(f"building {title}: {packages} packages compiled, {elapsed:.0f} s so far")

        heart = threading.Thread(target=beat, daemon=True)
        heart.start()
        try:
            for line in process.stderr or ():
                lines.append(line.rstrip())
                # -v names each package as it is compiled; a download is told on a line of its own.
                packages += not line.startswith(("go: ", "#"))
            returncode = process.wait()
        except BaseException:
            process.terminate()
            raise
        finally:
            done.set()
            heart.join()
    if returncode != 0:
        raise BuildFailed(
            f"Go could not build {program.name} (exit code {returncode}). Its last lines:\n  "
            + "\n  ".join(lines)
            + f"\n{_REMEDY}, or set KUBEBUILDER_ASSETS to a folder with the built programs."
        )
    return packages
