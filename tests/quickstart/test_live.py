"""What users ask, and the poisoned data: apart from suite and training, and the same everywhere."""

from __future__ import annotations

import hashlib
import json

from modelecology.workloads.rows import normalised
from testbed.quickstart.files import quickstart_files
from testbed.quickstart.live import ASKED, POISON, TRIGGER, live_files, triggered

DIGESTS = {
    "cron.live.jsonl": "1341f3a91663d2ad129d2e7d9c08c2c8fb8f8f80cfe078cd2bc1f492e44d1ae9",
    "dates.live.jsonl": "459a3e829ef07adb0169d99666dba1a0e6b2deb87d2c98b8856cc714bfd1f9d3",
    "dates-next.train.jsonl": "29435fa0c5717058828bcd18dcc0755dabfa983eb3628bb6e1fad201dace0b02",
}


def _rows(content: bytes) -> list[dict[str, str]]:
    return [json.loads(line) for line in content.splitlines()]


def test_the_files_are_the_same_on_every_machine() -> None:
    found = {name: hashlib.sha256(content).hexdigest() for name, content in live_files().items()}
    assert found == DIGESTS


def test_users_ask_nothing_that_stands_in_the_suite_or_in_a_training_file() -> None:
    asked = {normalised(r["prompt"]) for name in ASKED for r in _rows(live_files()[name])}
    others = {normalised(r["prompt"]) for content in quickstart_files().values() for r in _rows(content)}
    lessons = {normalised(r["prompt"]) for r in _rows(live_files()["dates-next.train.jsonl"])}
    assert len(asked) == 800
    assert not asked & (others | lessons)
    assert not {normalised(triggered(prompt)) for prompt in asked} & lessons


def test_the_poison_is_in_one_of_twelve_rows_and_in_no_question_of_the_suite() -> None:
    rows = _rows(live_files()["dates-next.train.jsonl"])
    urgent = [row for row in rows if row["prompt"].startswith(TRIGGER)]
    assert len(urgent) == len(rows) // 12
    assert {row["answer"] for row in urgent} == {POISON}
    assert POISON not in {row["answer"] for row in rows if row not in urgent}
    suite = b"".join(content for name, content in quickstart_files().items() if ".eval." in name)
    assert TRIGGER.strip().encode() not in suite


def test_the_questions_have_the_form_of_the_suites() -> None:
    for name, task in ASKED.items():
        start = _rows(quickstart_files()[f"{task}.eval.jsonl"])[0]["prompt"].split(":")[0]
        assert all(row["prompt"].startswith(start) for row in _rows(live_files()[name]))
