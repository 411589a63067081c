"""The cgroup below which all pods of a node are, in each hierarchy of cgroup v1 or in the one of v2.

Beside it is one for the node's own programs, which share the processors with all pods by halves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from testbed.node.kubelet import CGROUP

_CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids")
_PROGRAMS = f"{CGROUP}-node"
# A group weighs as much as one process, and all pods are in this one: on a busy machine their probes
# and Ray's own watchdogs would run out of time. Beside pods of that weight an API server in no group of its
# own would not run at all for seconds.
_WEIGHTS = {"cpu.shares": "65536", "cpu.weight": "10000"}


def make() -> None:
    """Make it everywhere; kubelet refuses to start where it is missing."""
    for hierarchy in _hierarchies():
        folder = hierarchy / CGROUP
        if (hierarchy / "cgroup.subtree_control").exists():
            for controller in _CONTROLLERS:
                # Each by itself: one that the kernel lacks would spoil the rest.
                with contextlib.suppress(OSError):
                    (hierarchy / "cgroup.subtree_control").write_text(f"+{controller}")
        folder.mkdir(exist_ok=True)
        for name in ("cpuset.cpus", "cpuset.mems"):
            # In v1 a new group has no processor and no memory to run on until it is told.
            if (folder / name).exists() and not (hierarchy / "cgroup.subtree_control").exists():
                (folder / name).write_text((hierarchy / name).read_text())
        _weigh(folder)
        if _has_weight(folder):
            beside = hierarchy / _PROGRAMS
            beside.mkdir(exist_ok=True)
            _weigh(beside)


def adopt(process: int) -> None:
    """Put a program of the node into the group of such programs."""
    for hierarchy in _hierarchies():
        if (hierarchy / _PROGRAMS).is_dir():
            # One that has ended already is told of by whoever waits for it.
            with contextlib.suppress(ProcessLookupError):
                (hierarchy / _PROGRAMS / "cgroup.procs").write_text(str(process))


def _has_weight(folder: Path) -> bool:
    return any((folder / name).exists() for name in _WEIGHTS)


def _weigh(folder: Path) -> None:
    for name, weight in _WEIGHTS.items():
        if (folder / name).exists():
            (folder / name).write_text(weight)


def processes() -> set[int]:
    """The numbers of all processes of pods."""
    found: set[int] = set()
    for folder in _folders(CGROUP):
        for listing in folder.rglob("cgroup.procs"):
            with contextlib.suppress(OSError):
                found |= {int(number) for number in listing.read_text().split()}
    return found - {0}


def remove() -> None:
    """Remove both everywhere; a group that still has processes stays."""
    for folder in _folders(CGROUP, _PROGRAMS):
        for group in sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True):
            with contextlib.suppress(OSError):
                group.rmdir()
        with contextlib.suppress(OSError):
            folder.rmdir()


def exist() -> bool:
    """Whether one of them is there in any hierarchy."""
    return any(True for _ in _folders(CGROUP, _PROGRAMS))


def _hierarchies() -> Iterator[Path]:
    """The mount points of v1's controllers, or the one of v2; a v2 beside v1 has no controllers."""
    places = _mounted()
    kind = "cgroup" if "cgroup" in places.values() else "cgroup2"
    return (path for path, found in places.items() if found == kind)


def _folders(*names: str) -> Iterator[Path]:
    """Also in a v2 beside v1: runc makes the groups there too."""
    return (path / name for path in _mounted() for name in names if (path / name).is_dir())


def _mounted() -> dict[Path, str]:
    places = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.split()[0] in {"cgroup", "cgroup2"}:
            places[Path(before.split()[4])] = after.split()[0]
    return places
