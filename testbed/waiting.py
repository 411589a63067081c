"""Waits for a condition of another process, which can only be asked, with a bound."""

from __future__ import annotations

import time
from collections.abc import Callable

_POLL_SECONDS = 0.03


def holds_within(condition: Callable[[], bool], seconds: float, every: float = _POLL_SECONDS) -> bool:
    """Ask until the condition holds; False if it still does not after the given seconds.

    `every` is the pause after each question: what is dear to ask is asked seldom.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(every)
    return True
