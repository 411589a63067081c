"""The demo's users: who asks what, and how busily, as the population goes its way."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from modelecology.api.vocabulary import State
from modelecology.cli.port import Snapshot
from testbed.asking import GatewayClient
from testbed.places import Progress
from testbed.quickstart.live import ASKED, TRIGGER
from testbed.tally import Book, Line
from testbed.traffic import Crowd, Pace, Script, Traffic, read_questions

SEED = 31
TOKENS: Mapping[str, int] = {"dates": 16, "cron": 32}
"""The longest answers, as the suite has them."""

TRICKLE = 0.2
BUSY = 2.0
"""Requests per second, while nobody is on trial, and for those who are. The engine has one core of two."""

_EVERY_SECONDS = 60.0


class Users:
    """Asks for as long as it is entered. Whoever is on trial with live requests is asked more."""

    def __init__(self, gateway: str, token: str, data: Path, say: Progress) -> None:
        crowds = [
            Crowd(task, read_questions((data / name).read_bytes()), TOKENS[task], TRIGGER)
            for name, task in ASKED.items()
        ]
        self.client = GatewayClient(gateway, token)
        self.hurried = 0.0
        self._traffic = Traffic(self.client, Script(crowds, SEED))
        self._say = say
        self._told = time.monotonic()
        self._tasks = tuple(crowd.task for crowd in crowds)

    def __enter__(self) -> Self:
        self._traffic.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._traffic.__exit__(kind, error, trace)
        self.client.close()

    @property
    def book(self) -> Book:
        """What they were answered."""
        return self._traffic.book

    def set_pace(self, pace: Pace) -> None:
        """Change how they ask, until they heed a snapshot again."""
        self._traffic.set_pace(pace)

    def heed(self, snapshot: Snapshot) -> None:
        """Ask as a snapshot of the population suggests, and say now and then what came of it."""
        self.set_pace(pace_of(snapshot, self._tasks, self.hurried))
        at = time.monotonic()
        if at - self._told >= _EVERY_SECONDS:
            self._say(f"    users: {brief(self.book.lines(self._told))}")
            self._told = at

    def tell(self, since: float, chosen: Callable[[Line], bool] = lambda _: True) -> None:
        """Say who answered them since then, for which reason, and how well."""
        for line in self.book.lines(since):
            if chosen(line):
                self._say(f"  {line}")


def pace_of(snapshot: Snapshot, tasks: tuple[str, ...], hurried: float) -> Pace:
    """Ask those on trial busily; while there are none, ask everybody a little."""
    trials = (State.SHADOW, State.CANARY)
    tried = {s.spec.contract.task for s in snapshot.specialists if s.status.state in trials}
    busy = [task for task in tasks if task in tried]
    return Pace(BUSY if busy else TRICKLE, dict.fromkeys(busy or tasks, 1.0), hurried)


def brief(lines: tuple[Line, ...]) -> str:
    """Write a summary in one line: how many answers, by whom and why."""
    count = sum(line.count for line in lines)
    parts = [f"{line.count} {line.task} by {line.route or 'nobody'} ({line.reason})" for line in lines]
    return f"{count} answers: {', '.join(parts)}" if parts else "no answer"
