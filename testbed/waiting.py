"""Waits for a condition of another process, which can only be asked, with a bound."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

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


async def until(
    condition: Callable[[], bool | Awaitable[bool]], seconds: float = 60.0, every: float = 0.005
) -> None:
    """Ask until the condition holds, while other tasks go on. Raises TimeoutError after the given seconds."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(every)
