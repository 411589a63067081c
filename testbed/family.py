"""Knows all processes of a server and ends them; run as a program it is the server's guard.

``python -m testbed.family DIRECTORY`` waits until its standard input ends, which is when the server's owner
has died or let go, and then ends what is left. Ray leaves processes behind when its head is killed: the
dashboard's fork server, which then spins, and those of jobs. vLLM leaves its engine.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from testbed.errors import StartFailed
from testbed.identity import ProcessIdentity
from testbed.places import REPOSITORY
from testbed.runs import read_state

MARK: Final = "MODELECOLOGY_TESTBED_FAMILY"
"""Variable that all processes of a server inherit, and nobody else has: the server's folder."""

_END_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.05
_PARENT_FIELD: Final = 1  # of /proc/PID/stat, counted after the parenthesised name


def processes_of(directory: Path) -> set[ProcessIdentity]:
    """The processes of a server: the recorded ones, all with its mark, and their descendants.

    A job's process and its watcher survive the worker that started them, and some of Ray's processes write
    their title over their environment: together the two signs miss none.
    """
    state = read_state(directory)
    found = {each.identity.pid for each in state.processes if each.identity.is_alive()} if state else set()
    mark = f"{MARK}={directory}".encode()
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parents[int(entry.name)] = _parent(entry)
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.add(int(entry.name))
        except OSError:
            continue  # it has ended, or belongs to another user
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return {identity for pid in found if (identity := ProcessIdentity.of(pid)) is not None}


def end_processes(directory: Path) -> None:
    """SIGKILL until none is left: nothing they hold is worth an orderly end, which takes seconds."""
    deadline = time.monotonic() + _END_SECONDS
    while family := processes_of(directory):
        if time.monotonic() >= deadline:
            raise StartFailed(f"Processes {sorted(each.pid for each in family)} of {directory} do not end.")
        for each in family:
            each.send(signal.SIGKILL)
        time.sleep(_POLL_SECONDS)


def take_down(directory: Path) -> None:
    """End the server of that folder, whoever started it, and remove the folder."""
    end_processes(directory)
    shutil.rmtree(directory, ignore_errors=True)


def start_guard(directory: Path) -> subprocess.Popen[bytes]:
    """Start the guard of a server; it acts when its input is closed, also by this process's death."""
    return subprocess.Popen(
        [sys.executable, "-m", __name__, str(directory)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def _parent(entry: Path) -> int:
    text = (entry / "stat").read_text()
    return int(text[text.rindex(")") + 2 :].split()[_PARENT_FIELD])


def main() -> None:
    """Wait for the owner's end, then take the server down."""
    sys.stdin.buffer.read()
    take_down(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
