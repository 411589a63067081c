"""Takes a node away, whole or half made: by what it left, not by what its starter remembers.

Containers outlive containerd, mounts and rules outlive everything. Each step skips what is not there, so that
this may be run again after a crash of its own.
"""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from testbed.identity import ProcessIdentity
from testbed.kubeconfig import write_private_text
from testbed.node import cgroups, network, system
from testbed.node.containerd import Containers
from testbed.node.errors import LeftoversRemain
from testbed.node.layout import NodeLayout
from testbed.waiting import holds_within

# A machine has one node, so one file tells of it, whoever started it. It goes with a reboot, as a node does.
RECORD = Path("/run/modelecology-testbed.json")
LOCK = Path("/run/modelecology-testbed.lock")
_END_SECONDS = 20.0
_SETTLE_SECONDS = 5.0
_SHIM = "containerd-shim"
_BUNDLES = "io.containerd.runtime.v2.task/k8s.io"
_CNI_RESULTS = Path("/var/lib/cni/results")
_CNI_RESULT_PREFIX = "modelecology-testbed-"
_LOG_LINKS = Path("/var/log/containers")
_ESCAPES = {"\\040": " ", "\\011": "\t", "\\012": "\n", "\\134": "\\"}


class NodeRecord(BaseModel):
    """The run of the node that this machine has, and the kernel settings to give back."""

    model_config = ConfigDict(frozen=True)

    run: Path
    settings: dict[str, str]

    @property
    def layout(self) -> NodeLayout:
        """The node's files."""
        return NodeLayout.of(self.run)

    def write(self) -> None:
        """Note it, before anything of it is made."""
        write_private_text(RECORD, self.model_dump_json(indent=2) + "\n")


def read_record() -> NodeRecord | None:
    """The node that this machine has or had; None if it has none."""
    try:
        return NodeRecord.model_validate_json(RECORD.read_text())
    except (FileNotFoundError, ValidationError):
        return None


def end_pods(layout: NodeLayout) -> None:
    """Kill every process of every pod, and forget what was noted of it outside of the node's folder.

    Raises LeftoversRemain if a process does not end.
    """
    ids, sockets = _bundles(layout)
    if not holds_within(_no_pods, _END_SECONDS):
        raise LeftoversRemain(f"Processes of pods do not end: {sorted(cgroups.processes())}.")
    containers = Containers(layout)
    if containers.is_ready():
        # A containerd that lives takes the shims and mounts away itself. Its contents outlive the run: what
        # it still noted of the containers would be shown to the next kubelet.
        holds_within(lambda: not shims(layout), _SETTLE_SECONDS)
        containers.remove_all()
    for path in (*sockets, *_results(ids)):
        path.unlink(missing_ok=True)


def remove(record: NodeRecord) -> None:
    """Take away all that is left of a node. Raises LeftoversRemain."""
    layout = record.layout
    end_pods(layout)
    if not holds_within(lambda: not _kill(shims(layout)), _END_SECONDS):
        raise LeftoversRemain(f"Processes of containerd do not end: {shims(layout)}.")
    unmount(layout.root)
    network.take_down()
    cgroups.remove()
    network.write_settings(record.settings)
    for path in _links(layout):
        path.unlink(missing_ok=True)
    shutil.rmtree(layout.root, ignore_errors=True)
    RECORD.unlink(missing_ok=True)


def shims(layout: NodeLayout) -> list[int]:
    """The processes that hold containers of this very containerd, whoever runs it now."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:  # it has ended
                continue
            name = os.path.basename(words[0]).decode(errors="replace")
            if name.startswith(_SHIM) and str(layout.socket).encode() in words:
                found.append(int(folder.name))
    return found


def mounts(root: Path) -> list[Path]:
    """What is mounted below a folder, deepest first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        place = line.split()[4]
        for escape, letter in _ESCAPES.items():
            place = place.replace(escape, letter)
        path = Path(place)
        if path.is_relative_to(root):
            found.append(path)
    return sorted(found, key=lambda path: len(path.parts), reverse=True)


def unmount(root: Path) -> None:
    """Unmount all below a folder. Raises LeftoversRemain: nothing may be deleted through a mount.

    A pod's ``subPath`` is a mount of the host's own folder here.
    """
    here = root.resolve()
    for place in mounts(here):
        system.attempt("umount", "--lazy", str(place))
    if mounts(here):
        raise LeftoversRemain(f"These are still mounted: {mounts(here)}. Unmount them by hand.")


def _no_pods() -> bool:
    return not _kill(sorted(cgroups.processes()))


def _kill(numbers: list[int]) -> bool:
    """Send SIGKILL to each; whether there was any."""
    alive = [identity for number in numbers if (identity := ProcessIdentity.of(number)) is not None]
    for identity in alive:
        identity.send(signal.SIGKILL)
    return bool(alive)


def _bundles(layout: NodeLayout) -> tuple[set[str], list[Path]]:
    """The containers' ids, and the sockets of their shims, which lie outside the node's folder."""
    folders = list((layout.state / _BUNDLES).glob("*"))
    sockets = []
    for folder in folders:
        try:
            sockets.append(Path((folder / "address").read_text().strip().removeprefix("unix://")))
        except OSError:  # a bundle that was half made
            continue
    return {folder.name for folder in folders}, sockets


def _results(ids: set[str]) -> list[Path]:
    """What the CNI noted of our pods."""
    noted = list(_CNI_RESULTS.iterdir()) if _CNI_RESULTS.is_dir() else []
    return [
        path
        for path in noted
        if path.name.startswith(_CNI_RESULT_PREFIX) or any(container in path.name for container in ids)
    ]


def _links(layout: NodeLayout) -> list[Path]:
    links = list(_LOG_LINKS.iterdir()) if _LOG_LINKS.is_dir() else []
    return [p for p in links if p.is_symlink() and p.readlink().is_relative_to(layout.pod_logs)]
