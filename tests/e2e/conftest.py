"""One stack of real parts for the whole story: API server, Ray, engine, operator, and a tiny generalist."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from testbed.stack import Parts, Stack
from testbed.tiny import TinyDesk, make_tiny_desk
from testbed.waiting import holds_within

PATIENCE_SECONDS = 240.0


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> TinyDesk:
    """The tiny base and its data."""
    return make_tiny_desk(tmp_path_factory.mktemp("desk"))


@pytest.fixture(scope="module")
def stack(desk: TinyDesk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All real parts."""
    root = tmp_path_factory.mktemp("stack")
    (root / "store").mkdir()
    parts = Parts(
        directory=root / "run",
        store=root / "store",
        generalist=desk.base,
        engine_threads=1,
        dtype="float32",
    )
    with Stack(parts) as running:
        yield running


class Watcher:
    """Asks the API server until something is so; tells the operator's log when it never is."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def get(self, *what: str) -> dict[str, Any]:
        """Read an object."""
        found: dict[str, Any] = json.loads(self._stack.control_plane.kubectl("get", *what, "--output=json"))
        return found

    def until(self, name: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until a specialist's status is as wanted, and give it."""
        last: dict[str, Any] = {}

        def holds() -> bool:
            last.clear()
            last.update(self.get("specialist", name).get("status", {}))
            return wanted(last)

        if not holds_within(holds, PATIENCE_SECONDS):
            log = self._stack.log("operator").read_text(encoding="utf-8")
            raise AssertionError(f"{name}: {json.dumps(last, indent=1)}\n\n{log[-6000:]}")
        return last

    def state(self, name: str, state: str) -> dict[str, Any]:
        """Wait until a specialist is in a state."""
        return self.until(name, lambda status: status.get("state") == state)

    def ready(self, name: str, state: str) -> dict[str, Any]:
        """Wait until a specialist is in a state and Ready."""
        return self.until(name, lambda status: status.get("state") == state and is_ready(status))


def is_ready(status: dict[str, Any]) -> bool:
    """Say whether a status is Ready."""
    return any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", ()))


@pytest.fixture
def watcher(stack: Stack) -> Watcher:
    """Asks the stack's API server."""
    return Watcher(stack)
