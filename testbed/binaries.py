"""Decides which programs the control plane is made of: given ones, or ones built from pinned Go modules."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed.errors import BinariesIncomplete, BuildFailed
from testbed.golang import Go, find_go, needed_version
from testbed.places import GO_MODULES, Progress, cache_root, exclusive, say

_HEARTBEAT_SECONDS = 15.0
_LAST_LINES = 20


@dataclass(frozen=True, slots=True)
class Binaries:
    """The folder of the programs; ``controller_manager`` is None where a given folder has none."""

    folder: Path
    etcd: Path
    apiserver: Path
    kubectl: Path
    controller_manager: Path | None


@dataclass(frozen=True, slots=True)
class Program:
    """A program of the control plane: the folder of its go.mod below testbed/go, and its Go package."""

    name: str
    module: str
    package: str


ETCD = Program("etcd", "etcd", "go.etcd.io/etcd/server/v3")
APISERVER = Program("kube-apiserver", "kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver")
KUBECTL = Program("kubectl", "kubernetes", "k8s.io/kubernetes/cmd/kubectl")
CONTROLLER_MANAGER = Program(
    "kube-controller-manager", "kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager"
)
PROGRAMS = (ETCD, APISERVER, KUBECTL, CONTROLLER_MANAGER)


def resolve(progress: Progress = say) -> Binaries:
    """The programs in KUBEBUILDER_ASSETS if it is set, else the built ones, building what is missing.

    Raises BinariesIncomplete, GoUnavailable or BuildFailed.
    """
    assets = os.environ.get("KUBEBUILDER_ASSETS", "")
    return given(Path(assets)) if assets else built(progress)


def given(folder: Path) -> Binaries:
    """The programs in a folder of the caller's; raises BinariesIncomplete when one is missing."""
    missing = [p.name for p in (ETCD, APISERVER, KUBECTL) if not _is_program(folder / p.name)]
    if missing:
        raise BinariesIncomplete(
            f"KUBEBUILDER_ASSETS={folder} has no {', '.join(missing)}. "
            f"Add {'it' if len(missing) == 1 else 'them'}, or unset KUBEBUILDER_ASSETS to have all built."
        )
    return _in_folder(folder)


def built(progress: Progress = say) -> Binaries:
    """The programs built from testbed/go, from the user's cache when they are there."""
    modules = sorted({program.module for program in PROGRAMS})
    needed = needed_version(*(GO_MODULES / module / "go.mod" for module in modules))
    root = cache_root()
    go = find_go(needed, progress)
    folder = root / cache_key(go.version, modules) / "bin"
    if all(_is_program(folder / program.name) for program in PROGRAMS):
        return _in_folder(folder)
    with exclusive(root / "build.lock", progress, "it builds the control plane, once for this user"):
        missing = [program for program in PROGRAMS if not _is_program(folder / program.name)]
        folder.mkdir(parents=True, exist_ok=True)
        for index, program in enumerate(missing, start=1):
            _build(program, folder, go, f"{index}/{len(missing)}", progress)
    return _in_folder(folder)


def cache_key(go_version: str, modules: Sequence[str]) -> str:
    """Names everything a built program depends on: sums, Go, machine, and how it is linked."""
    parts = [go_version, platform.system(), platform.machine(), *_linker_flags("kubernetes")]
    for module in modules:
        parts += [(GO_MODULES / module / name).read_text() for name in ("go.mod", "go.sum")]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def pinned_version(module: str) -> str:
    """The version of the module's one wanted program source, such as ``v1.34.4``."""
    source = {"etcd": "go.etcd.io/etcd/server/v3", "kubernetes": "k8s.io/kubernetes"}[module]
    text = (GO_MODULES / module / "go.mod").read_text()
    match = re.search(rf"^\s*(?:require )?{re.escape(source)} (v\S+)", text, flags=re.MULTILINE)
    if match is None:
        raise BuildFailed(f"testbed/go/{module}/go.mod does not require {source}. Restore the line.")
    return match.group(1)


def _linker_flags(module: str) -> list[str]:
    flags = ["-s", "-w"]
    if module == "kubernetes":
        version = pinned_version(module)
        major, minor = version.removeprefix("v").split(".")[:2]
        stamp = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
            flags += [f"-X={package}.{name}={value}" for name, value in stamp.items()]
    return flags


def _build(program: Program, folder: Path, go: Go, place: str, progress: Progress) -> None:
    """Build one program beside its place and move it there, so that a half-built one is never found."""
    unfinished = folder / f".{program.name}.{os.getpid()}"
    title = f"{program.name} {pinned_version(program.module)} ({place})"
    command = [
        str(go.command),
        "build",
        "-v",
        f"-ldflags={' '.join(_linker_flags(program.module))}",
        "-o",
        str(unfinished),
        program.package,
    ]
    progress(f"building {title} with {go.version}; the first build takes minutes")
    started = time.monotonic()
    try:
        packages = _run_build(command, go, program, title, progress)
        unfinished.replace(folder / program.name)
    finally:
        unfinished.unlink(missing_ok=True)
    progress(f"built {title}: {packages} packages compiled, {time.monotonic() - started:.0f} s")


def _run_build(command: Sequence[str], go: Go, program: Program, title: str, progress: Progress) -> int:
    started = time.monotonic()
    lines: deque[str] = deque(maxlen=_LAST_LINES)
    packages = 0
    with subprocess.Popen(
        command,
        cwd=GO_MODULES / program.module,
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
            + "\nCheck the disk and that GOPROXY can be reached, or set KUBEBUILDER_ASSETS to a folder "
            "with the built programs."
        )
    return packages


def _in_folder(folder: Path) -> Binaries:
    folder = folder.resolve()
    manager = folder / CONTROLLER_MANAGER.name
    return Binaries(
        folder=folder,
        etcd=folder / ETCD.name,
        apiserver=folder / APISERVER.name,
        kubectl=folder / KUBECTL.name,
        controller_manager=manager if _is_program(manager) else None,
    )


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
