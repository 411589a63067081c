"""A real Ray head on this machine, with token authentication on: what jobs run on in tests and in the demo.

``with RayCluster() as ray:`` gives ``ray.address`` and ``ray.token_path``. It listens on free ports, keeps
its files in a folder of its own, and ends its own processes only, never with ``ray stop``, which ends every
Ray of the machine.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from pathlib import Path
from typing import Final

from testbed.errors import StartFailed
from testbed.family import take_down
from testbed.kubeconfig import write_private_text
from testbed.places import Progress, say
from testbed.probe import answers_plainly
from testbed.processes import Command, free_ports
from testbed.runs import read_state
from testbed.servers import FamilyServer

_READY_SECONDS: Final = 120.0


class RayCluster(FamilyServer):
    """A Ray head with ``num_cpus`` CPUs, whatever the machine has; ``object_store_bytes`` of shared memory.

    A detached one lives on after this process until ``take_down`` is called with its ``directory``. One that
    is revived knows no jobs.
    """

    title = "The Ray cluster"

    def __init__(
        self,
        num_cpus: int = 2,
        *,
        object_store_bytes: int = 100_000_000,
        detached: bool = False,
        progress: Progress = say,
    ) -> None:
        super().__init__(progress, detached=detached)
        self._num_cpus = num_cpus
        self._object_store_bytes = object_store_bytes
        self._token = secrets.token_hex(32)
        self._port = 0

    @property
    def address(self) -> str:
        """The URL of the dashboard, and so of the Jobs API."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def token_path(self) -> Path:
        """The file that holds the token; only its owner may read it."""
        return self.directory / "token"

    def _make_directory(self) -> Path:
        sweep(self._progress)
        return Path(tempfile.mkdtemp(dir=_root(), prefix=""))

    def _prepare(self) -> None:
        super()._prepare()
        write_private_text(self.token_path, self._token)

    def _take_ports(self) -> None:
        (self._port,) = free_ports(1)

    def _serve(self) -> None:
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
                "RAY_USAGE_STATS_ENABLED": "0",
                "RAY_enable_worker_prestart": "0",
                # A job that waits for its CPUs longer than this fails; the default is 15 minutes.
                "RAY_JOB_START_TIMEOUT_SECONDS": "86400",
            },
        )
        self._launch(command, self._answers, _READY_SECONDS)

    def _answers(self) -> bool:
        return answers_plainly(self._port, "/api/jobs/", token=self._token)


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
