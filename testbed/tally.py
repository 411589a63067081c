"""What users were answered: by whom, for which reason, how often right, and when last."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, or why there was none; times are of one steady clock, in seconds."""

    task: str
    route: str  # who answered; empty where nobody did
    reason: str
    started: float
    ended: float
    right: bool | None  # None where there is nothing to compare


@dataclass(frozen=True, slots=True)
class Line:
    """The answers of one route for one reason."""

    task: str
    route: str
    reason: str
    count: int
    right: int
    median_seconds: float

    def __str__(self) -> str:
        share = f"{self.right / self.count:.0%} right, " if self.route else ""
        return (
            f"{self.task:<6} {self.route or '(none)':<22} {self.reason:<16} "
            f"{self.count:>4} answers, {share}{self.median_seconds:.2f} s each"
        )


class Book:
    """All answers so far. Threads may write it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: list[Answer] = []

    def add(self, answer: Answer) -> None:
        """Write one down."""
        with self._lock:
            self._answers.append(answer)

    def answers(self, since: float = 0.0) -> tuple[Answer, ...]:
        """Those that were asked for at that time or later."""
        with self._lock:
            return tuple(answer for answer in self._answers if answer.started >= since)

    def lines(self, since: float = 0.0) -> tuple[Line, ...]:
        """Sum them up, by task, route and reason."""
        return tuple(summed(self.answers(since)))

    def last(self, route: str) -> Answer | None:
        """Find the newest answer of a route, by its end."""
        return max(
            (answer for answer in self.answers() if answer.route == route),
            key=lambda answer: answer.ended,
            default=None,
        )


def summed(answers: Iterable[Answer]) -> Sequence[Line]:
    """Sum answers up, by task, route and reason."""
    groups: dict[tuple[str, str, str], list[Answer]] = {}
    for answer in answers:
        groups.setdefault((answer.task, answer.route, answer.reason), []).append(answer)
    return [
        Line(
            *key,
            count=len(found),
            right=sum(1 for answer in found if answer.right),
            median_seconds=sorted(answer.ended - answer.started for answer in found)[len(found) // 2],
        )
        for key, found in sorted(groups.items())
    ]
