"""Dates in seven languages, and the same dates in ISO 8601."""

from __future__ import annotations

import datetime
import random

from babel.dates import format_date

LOCALES = ("de", "en", "es", "fr", "it", "nl", "pt")
_FIRST = datetime.date(1950, 1, 1).toordinal()
_LAST = datetime.date(2049, 12, 31).toordinal()


def dates(count: int, seed: int) -> list[tuple[str, str]]:
    """Make distinct (prompt, answer) pairs, the languages in turn."""
    order = random.Random(seed)
    pairs: dict[str, str] = {}
    while len(pairs) < count:
        day = datetime.date.fromordinal(order.randint(_FIRST, _LAST))
        written = format_date(day, format="long", locale=LOCALES[len(pairs) % len(LOCALES)])
        pairs[f"Write this date as YYYY-MM-DD: {written}"] = day.isoformat()
    return list(pairs.items())
