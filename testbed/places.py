"""Where the testbed keeps what it builds and what it runs, and how it tells of its progress."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Progress = Callable[[str], None]

GO_MODULES = Path(__file__).resolve().parent / "go"
REPOSITORY = Path(__file__).resolve().parent.parent


def say(line: str) -> None:
    """Write one progress line to standard error, so that standard output stays for the answer."""
    print(f"testbed: {line}", file=sys.stderr, flush=True)


def cache_root() -> Path:
    """The user's cache of built programs; it may be deleted at any time."""
    return _base("XDG_CACHE_HOME", ".cache") / "modelecology" / "testbed"


def runs_root() -> Path:
    """The folder of run directories: logs, data and keys of each control plane."""
    return _base("XDG_STATE_HOME", ".local/state") / "modelecology" / "testbed"


def _base(variable: str, default: str) -> Path:
    given = os.environ.get(variable, "")
    # The XDG rules say that a relative path is to be ignored.
    return Path(given) if given.startswith("/") else Path.home() / default


@contextmanager
def exclusive(lock: Path, progress: Progress, waiting_for: str) -> Iterator[None]:
    """Hold a lock file while the block runs; say so once if another process holds it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"another process holds {lock}; waiting for it ({waiting_for})")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
