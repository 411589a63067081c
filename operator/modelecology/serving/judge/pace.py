"""How fast a judge is asked: an even pace, and longer and longer pauses while it is away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_LONGEST_PAUSE: Final = 60.0


class Pace:
    """Gives each judgement its time to begin. Times are the clock's, in seconds."""

    def __init__(self, per_minute: int, clock: Callable[[], float], first_pause: float = 1.0) -> None:
        self._between = 60.0 / per_minute
        self._clock = clock
        self._first_pause = first_pause
        self._next = 0.0
        self._pause = 0.0

    def wait(self) -> float:
        """Take the next time to begin, and say how long it is until then."""
        now = self._clock()
        begins = max(now, self._next)
        self._next = begins + self._between
        return begins - now

    def answered(self) -> None:
        """The judge is there."""
        self._pause = 0.0

    def away(self) -> float:
        """The judge is away: nothing begins for so many seconds."""
        self._pause = min(max(self._first_pause, 2 * self._pause), _LONGEST_PAUSE)
        self._next = max(self._next, self._clock() + self._pause)
        return self._pause
