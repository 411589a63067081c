"""The testbed's own control plane: etcd, kube-apiserver and kube-controller-manager as plain processes."""

from __future__ import annotations

import os
import re
import secrets
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from testbed import commands
from testbed.binaries import Binaries, resolve
from testbed.cluster import Cluster
from testbed.commands import Layout, Network, Ports
from testbed.errors import AlreadyRunning, ControllersAbsent, NotRunning
from testbed.identity import ProcessIdentity
from testbed.keys import Keys
from testbed.kubeconfig import write_kubeconfig
from testbed.places import Progress, runs_root, say
from testbed.processes import Command, Process, free_ports, on_free_ports, start
from testbed.runs import RecordedProcess, RunState, read_state, remove_run, sweep, write_state
from testbed.start import Start

_READY_SECONDS = 60.0
_GRACE_SECONDS = 10.0
_APISERVER = "kube-apiserver"
_CONTROLLERS = "kube-controller-manager"


class ControlPlane(Cluster):
    """A control plane of its own, on free ports of 127.0.0.1, with TLS and RBAC.

    ``with ControlPlane() as cluster:`` starts it and stops it; its processes also end when this process is
    killed. In a ``directory`` of the caller's, logs and data stay to be read after the stop. A ``detached``
    one can be let go by ``release()`` and then runs until ``python -m testbed down``.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        binaries: Binaries | None = None,
        controllers: bool = True,
        audit: bool = False,
        detached: bool = False,
        progress: Progress = say,
    ) -> None:
        self._given_directory = directory
        self._given_binaries = binaries
        self._wants_controllers = controllers
        self._audit = audit
        self._detached = detached
        self._progress = progress
        self._processes: dict[str, Process] = {}
        self._run: Start | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def directory(self) -> Path:
        """The run's folder: logs, data, keys. Raises NotRunning before the start."""
        return self._current.layout.root

    @property
    def audit_log(self) -> Path:
        """One JSON line for each request, if the control plane was made with ``audit=True``."""
        return self._current.layout.audit_log

    @property
    def ports(self) -> Ports:
        """The ports in use."""
        return self._current.ports

    @property
    def kubeconfig(self) -> Path:
        return self._current.layout.kubeconfig

    @property
    def endpoint(self) -> str:
        return self._current.endpoint

    @property
    def kubectl_program(self) -> Path:
        return self._current.binaries.kubectl

    @property
    def scratch(self) -> Path:
        return self._current.layout.root

    @property
    def has_controllers(self) -> bool:
        return _CONTROLLERS in self._processes

    @property
    def processes(self) -> tuple[RecordedProcess, ...]:
        """The processes that this object started, in the order of their start."""
        return tuple(RecordedProcess(name=p.name, identity=p.identity) for p in self._processes.values())

    def start(self) -> None:
        """Start everything and wait until it is ready.

        Raises AlreadyRunning, StartFailed, or what the search for the programs raises.
        """
        if self._run is not None:
            raise AlreadyRunning(f"This control plane runs already in {self.directory}. Stop it first.")
        binaries = self._given_binaries or resolve(self._progress)
        sweep(runs_root(), self._progress)
        root = self._prepare_directory()
        try:
            self._start_on_free_ports(binaries, root)
        except BaseException:
            # The logs stay: the error points to them. The next run removes them.
            self._stop_processes()
            self._run = None
            raise

    def stop(self) -> None:
        """End the processes, last started first, and delete the run's folder unless it was given."""
        run, self._run = self._run, None
        self._stop_processes()
        if run is not None:
            if self._given_directory is None:
                remove_run(run.layout.root)
            else:
                write_state(run.layout.root, RunState())

    def release(self) -> None:
        """Let a detached control plane outlive this process. Raises NotRunning."""
        if not self._detached:
            raise NotRunning("Only a control plane made with detached=True can be released.")
        self._record(owner=None)

    def kubeconfig_for(self, user: str, groups: Sequence[str] = ()) -> Path:
        run = self._current
        name = f"{re.sub(r'[^A-Za-z0-9.-]+', '-', user)}-{secrets.token_hex(4)}"
        client = run.keys.cluster.issue(
            run.layout.pki, f"user-{name}", datetime.now(UTC), user=user, groups=groups
        )
        return write_kubeconfig(
            run.layout.kubeconfigs / name, run.endpoint, run.keys.cluster.files.certificate, user, client
        )

    def kill_apiserver(self) -> None:
        self._process(_APISERVER).kill()

    def start_apiserver(self) -> None:
        self._again(_APISERVER, self._current.apiserver_is_ready)

    def restart_apiserver(self) -> None:
        self._process(_APISERVER).stop(_GRACE_SECONDS)
        self.start_apiserver()

    @contextmanager
    def paused_apiserver(self) -> Iterator[None]:
        held = self._process(_APISERVER).identity
        held.send(signal.SIGSTOP)
        try:
            yield
        finally:
            held.send(signal.SIGCONT)

    def restart_controllers(self) -> None:
        self._process(_CONTROLLERS).stop(_GRACE_SECONDS)
        self._again(_CONTROLLERS, self._current.controllers_are_ready)

    def install_crds(self, *paths: Path) -> None:
        super().install_crds(*paths)
        if self.has_controllers:
            self.restart_controllers()

    @property
    def _current(self) -> Start:
        if self._run is None:
            raise _not_running()
        return self._run

    def _process(self, name: str) -> Process:
        if self._run is None:
            raise _not_running()
        if name not in self._processes:
            raise ControllersAbsent(
                f"This control plane has no {name}. Build it by unsetting KUBEBUILDER_ASSETS, "
                "or put it in that folder."
            )
        return self._processes[name]

    def _prepare_directory(self) -> Path:
        if self._given_directory is None:
            runs_root().mkdir(parents=True, exist_ok=True)
            root = Path(tempfile.mkdtemp(dir=runs_root(), prefix="run-"))
        else:
            root = self._given_directory.absolute()
            state = read_state(root)
            if state is not None and (
                state.is_running() or (state.owner is not None and state.owner.is_alive())
            ):
                raise AlreadyRunning(
                    f"A control plane runs in {root}. End it with: python -m testbed down --dir {root}"
                )
            remove_run(root)
            root.mkdir(parents=True, mode=0o700, exist_ok=True)
        write_state(root, RunState(owner=_self()))
        return root

    def _start_on_free_ports(self, binaries: Binaries, root: Path) -> None:
        layout = Layout(root)
        network = self._choose_network(layout)
        addresses = (network.address, network.kubernetes_service)
        keys = Keys.create(layout.pki, datetime.now(UTC), addresses)
        layout.audit_policy.write_text(commands.AUDIT_POLICY)

        def begin() -> None:
            self._run = Start(binaries, layout, keys, Ports(*free_ports(4)), network)
            self._start_processes(self._run)
            self._record(owner=_self())

        on_free_ports(begin, self._stop_processes, self._progress)

    def _start_processes(self, run: Start) -> None:
        run.write_kubeconfigs()
        etcd = self._launch(commands.etcd(run.binaries, run.layout, run.keys, run.ports))
        etcd.wait_ready(run.etcd_is_ready, _READY_SECONDS)
        server = self._launch(self._apiserver(run))
        server.wait_ready(run.apiserver_is_ready, _READY_SECONDS)
        program = run.binaries.controller_manager
        if self._wants_controllers and program is None:
            self._progress(f"{run.binaries.folder} has no {_CONTROLLERS}: no garbage collection in this run")
        elif self._wants_controllers and program is not None:
            manager = self._launch(self._controllers(run, program))
            manager.wait_ready(run.controllers_are_ready, _READY_SECONDS)

    def _choose_network(self, layout: Layout) -> Network:
        """Where this control plane listens; called once, before anything is started."""
        return Network()

    def _apiserver(self, run: Start) -> Command:
        return commands.apiserver(
            run.binaries, run.layout, run.keys, run.ports, run.network, audit=self._audit
        )

    def _controllers(self, run: Start, program: Path) -> Command:
        return commands.controllers(program, run.layout, run.keys, run.ports)

    def _launch(self, command: Command) -> Process:
        process = start(command, self._current.layout.log(command.name), detached=self._detached)
        self._processes[command.name] = process
        self._record(owner=_self(), ready=False)
        return process

    def _again(self, name: str, ready: Callable[[], bool]) -> None:
        """Start a program again with the same command line: same port, same data."""
        old = self._process(name)
        if old.returncode() is None:
            raise AlreadyRunning(f"{name} runs already. Kill it first.")
        self._launch(old.command).wait_ready(ready, _READY_SECONDS)
        self._record(owner=_self())

    def _record(self, *, owner: ProcessIdentity | None, ready: bool = True) -> None:
        run = self._current
        write_state(
            run.layout.root,
            RunState(owner=owner, endpoint=run.endpoint if ready else None, processes=self.processes),
        )

    def _stop_processes(self) -> None:
        for process in reversed(self._processes.values()):
            process.stop(_GRACE_SECONDS)
        self._processes.clear()


def _not_running() -> NotRunning:
    return NotRunning("The control plane is not running. Call start() or use it in a with statement.")


def _self() -> ProcessIdentity:
    identity = ProcessIdentity.of(os.getpid())
    if identity is None:
        raise NotRunning("This process is not in /proc. The testbed needs Linux with /proc mounted.")
    return identity
