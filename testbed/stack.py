"""All real parts of one population on this machine: control plane, Ray, engine, operator.

The demo and the tests of the main job use it. Everything that was started ends with it, or is recorded when
it is to stay.
"""

from __future__ import annotations

import http.client
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from testbed.controlplane import ControlPlane
from testbed.kubeconfig import write_private_text
from testbed.places import REPOSITORY, Progress, say
from testbed.processes import Command, Process, free_ports, start
from testbed.ray import RayCluster
from testbed.ray_family import take_down as take_down_ray
from testbed.runs import RecordedProcess, RunState, read_state, remove_run, write_state

ENGINE_SECONDS = 180.0
OPERATOR_SECONDS = 60.0
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
        self._engine_port = 0
        self.health_port = 0

    @property
    def engine(self) -> str:
        """Base address of the engine."""
        return f"http://127.0.0.1:{self._engine_port}"

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
        except BaseException:
            self.stop()
            raise

    def release(self) -> None:
        """Let everything live on after this process ends."""
        self.control_plane.release()

    def _record(self) -> None:
        """Write down what runs: should this process be killed, the next start finds it and ends it."""
        found = [p for p in (self._engine, self._operator) if p is not None]
        recorded = tuple(RecordedProcess(name=p.name, identity=p.identity) for p in found)
        write_state(self.parts.directory, RunState(endpoint=self.engine, processes=recorded))

    def stop(self) -> None:
        """End everything."""
        for process in (self._operator, self._engine):
            if process is not None:
                process.stop(_GRACE_SECONDS)
        self._operator = self._engine = None
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
        self._engine.wait_ready(lambda: answers(self._engine_port, "/health"), ENGINE_SECONDS)

    def kill_engine(self) -> None:
        """SIGKILL the engine."""
        if self._engine is not None:
            self._engine.kill()

    def start_operator(self) -> None:
        """Start the operator with the rights of its Role and nothing more. Raises StartFailed."""
        kubeconfig = self._operator_rights()
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
        self._operator.wait_ready(lambda: answers(self.health_port, "/readyz"), OPERATOR_SECONDS)

    def kill_operator(self) -> None:
        """SIGKILL the operator."""
        if self._operator is not None:
            self._operator.kill()

    def log(self, name: str) -> Path:
        """The log of a part: engine or operator."""
        return self.parts.directory / "logs" / f"{name}.log"

    def _operator_rights(self) -> Path:
        namespace = self.parts.namespace
        self.control_plane.kubectl(
            "apply", "--server-side", f"--namespace={namespace}", "-k", str(REPOSITORY / "manifests/operator")
        )
        user = f"system:serviceaccount:{namespace}:modelecology-operator"
        return self.control_plane.kubeconfig_for(user)

    def _module(
        self, module: str, name: str, options: Mapping[str, str], environment: Mapping[str, str] | None = None
    ) -> Process:
        arguments = ["-m", module, *(f"--{key}={value}" for key, value in options.items())]
        command = Command(name, Path(sys.executable), arguments, environment)
        return start(command, self.log(name), detached=self._keep)


def answers(port: int, path: str) -> bool:
    """Say whether a local server answers 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5.0)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def take_down(directory: Path, progress: Progress = say) -> None:
    """End a stack that was left running, and remove its folder."""
    state = read_state(directory)
    if state is not None:
        ended = state.end_processes()
        if ended:
            progress(f"ended {', '.join(ended)} of the last run")
    note = directory / "ray-directory"
    if note.exists() and Path(note.read_text(encoding="utf-8")).is_dir():
        take_down_ray(Path(note.read_text(encoding="utf-8")))
    remove_run(directory / "cluster")
    shutil.rmtree(directory, ignore_errors=True)
