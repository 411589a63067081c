"""Decides where programs come from: a folder that is given, or a build from the pinned Go modules."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed.building import ensure, is_program, place, source_directory, toolchain
from testbed.errors import BinariesIncomplete, BuildFailed
from testbed.modules import MODULES, PROGRAMS, Program
from testbed.places import Progress, cache_root, say

ETCD = PROGRAMS["etcd"]
APISERVER = PROGRAMS["kube-apiserver"]
KUBECTL = PROGRAMS["kubectl"]
CONTROLLER_MANAGER = PROGRAMS["kube-controller-manager"]
CONTROL_PLANE = (ETCD, APISERVER, KUBECTL, CONTROLLER_MANAGER)


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder with the control plane's programs; ``controller_manager`` is None where it has none."""

    folder: Path
    etcd: Path
    apiserver: Path
    kubectl: Path
    controller_manager: Path | None


def resolve(progress: Progress = say) -> Binaries:
    """The programs in KUBEBUILDER_ASSETS if it is set, else the built ones, building what is missing.

    Raises BinariesIncomplete, GoUnavailable or BuildFailed.
    """
    assets = _assets()
    return given(assets) if assets is not None else built(progress)


def given(folder: Path) -> Binaries:
    """The programs in a folder of the caller's; raises BinariesIncomplete when one is missing."""
    missing = [p.name for p in (ETCD, APISERVER, KUBECTL) if not is_program(folder / p.name)]
    if missing:
        raise BinariesIncomplete(
            f"KUBEBUILDER_ASSETS={folder} has no {', '.join(missing)}. "
            f"Add {'it' if len(missing) == 1 else 'them'}, or unset KUBEBUILDER_ASSETS to have all built."
        )
    folder = folder.resolve()
    manager = folder / CONTROLLER_MANAGER.name
    return Binaries(
        folder=folder,
        etcd=folder / ETCD.name,
        apiserver=folder / APISERVER.name,
        kubectl=folder / KUBECTL.name,
        controller_manager=manager if is_program(manager) else None,
    )


def built(progress: Progress = say) -> Binaries:
    """The control plane's programs built from testbed/go, from the user's cache when they are there."""
    etcd, apiserver, kubectl, controller_manager = paths = _ensured(CONTROL_PLANE, progress)
    return Binaries(_linked(paths), etcd, apiserver, kubectl, controller_manager)


def tool(name: str, progress: Progress = say) -> Path:
    """One program, by name: the one in KUBEBUILDER_ASSETS if it has it, else the built one.

    Raises GoUnavailable or BuildFailed.
    """
    assets = _assets()
    if assets is not None and is_program(assets / name):
        return (assets / name).resolve()
    program = PROGRAMS.get(name)
    if program is None:
        raise BuildFailed(f"testbed/go pins no program {name!r}. It pins {', '.join(PROGRAMS)}.")
    (path,) = _ensured([program], progress)
    return path


def all_tools(progress: Progress = say) -> Path:
    """A folder with every program of testbed/go, building what is missing."""
    return _linked(_ensured(list(PROGRAMS.values()), progress))


def module_dir(name: str, progress: Progress = say) -> Path:
    """The read-only sources of a module of testbed/go, by its folder's name; for what is no program."""
    for module in MODULES:
        if module.name == name:
            return source_directory(module, toolchain(module, progress))
    names = ", ".join(module.name for module in MODULES)
    raise BuildFailed(f"testbed/go pins no module {name!r}. It pins {names}.")


def _assets() -> Path | None:
    folder = os.environ.get("KUBEBUILDER_ASSETS", "")
    return Path(folder) if folder else None


def _ensured(programs: Sequence[Program], progress: Progress) -> list[Path]:
    """Each program's path, in the order given; what is missing is built first to last."""
    modules = {program.module.name: program.module for program in programs}
    go = {name: toolchain(module, progress) for name, module in modules.items()}
    missing = [p.name for p in programs if not is_program(place(p, go[p.module.name]))]
    paths = []
    for program in programs:
        position = ""
        if len(programs) > 1 and program.name in missing:
            position = f" ({missing.index(program.name) + 1}/{len(missing)})"
        paths.append(ensure(program, go[program.module.name], progress, position))
    return paths


def _linked(paths: Sequence[Path]) -> Path:
    """One folder with a link to each program; its name tells the places, so that no link ever moves."""
    key = hashlib.sha256("\0".join(map(str, paths)).encode()).hexdigest()[:16]
    folder = cache_root().resolve() / f"programs-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        with contextlib.suppress(FileExistsError):
            (folder / path.name).symlink_to(path)
    return folder
