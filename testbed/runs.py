"""The record of a run on disk: its owner and its processes, so that a later run can tidy up."""

from __future__ import annotations

import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from testbed.identity import ProcessIdentity
from testbed.kubeconfig import write_private_text
from testbed.places import Progress

_STATE_FILE = "state.json"
_GRACE_SECONDS = 10.0
# A run may have been given a folder that holds other things too: nothing else in it is ever deleted.
_OWN_ENTRIES = ("audit-policy.yaml", "etcd", "kubeconfig", "kubeconfigs", "kubectl-cache", "logs", "pki")


class RecordedProcess(BaseModel):
    """A process of a run, by the name of its program."""

    model_config = ConfigDict(frozen=True)

    name: str
    identity: ProcessIdentity


class RunState(BaseModel):
    """What a run has started; ``owner`` is None for a detached run, ``endpoint`` None until it is ready."""

    model_config = ConfigDict(frozen=True)

    owner: ProcessIdentity | None = None
    endpoint: str | None = None
    processes: tuple[RecordedProcess, ...] = Field(default=())

    def is_running(self) -> bool:
        """Whether the run is ready and each of its processes is alive."""
        return self.endpoint is not None and all(p.identity.is_alive() for p in self.processes)

    def end_processes(self) -> list[str]:
        """End what is left of the run, last started first; the names of the processes that were alive."""
        return [p.name for p in reversed(self.processes) if p.identity.end(_GRACE_SECONDS)]


def read_state(directory: Path) -> RunState | None:
    """The record of a run; None if the folder holds none that can be read."""
    try:
        return RunState.model_validate_json((directory / _STATE_FILE).read_text())
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None


def write_state(directory: Path, state: RunState) -> None:
    """Replace the record of a run in one step."""
    unfinished = directory / f".{_STATE_FILE}"
    write_private_text(unfinished, state.model_dump_json(indent=2) + "\n")
    unfinished.replace(directory / _STATE_FILE)


def remove_run(directory: Path) -> list[str]:
    """End what is left of a run and delete its files; the names of the processes that were alive."""
    state = read_state(directory)
    if state is None:
        return []
    ended = state.end_processes()
    for name in _OWN_ENTRIES:
        entry = directory / name
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
    # Last: without its record nobody would know that the folder is a run's.
    (directory / _STATE_FILE).unlink(missing_ok=True)
    if not any(directory.iterdir()):
        directory.rmdir()
    return ended


def sweep(root: Path, progress: Progress) -> None:
    """Remove the runs whose owner is gone; released runs stay until they are taken down."""
    for directory in sorted(root.iterdir()) if root.is_dir() else []:
        state = read_state(directory)
        if state is not None and state.owner is not None and not state.owner.is_alive():
            ended = remove_run(directory)
            progress(f"removed the left-over run {directory.name}" + (f"; ended {ended}" if ended else ""))
