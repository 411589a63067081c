"""Starts many operators fast: the imports are done once, and each operator is a fork of that process.

An operator takes two seconds to import what it needs, which a test that kills it twenty times cannot spend.
One JSON line a request on standard input, one a reply: {"start": [argument...], "log": path} gives the
process id, {"poll": pid} the exit code, or null while it runs. At the end of its input the nursery ends, and
its children with it.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

_PR_SET_PDEATHSIG = 1


def serve(run: Callable[[list[str]], int]) -> NoReturn:
    """Serve requests; `run` is what a child does with its arguments, and gives its exit code."""
    for line in sys.stdin:
        request = json.loads(line)
        if "start" in request:
            reply: int | None = _start(run, request["start"], request["log"])
        else:
            reply = _poll(request["poll"])
        sys.stdout.write(f"{json.dumps(reply)}\n")
        sys.stdout.flush()
    sys.exit(0)


def _start(run: Callable[[list[str]], int], arguments: list[str], log: str) -> int:
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        _become(run, arguments, log, parent)
    return child


def _poll(child: int) -> int | None:
    found, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def _become(run: Callable[[list[str]], int], arguments: list[str], log: str, parent: int) -> NoReturn:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    code = 1
    try:
        code = run(arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stderr.flush()
        os._exit(code)
