"""All real parts of one population on this machine: control plane, Ray, engine, operator, and a gateway.

The demo and the tests of the main job use it. Everything that was started ends with it, or is recorded when
it is to stay.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe
from types import TracebackType
from typing import Self

from testbed.controlplane import ControlPlane
from testbed.family import take_down as take_down_family
from testbed.kubeconfig import write_private_text
from testbed.places import REPOSITORY, Progress, say
from testbed.probe import answers_plainly
from testbed.processes import Command, Process, free_ports, start
from testbed.ray import RayCluster
from testbed.rights import gateway_rights, operator_rights
from testbed.runs import RecordedProcess, RunState, read_state, remove_run, write_state

ENGINE_SECONDS = 180.0
OPERATOR_SECONDS = 60.0
GATEWAY_SECONDS = 60.0
_GRACE_SECONDS = 10.0
RAY_SECRET = "ray-token"


@dataclass(frozen=True, slots=True)
class Parts:
    """Where the stack works, and what it serves."""

    directory: Path  # kubeconfig, logs, secrets; removed at the next start
    store: Path
    generalist: Path
    namespace: str = "default"
    engine_threads: int = 1
    dtype: str = "bfloat16"
    population: str | None = None  # has a gateway, which keeps its records in the store


class Stack:
    """The parts, started in order and ended in reverse. `keep` lets them live on after this process."""

    def __init__(self, parts: Parts, *, keep: bool = False, progress: Progress = say) -> None:
        self.parts = parts
        self._keep = keep
        self._progress = progress
        self.control_plane = ControlPlane(parts.directory / "cluster", detached=keep, progress=progress)
        self.ray = RayCluster(detached=keep, progress=progress)
        self._engine: Process | None = None
        self._operator: Process | None = None
        self._gateway: Process | None = None
        self._engine_port = 0
        self._gateway_port = 0
        self.health_port = 0

    @property
    def engine(self) -> str:
        """Base address of the engine."""
        return f"http://127.0.0.1:{self._engine_port}"

    @property
    def gateway(self) -> str:
        """Base address of the gateway."""
        return f"http://127.0.0.1:{self._gateway_port}"

    @property
    def gateway_token(self) -> Path:
        """The file with the token that the gateway asks for."""
        return self.parts.directory / "secrets" / "gateway-token"

    @property
    def records(self) -> Path:
        """Where the gateway writes down what it sees."""
        return self.parts.store / "live"

    @property
    def ray_directory_note(self) -> Path:
        """The file that says which Ray belongs to this stack."""
        return self.parts.directory / "ray-directory"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._keep or error is not None:
            self.stop()

    def start(self) -> None:
        """Start everything and wait until each part answers. Raises StartFailed."""
        take_down(self.parts.directory, self._progress)
        self.parts.directory.mkdir(parents=True, exist_ok=True)
        try:
            self.control_plane.start()
            self.control_plane.install_crds(REPOSITORY / "crds")
            self._progress(f"the API server answers at {self.control_plane.endpoint}")
            self.ray.start()
            self.ray_directory_note.write_text(str(self.ray.directory), encoding="utf-8")
            self._progress(f"Ray answers at {self.ray.address}, to those with its token")
            self.start_engine()
            self._progress(f"the engine serves the generalist at {self.engine}")
            self.start_operator()
            self._progress(f"the operator watches namespace {self.parts.namespace}")
            if self.parts.population is not None:
                self.start_gateway(self.parts.population)
                self._progress(f"the gateway answers at {self.gateway}, to those with its token")
        except BaseException:
            self.stop()
            raise

    def release(self) -> None:
        """Let everything live on after this process ends."""
        self.control_plane.release()

    def _record(self) -> None:
        """Write down what runs: should this process be killed, the next start finds it and ends it."""
        found = [p for p in (self._engine, self._operator, self._gateway) if p is not None]
        recorded = tuple(RecordedProcess(name=p.name, identity=p.identity) for p in found)
        write_state(self.parts.directory, RunState(endpoint=self.engine, processes=recorded))

    def stop(self) -> None:
        """End everything."""
        for process in (self._gateway, self._operator, self._engine):
            if process is not None:
                process.stop(_GRACE_SECONDS)
        self._gateway = self._operator = self._engine = None
        self.ray.stop()
        self.control_plane.stop()

    def start_engine(self) -> None:
        """Start the engine on its port, which stays the same. Raises StartFailed."""
        if not self._engine_port:
            (self._engine_port,) = free_ports(1)
        options = {
            "model": str(self.parts.generalist),
            "host": "127.0.0.1",
            "port": str(self._engine_port),
            "max-loras": "4",
            "max-lora-rank": "16",
            "dtype": self.parts.dtype,
            "threads": str(self.parts.engine_threads),
            "allow-root": str(self.parts.store),
        }
        self._engine = self._module("modelecology.serving.engine", "engine", options)
        self._record()
        self._engine.wait_ready(lambda: answers_plainly(self._engine_port, "/health"), ENGINE_SECONDS)

    def kill_engine(self) -> None:
        """SIGKILL the engine."""
        if self._engine is not None:
            self._engine.kill()

    def start_operator(self) -> None:
        """Start the operator with the rights of its Role and nothing more. Raises StartFailed."""
        kubeconfig = operator_rights(
            self.control_plane,
            self.parts.namespace,
            self.parts.directory / "operator",
            tables=self.parts.population is not None,
        )
        secrets = self.parts.directory / "secrets"
        mounted = secrets / self.parts.namespace / RAY_SECRET
        mounted.mkdir(parents=True, exist_ok=True)
        write_private_text(mounted / "token", self.ray.token_path.read_text(encoding="utf-8"))
        if not self.health_port:
            (self.health_port,) = free_ports(1)
        options = {
            "namespace": self.parts.namespace,
            "health-host": "127.0.0.1",
            "health-port": str(self.health_port),
            "secrets": str(secrets),
            "job-python": sys.executable,
        }
        self._operator = self._module(
            "modelecology.app", "operator", options, {"KUBECONFIG": str(kubeconfig)}
        )
        self._record()
        self._operator.wait_ready(lambda: answers_plainly(self.health_port, "/readyz"), OPERATOR_SECONDS)

    def kill_operator(self) -> None:
        """SIGKILL the operator."""
        if self._operator is not None:
            self._operator.kill()

    def start_gateway(self, population: str) -> None:
        """Start a gateway, with the right to watch its table and no other. Raises StartFailed."""
        if not self._gateway_port:
            (self._gateway_port,) = free_ports(1)
        if not self.gateway_token.exists():
            write_private_text(self.gateway_token, token_urlsafe(32))
        options = {
            "population": population,
            "namespace": self.parts.namespace,
            "kubeconfig": str(gateway_rights(self.control_plane, self.parts.namespace, population)),
            "host": "127.0.0.1",
            "port": str(self._gateway_port),
            "token-file": str(self.gateway_token),
            "records-dir": str(self.records),
            "mirror-concurrency": "1",  # the engine has one thread, and users go first
        }
        self._gateway = self._module("modelecology.serving.gateway", "gateway", options)
        self._record()
        self._gateway.wait_ready(lambda: answers_plainly(self._gateway_port, "/healthz"), GATEWAY_SECONDS)

    def gateway_has_table(self) -> bool:
        """Say whether the gateway knows where requests go."""
        return answers_plainly(self._gateway_port, "/readyz")

    def log(self, name: str) -> Path:
        """The log of a part: engine, operator or gateway."""
        return self.parts.directory / "logs" / f"{name}.log"

    def _module(
        self, module: str, name: str, options: Mapping[str, str], environment: Mapping[str, str] | None = None
    ) -> Process:
        arguments = ["-m", module, *(f"--{key}={value}" for key, value in options.items())]
        command = Command(name, Path(sys.executable), arguments, environment)
        return start(command, self.log(name), detached=self._keep)


def take_down(directory: Path, progress: Progress = say) -> None:
    """End a stack that was left running, and remove its folder."""
    state = read_state(directory)
    if state is not None:
        ended = state.end_processes()
        if ended:
            progress(f"ended {', '.join(ended)} of the last run")
    note = directory / "ray-directory"
    if note.exists() and Path(note.read_text(encoding="utf-8")).is_dir():
        take_down_family(Path(note.read_text(encoding="utf-8")))
    remove_run(directory / "cluster")
    shutil.rmtree(directory, ignore_errors=True)
