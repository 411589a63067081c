"""Starts programs with a log file each, waits until they are ready, and ends them: its own ones only."""

from __future__ import annotations

import os
import queue
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from testbed.errors import AddressInUse, StartFailed
from testbed.identity import ProcessIdentity
from testbed.places import Progress
from testbed.waiting import holds_within

_LEASH = Path(__file__).resolve().parent / "leash.py"
_TAIL_BYTES = 16_384
_TAIL_LINES = 15
_TAKEN = "address already in use"
_STARTS = 5
_PORT_TRIES = 200
_LOWEST_PORT = 10_000


@dataclass(frozen=True, slots=True)
class Command:
    """What to run: a name for its log, the program and its arguments, and extra environment."""

    name: str
    program: Path
    arguments: Sequence[str]
    environment: Mapping[str, str] | None = None


class Process:
    """A program that this process started; its output goes to ``log_path``."""

    def __init__(
        self, command: Command, log_path: Path, popen: subprocess.Popen[bytes], log_start: int
    ) -> None:
        self.name = command.name
        self.command = command
        self.log_path = log_path
        self._popen = popen
        self._log_start = log_start
        identity = ProcessIdentity.of(popen.pid)
        if identity is None:
            raise self.failure("ended at once")
        self.identity = identity

    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._popen.poll()

    def output(self) -> str:
        """The last lines that this start of the program wrote."""
        with self.log_path.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, end - _TAIL_BYTES))
            return log.read().decode(errors="replace")

    def failure(self, what: str) -> StartFailed:
        """An error that says what happened, the last lines and where the rest is."""
        text = self.output()
        kind = AddressInUse if _TAKEN in text.lower() else StartFailed
        last = "\n  ".join(text.splitlines()[-_TAIL_LINES:])
        return kind(f"{self.name} {what}. Its last lines ({self.log_path} has all):\n  {last}")

    def wait_ready(self, ready: Callable[[], bool], timeout_seconds: float) -> None:
        """Ask ``ready`` until it says yes; raises StartFailed or AddressInUse if it ends or is late."""

        def is_ready() -> bool:
            code = self.returncode()
            if code is not None:
                raise self.failure(f"ended with exit code {code} before it was ready")
            return ready()

        if not holds_within(is_ready, timeout_seconds):
            raise self.failure(f"was not ready after {timeout_seconds:.0f} s")

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self._popen.kill()
        self._popen.wait()

    def stop(self, grace_seconds: float) -> None:
        """SIGTERM, then SIGKILL after the grace time; does nothing if it has ended."""
        if self.returncode() is not None:
            return
        self._popen.send_signal(signal.SIGTERM)
        try:
            self._popen.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            self.kill()


def start(command: Command, log_path: Path, *, detached: bool = False) -> Process:
    """Start a program; unless detached it ends with this process, even if this one is killed.

    Raises StartFailed if the program cannot be run.
    """
    line = [str(command.program), *command.arguments]
    if not detached:
        line = [sys.executable, "-I", "-S", str(_LEASH), str(os.getpid()), *line]
    log_path.parent.mkdir(parents=True, exist_ok=True)

    def spawn() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            line,
            cwd=log_path.parent,
            env={**os.environ, **(command.environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # Ctrl-C reaches the terminal's foreground group only: these end in order, by us.
            process_group=None if detached else 0,
            start_new_session=detached,
        )

    with log_path.open("ab") as log:
        log_start = log.tell()
        try:
            popen = _SPAWNER.run(spawn)
        except OSError as error:
            raise StartFailed(f"{command.name} cannot be run: {error}") from error
    return Process(command, log_path, popen, log_start)


class _Spawner:
    """Starts all programs from one thread that lives as long as the process.

    The kernel sends the death signal when the *thread* that started a program ends, and a caller may well
    be in a short-lived one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = 0
        self._jobs: queue.SimpleQueue[tuple[Callable[[], subprocess.Popen[bytes]], _Answer]]

    def run(self, spawn: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        answer: _Answer = Future()
        with self._lock:
            # A forked copy of this process has the queue but not the thread.
            if self._pid != os.getpid():
                self._jobs = queue.SimpleQueue()
                self._pid = os.getpid()
                threading.Thread(target=self._serve, name="testbed-spawner", daemon=True).start()
            self._jobs.put((spawn, answer))
        return answer.result()

    def _serve(self) -> None:
        while True:
            spawn, answer = self._jobs.get()
            try:
                answer.set_result(spawn())
            except BaseException as error:  # handed to the caller, who raises it
                answer.set_exception(error)


_Answer = Future[subprocess.Popen[bytes]]
_SPAWNER = _Spawner()


def on_free_ports(begin: Callable[[], None], end: Callable[[], None], progress: Progress) -> None:
    """Begin what takes free ports; where another process was faster, end it and begin again, a few times.

    Raises AddressInUse, and what `begin` raises.
    """
    for left in reversed(range(_STARTS)):
        try:
            begin()
        except AddressInUse:
            end()
            if not left:
                raise
            progress("a port was taken by another process; starting on other ports")
        else:
            return


def free_ports(count: int) -> list[int]:
    """Different free TCP ports on 127.0.0.1, below the range that the kernel gives to clients.

    A port from that range could be taken by any client while its server is down for a moment; a client that
    tries to reach the downed server may even be given the server's port and connect to itself.
    """
    with Path("/proc/sys/net/ipv4/ip_local_port_range").open() as limits:
        first_client_port = int(limits.read().split()[0])
    held: list[socket.socket] = []
    try:
        for _ in range(_PORT_TRIES):
            if len(held) == count:
                break
            candidate = _try_port(first_client_port)
            if candidate is not None:
                held.append(candidate)
        if len(held) < count:
            raise AddressInUse(f"No {count} free ports were found on 127.0.0.1. End what holds them.")
        return [s.getsockname()[1] for s in held]
    finally:
        for s in held:
            s.close()


def _try_port(first_client_port: int) -> socket.socket | None:
    # A machine may give clients nearly all ports: then let the kernel choose one.
    narrow = first_client_port <= _LOWEST_PORT + _PORT_TRIES
    port = 0 if narrow else random.SystemRandom().randrange(_LOWEST_PORT, first_client_port)
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        s.bind(("127.0.0.1", port))
    except OSError:
        s.close()
        return None
    return s
