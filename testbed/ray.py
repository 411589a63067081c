"""A real Ray head on this machine, with token authentication on: what jobs run on in tests and in the demo.

``with RayCluster() as ray:`` gives ``ray.address`` and ``ray.token_path``. It listens on free ports, keeps
its files in a folder of its own, and ends its own processes only, never with ``ray stop``, which ends every
Ray of the machine.
"""

from __future__ import annotations

import http.client
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from testbed.errors import AddressInUse, StartFailed
from testbed.identity import ProcessIdentity
from testbed.kubeconfig import write_private_text
from testbed.places import Progress, say
from testbed.processes import Command, Process, free_ports, start
from testbed.runs import RecordedProcess, RunState, read_state, write_state

_MARK: Final = "MODELECOLOGY_TESTBED_RAY"
"""Variable that all processes of a cluster inherit, and nobody else has."""

_READY_SECONDS: Final = 120.0
_END_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.05
_START_TRIES: Final = 3
_PORTS: Final = 4
_PARENT_FIELD: Final = 1  # of /proc/PID/stat, counted after the parenthesised name


class RayCluster:
    """A Ray head with ``num_cpus`` CPUs, whatever the machine has; ``object_store_bytes`` of shared memory.

    A detached one lives on after this process until ``take_down`` is called with its ``directory``.
    """

    def __init__(
        self,
        num_cpus: int = 2,
        *,
        object_store_bytes: int = 100_000_000,
        detached: bool = False,
        progress: Progress = say,
    ) -> None:
        self._num_cpus = num_cpus
        self._object_store_bytes = object_store_bytes
        self._detached = detached
        self._progress = progress
        self._directory: Path | None = None
        self._head: Process | None = None
        self._port = 0

    @property
    def directory(self) -> Path:
        """The folder of this cluster's token, logs and sockets."""
        if self._directory is None:
            raise StartFailed("The Ray cluster is not started. Use it in a with block, or call start().")
        return self._directory

    @property
    def address(self) -> str:
        """The URL of the dashboard, and so of the Jobs API."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def token_path(self) -> Path:
        """The file that holds the token; only its owner may read it."""
        return self.directory / "token"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the head and wait until its Jobs API answers; raises StartFailed."""
        sweep(self._progress)
        self._directory = Path(tempfile.mkdtemp(dir=_root(), prefix=""))
        write_private_text(self.token_path, secrets.token_hex(32))
        owner = None if self._detached else ProcessIdentity.of(os.getpid())
        write_state(self._directory, RunState(owner=owner))
        try:
            for tries_left in reversed(range(_START_TRIES)):
                try:
                    self._start_head(owner)
                except AddressInUse:
                    self.kill()
                    if tries_left == 0:
                        raise
                else:
                    return
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the head and all that it started, and remove the folder."""
        self.kill()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def kill(self) -> None:
        """SIGKILL the head and what it started, as a lost machine would; the folder stays until ``stop``."""
        if self._directory is not None:
            _end_family(self._directory)
        head, self._head = self._head, None
        if head is not None:
            head.kill()

    def _start_head(self, owner: ProcessIdentity | None) -> None:
        self._port, agent, metrics, client = free_ports(_PORTS)
        options = {
            "node-ip-address": "127.0.0.1",
            "port": "0",
            "dashboard-host": "127.0.0.1",
            "dashboard-port": str(self._port),
            "dashboard-agent-listen-port": str(agent),
            "metrics-export-port": str(metrics),
            "ray-client-server-port": str(client),
            # Any free port for workers: the default range would be shared with other Rays of the machine.
            "min-worker-port": "0",
            "max-worker-port": "0",
            "num-cpus": str(self._num_cpus),
            "num-gpus": "0",
            "object-store-memory": str(self._object_store_bytes),
            "temp-dir": str(self.directory / "t"),
            "include-log-monitor": "false",
        }
        arguments = [f"--{name}={value}" for name, value in options.items()]
        command = Command(
            name="ray",
            program=Path(sys.executable),
            arguments=["-m", "ray.scripts.scripts", "start", "--head", "--block", *arguments],
            environment={
                "RAY_AUTH_MODE": "token",
                "RAY_AUTH_TOKEN_PATH": str(self.token_path),
                _MARK: str(self.directory),
                "RAY_USAGE_STATS_ENABLED": "0",
                "RAY_enable_worker_prestart": "0",
                # A job that waits for its CPUs longer than this fails; the default is 15 minutes.
                "RAY_JOB_START_TIMEOUT_SECONDS": "86400",
            },
        )
        self._head = start(command, self.directory / "ray.log", detached=self._detached)
        head = RecordedProcess(name="ray", identity=self._head.identity)
        write_state(self.directory, RunState(owner=owner, endpoint=self.address, processes=(head,)))
        self._head.wait_ready(self._answers, _READY_SECONDS)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5.0)
        try:
            token = self.token_path.read_text(encoding="utf-8")
            connection.request("GET", "/api/jobs/", headers={"Authorization": f"Bearer {token}"})
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def take_down(directory: Path) -> None:
    """End the cluster of that folder, whoever started it, and remove the folder."""
    _end_family(directory)
    shutil.rmtree(directory, ignore_errors=True)


def sweep(progress: Progress = say) -> None:
    """Remove what clusters left behind whose owner is gone; detached ones stay until they are taken down."""
    for directory in _root().iterdir():
        state = read_state(directory)
        if state is not None and state.owner is not None and not state.owner.is_alive():
            take_down(directory)
            progress(f"removed the left-over Ray cluster {directory.name}")


def _root() -> Path:
    # Not the user's state folder: Ray puts sockets inside, whose paths must stay below 107 characters.
    root = Path("/tmp") / f"me-ray-{os.getuid()}"
    root.mkdir(mode=0o700, exist_ok=True)
    if root.is_symlink() or root.stat().st_uid != os.getuid():
        raise StartFailed(f"{root} belongs to somebody else. Remove it.")
    return root


def processes_of(directory: Path) -> set[ProcessIdentity]:
    """The processes of a cluster: the recorded head, all with its mark, and their descendants.

    A job's process and its watcher survive the worker that started them, and some of Ray's processes write
    their title over their environment: together the two signs miss none.
    """
    state = read_state(directory)
    found = {each.identity.pid for each in state.processes if each.identity.is_alive()} if state else set()
    mark = f"{_MARK}={directory}".encode()
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


def _parent(entry: Path) -> int:
    text = (entry / "stat").read_text()
    return int(text[text.rindex(")") + 2 :].split()[_PARENT_FIELD])


def _end_family(directory: Path) -> None:
    """SIGKILL until none is left: nothing they hold is worth an orderly end, which takes seconds."""
    deadline = time.monotonic() + _END_SECONDS
    while family := processes_of(directory):
        if time.monotonic() >= deadline:
            raise StartFailed(f"Processes {sorted(each.pid for each in family)} of {directory} do not end.")
        for each in family:
            each.send(signal.SIGKILL)
        time.sleep(_POLL_SECONDS)
