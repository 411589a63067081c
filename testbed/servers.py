"""Servers of this machine: programs on free ports, with a folder of their own, that end with their block."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from testbed.errors import StartFailed
from testbed.family import MARK, end_processes, start_guard
from testbed.identity import ProcessIdentity
from testbed.places import Progress, say
from testbed.processes import Command, Process, on_free_ports, start
from testbed.runs import RecordedProcess, RunState, write_state


class Server(ABC):
    """A program, or some that serve together. They end with their block, and when this process is killed."""

    title: ClassVar[str]
    """What messages call it."""

    def __init__(self, progress: Progress = say) -> None:
        self._progress = progress
        self._detached = False
        self._processes: list[Process] = []
        self._directory: Path | None = None

    @property
    def directory(self) -> Path:
        """The folder of its files, logs and keys. Raises StartFailed before the start."""
        if self._directory is None:
            raise StartFailed(f"{self.title} is not started. Use it in a with block, or call start().")
        return self._directory

    @property
    def processes(self) -> tuple[RecordedProcess, ...]:
        """The processes that this object started, in the order of their start."""
        return tuple(RecordedProcess(name=p.name, identity=p.identity) for p in self._processes)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it answers. Raises StartFailed, or what the search for programs raises."""
        self._directory = self._make_directory()
        try:
            self._prepare()
            on_free_ports(self._begin, self._end, self._progress)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it, and remove its folder."""
        self._end()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def kill(self) -> None:
        """SIGKILL all of it, as a lost machine would; its folder stays until ``stop``."""
        for process in reversed(self._processes):
            process.kill()
        self._processes.clear()

    def revive(self) -> None:
        """Start it again after ``kill``, at the same address with the same keys. Raises StartFailed."""
        self._serve()

    def _make_directory(self) -> Path:
        return Path(tempfile.mkdtemp(prefix="modelecology-testbed-"))

    @abstractmethod
    def _prepare(self) -> None:
        """Find the programs, and make what they need whatever their ports are."""

    @abstractmethod
    def _take_ports(self) -> None:
        """Choose free ports; called again where another process was faster."""

    @abstractmethod
    def _serve(self) -> None:
        """Launch the programs on the ports that were chosen."""

    def _begin(self) -> None:
        self._take_ports()
        self._serve()

    def _end(self) -> None:
        self.kill()

    def _launch(self, command: Command, ready: Callable[[], bool], seconds: float) -> None:
        """Start a program and wait until it is ready. Raises StartFailed, AddressInUse."""
        self._spawn(command).wait_ready(ready, seconds)

    def _spawn(self, command: Command) -> Process:
        process = start(command, self.directory / f"{command.name}.log", detached=self._detached)
        self._processes.append(process)
        return process


class FamilyServer(Server):
    """A server whose program leaves processes of its own behind: all of them are found, and end with it.

    A guard sees to that where this process is killed. A detached one has none and lives on.
    """

    def __init__(self, progress: Progress = say, *, detached: bool = False) -> None:
        super().__init__(progress)
        self._detached = detached
        self._guard: subprocess.Popen[bytes] | None = None

    def stop(self) -> None:
        """End it with all that it started, and remove its folder."""
        super().stop()
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.communicate()  # closes its input, and it ends

    def kill(self) -> None:
        """SIGKILL all of it, as a lost machine would; its folder stays until ``stop``."""
        if self._directory is not None:
            end_processes(self._directory)
        super().kill()

    def _prepare(self) -> None:
        self._record()
        if not self._detached:
            self._guard = start_guard(self.directory)

    def _spawn(self, command: Command) -> Process:
        marked = {**(command.environment or {}), MARK: str(self.directory)}
        process = super()._spawn(replace(command, environment=marked))
        self._record()
        return process

    def _record(self) -> None:
        owner = None if self._detached else ProcessIdentity.of(os.getpid())
        write_state(self.directory, RunState(owner=owner, processes=self.processes))
