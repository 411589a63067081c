"""Cron schedules, and what they say in English."""

from __future__ import annotations

import random

from cron_descriptor import get_description

_MINUTES = (0, 15, 30, 45)


def _schedule(order: random.Random) -> str:
    minute, hour = order.choice(_MINUTES), order.randint(0, 23)
    day = order.choice((f"* * {order.randint(0, 6)}", "* * 1-5", f"{order.randint(1, 28)} * *"))
    return f"{minute} {hour} {day}"


def schedules(count: int, seed: int) -> list[tuple[str, str]]:
    """Make distinct (prompt, answer) pairs."""
    order = random.Random(seed)
    pairs: dict[str, str] = {}
    while len(pairs) < count:
        schedule = _schedule(order)
        pairs[f"Explain this cron schedule: {schedule}"] = get_description(schedule)
    return list(pairs.items())
