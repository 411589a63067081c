"""Operators as processes, started by a nursery, with doubles for Ray and the engine."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from modelecology.jobs.double import InMemoryRunner
from testbed.pretend_desk import PLAYBOOK
from testbed.processes import free_ports
from testbed.waiting import holds_within

START_SECONDS = 90.0
_STEP_SECONDS = 0.02


class Nursery:
    """A process that forks operators; all of them end with it, and it with this process."""

    def __init__(self, kubeconfig: Path) -> None:
        environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "OPENBLAS_NUM_THREADS": "1"}
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "testbed.pretend_operator", "--nursery"],
            cwd=Path(__file__).resolve().parents[1],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(START_SECONDS)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def start(self, arguments: list[str], log: Path) -> int:
        """Start an operator; gives its process id."""
        pid = self._ask({"start": arguments, "log": str(log)})
        if pid is None:
            raise RuntimeError("the nursery gave no process id")
        return pid

    def poll(self, pid: int) -> int | None:
        """Give the exit code of an operator, or None while it runs."""
        return self._ask({"poll": pid})

    def _ask(self, request: dict[str, object]) -> int | None:
        with self._lock:
            if self._process.stdin is None or self._process.stdout is None:
                raise RuntimeError("the nursery has no pipes")
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            reply: int | None = json.loads(self._process.stdout.readline())
            return reply


class Operator:
    """One operator on a namespace, and its successors after a kill; `directory` holds all files."""

    def __init__(self, nursery: Nursery, directory: Path, namespace: str, *options: str) -> None:
        self._nursery = nursery
        self._options = options
        self.directory = directory
        self.log_path = directory / f"operator-{id(self):x}.log"
        directory.mkdir(parents=True, exist_ok=True)
        self.log_path.touch()
        self._namespace = namespace
        self._port = 0
        self._pid: int | None = None

    def start(self) -> None:
        """Start an operator."""
        (self._port,) = free_ports(1)
        arguments = [str(self.directory), "--jobs-elsewhere", f"--namespace={self._namespace}"]
        arguments += ["--health-host=127.0.0.1", f"--health-port={self._port}", *self._options]
        self._pid = self._nursery.start(arguments, self.log_path)

    def wait_ready(self) -> None:
        """Wait until it watches. Raises TimeoutError with the end of its log."""
        if not holds_within(lambda: self.answers("/readyz"), START_SECONDS):
            raise TimeoutError(f"the operator is not ready:\n{self.log()[-2000:]}")

    def answers(self, path: str) -> bool:
        """Say whether a probe answers 200."""
        return self.ask(path)[0] == 200

    def ask(self, path: str) -> tuple[int, str]:
        """Ask a probe or the metrics: status and text; 0 if nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=5) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def writes(self) -> dict[str, float]:
        """Count the writes to the API by verb and kind, such as `patch-status Specialist`."""
        found = re.findall(
            r'^modelecology_api_writes_total\{kind="(\w+)",verb="([\w-]+)"\} (\S+)$',
            self.ask("/metrics")[1],
            re.MULTILINE,
        )
        return {f"{verb} {kind}": float(count) for kind, verb, count in found}

    def log(self) -> str:
        """What it and its predecessors wrote."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def exit_code(self) -> int | None:
        """The exit code; None while it runs."""
        return self._nursery.poll(self._pid) if self._pid is not None else None

    def ended(self) -> int | None:
        """Take note of an end that nobody here asked for: its exit code; None while it runs."""
        code = self.exit_code()
        if code is not None:
            self._pid = None
        return code

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self._end(signal.SIGKILL)

    def stop(self, seconds: float = 30.0) -> int:
        """SIGTERM, and wait for the end; gives the exit code. Raises TimeoutError."""
        return self._end(signal.SIGTERM, seconds)

    def _end(self, number: signal.Signals, seconds: float = 30.0) -> int:
        pid = self._pid
        if pid is None:
            return 0
        os.kill(pid, number)
        code: list[int] = []

        def ended() -> bool:
            found = self._nursery.poll(pid)
            if found is not None:
                code.append(found)
            return found is not None

        if not holds_within(ended, seconds):
            raise TimeoutError(f"the operator did not end within {seconds} s:\n{self.log()[-2000:]}")
        self._pid = None
        return code[0]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._pid is not None and self._nursery.poll(self._pid) is None:
            self.kill()


@contextmanager
def jobs_at_work(directory: Path, pause: float = _STEP_SECONDS) -> Iterator[InMemoryRunner]:
    """Advance all jobs of a directory, one step each `pause` seconds, in a thread of this process."""
    runner = InMemoryRunner(PLAYBOOK.effect, directory=directory)
    done = threading.Event()

    def advance() -> None:
        while not done.wait(pause):
            runner.step()

    thread = threading.Thread(target=advance, name="pretend-jobs")
    thread.start()
    try:
        yield runner
    finally:
        done.set()
        thread.join()
