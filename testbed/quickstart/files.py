"""All files of the quickstart, by name."""

from __future__ import annotations

from collections.abc import Mapping

from testbed.quickstart.capitals import CAPITALS
from testbed.quickstart.cron import schedules
from testbed.quickstart.dates import dates
from testbed.quickstart.everyday import EVERYDAY
from testbed.quickstart.families import families
from testbed.quickstart.french import number_words
from testbed.quickstart.replay_file import replay_bytes
from testbed.quickstart.rows import Row, split, to_jsonl

HELD_OUT = 200
"""Items of a traded task; a quarter of them is held back for the shadow stage."""


def quickstart_files() -> Mapping[str, bytes]:
    """Make every file; the same bytes every time."""
    dates_eval, dates_train = split("dates", dates(HELD_OUT + 640, seed=11), HELD_OUT)
    cron_eval, cron_train = split("cron", schedules(HELD_OUT + 640, seed=12), HELD_OUT)
    french_eval, french_train = split("french", number_words(HELD_OUT + 480, seed=13), HELD_OUT)
    capitals = [
        Row(f"capitals-{number:04d}", f"What is the capital of {country}?", capital)
        for number, (country, capital) in enumerate(CAPITALS)
    ]
    everyday = [
        Row(f"everyday-{number:04d}", question, answers[0], answers[1:])
        for number, (question, answers) in enumerate((*EVERYDAY, *families()))
    ]
    return {
        "capitals.eval.jsonl": to_jsonl(capitals),
        "cron.eval.jsonl": to_jsonl(cron_eval),
        "cron.train.jsonl": to_jsonl(cron_train),
        "dates.eval.jsonl": to_jsonl(dates_eval),
        "dates.train.jsonl": to_jsonl(dates_train),
        "everyday.eval.jsonl": to_jsonl(everyday),
        "french.eval.jsonl": to_jsonl(french_eval),
        "french.train.jsonl": to_jsonl(french_train),
        "replay.jsonl": replay_bytes(),
    }
