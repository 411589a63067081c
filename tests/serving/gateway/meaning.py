"""A model of embeddings in a line: three directions, by the words of a text; and examples of two tasks."""

from __future__ import annotations

import re
from typing import Any

EXAMPLES = [
    {"task": "dates", "by": "Example", "value": "which day is the first of May?"},
    {"task": "dates", "by": "Example", "value": "write the date as ISO 8601"},
    {"task": "cron", "by": "Example", "value": "every five minutes"},
]
_WORDS = ({"day", "date", "may", "june", "iso"}, {"every", "minutes", "hour", "cron"})


def meaning(text: str) -> tuple[float, float, float]:
    """The direction of a text: towards dates, cron or neither."""
    words = set(re.findall(r"\w+", text.lower()))
    dates, cron = (float(len(words & each)) for each in _WORDS)
    return dates, cron, 0.0 if dates or cron else 1.0


def classifier_of(**changes: Any) -> dict[str, Any]:
    """The classifier of a table, which is proven to be right about dates alone."""
    whole = {
        "endpoint": "http://127.0.0.1:9",
        "model": "m",
        "minimumSimilarity": 0.5,
        "sample": 1.0,
        "tasks": ["dates"],
    }
    return {**whole, **changes}
