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
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from testbed.errors import AddressInUse, StartFailed
from testbed.identity import ProcessIdentity
from testbed.kubeconfig import write_private_text
from testbed.places import Progress, say
from testbed.processes import Command, Process, free_ports, start
from testbed.ray_family import MARK, end_processes, start_guard, take_down
from testbed.runs import RecordedProcess, RunState, read_state, write_state

_READY_SECONDS: Final = 120.0
_START_TRIES: Final = 3


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
        self._guard: subprocess.Popen[bytes] | None = None
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
        write_state(self._directory, RunState(owner=self._owner()))
        if not self._detached:
            self._guard = start_guard(self._directory)
        try:
            for tries_left in reversed(range(_START_TRIES)):
                try:
                    self._start_head(free_ports(1)[0])
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
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.communicate()  # closes its input, and it ends

    def kill(self) -> None:
        """SIGKILL the head and what it started, as a lost machine would; the folder stays until ``stop``."""
        if self._directory is not None:
            end_processes(self._directory)
        head, self._head = self._head, None
        if head is not None:
            head.kill()

    def revive(self) -> None:
        """Start a new head after ``kill``, at the same address with the same token; it knows no jobs.

        Raises StartFailed.
        """
        self._start_head(self._port)

    def _owner(self) -> ProcessIdentity | None:
        return None if self._detached else ProcessIdentity.of(os.getpid())

    def _start_head(self, port: int) -> None:
        self._port = port
        agent, metrics, client = free_ports(3)
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
                MARK: str(self.directory),
                "RAY_USAGE_STATS_ENABLED": "0",
                "RAY_enable_worker_prestart": "0",
                # A job that waits for its CPUs longer than this fails; the default is 15 minutes.
                "RAY_JOB_START_TIMEOUT_SECONDS": "86400",
            },
        )
        self._head = start(command, self.directory / "ray.log", detached=self._detached)
        head = RecordedProcess(name="ray", identity=self._head.identity)
        write_state(self.directory, RunState(owner=self._owner(), endpoint=self.address, processes=(head,)))
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
