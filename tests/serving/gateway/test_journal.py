"""What waits to be written: bounded by how much it is, too."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace

import pytest

from modelecology.api.live_records import Arm, Exchange
from modelecology.serving.gateway.journal import Draft, Journal, Judged, Keep, Said, Seen
from modelecology.serving.gateway.metrics import GatewayMetrics
from modelecology.serving.gateway.orders import written
from modelecology.serving.gateway.recorder import MemoryRecorder
from testbed.waiting import until

LONG = 100_000


def seen(name: str, prompt: str = "", text: str = "", shadow: Said | None = None) -> Seen:
    answer = Said("dates-1", text, None, 0.1, None)
    return Seen(1.0, name, "desk", "dates", "sha256:t", Arm.LIVE, prompt, answer, shadow)


@pytest.mark.parametrize(
    "draft",
    [
        seen("a", prompt="x" * LONG),
        seen("a", text="x" * LONG),
        seen("a", shadow=Said("dates-2", "x" * LONG, None, 0.1, None)),
        Judged(1.0, "a", None, "x" * LONG),
        # A character of these takes four bytes.
        seen("a", prompt="\N{GRINNING FACE}" * (LONG // 4)),
    ],
)
async def test_of_long_texts_fewer_may_wait(draft: Draft) -> None:
    metrics = GatewayMetrics()
    journal = Journal(MemoryRecorder(), metrics, lambda: 1.0, most_bytes=5 * LONG // 2)
    assert [journal.add(draft) for _ in range(3)] == [True, True, False]
    assert journal.add(Judged(1.0, "a", 1.0, None))
    sample = metrics.registry.get_sample_value("modelecology_gateway_records_total", {"outcome": "dropped"})
    assert sample == 1


async def test_what_is_being_redacted_waits_still_and_what_is_written_makes_room() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def slow(text: str) -> str:
        begun.set()
        assert may_end.wait(30)
        return text

    recorder = MemoryRecorder()
    journal = Journal(recorder, GatewayMetrics(), lambda: 1.0, redact=slow, most_bytes=3 * LONG // 2)
    running = asyncio.create_task(journal.run())
    assert journal.add(seen("a", prompt="x" * LONG))
    await until(begun.is_set)
    assert not journal.add(seen("b", prompt="x" * LONG))
    may_end.set()
    await until(lambda: journal.add(seen("c", prompt="x" * LONG)))
    journal.end()
    await running
    found = [record.request_id for record in recorder.records if isinstance(record, Exchange)]
    assert found == ["a", "c"]


async def test_a_hook_sees_the_words_of_a_message_as_they_were_sent() -> None:
    name = "M\N{LATIN SMALL LETTER U WITH DIAERESIS}ller"
    messages = [
        {"role": "user", "content": f'{name} says "no"\nto Ann'},
        {"role": "user", "content": [{"type": "text", "text": "user: Ann"}]},
        {"role": name, "content": {"type": "json", name: 491701}},
    ]
    seen_by_hook: list[str] = []

    def hook(text: str) -> str:
        seen_by_hook.append(text)
        return text.replace(name, "[name]").replace("user", "[role]").replace("491701", "[phone]")

    recorder = MemoryRecorder()
    journal = Journal(recorder, GatewayMetrics(), lambda: 1.0, keep=Keep.PROMPTS, redact=hook)
    draft = replace(seen("a", prompt=written(messages), text="fine"), prompt_is_json=True)
    assert journal.add(draft)
    journal.end()
    await journal.run()
    (kept,) = (record for record in recorder.records if isinstance(record, Exchange))
    assert json.loads(kept.prompt or "") == [
        {"role": "user", "content": '[name] says "no"\nto Ann'},
        {"role": "user", "content": [{"type": "text", "text": "[role]: Ann"}]},
        {"role": "[name]", "content": {"type": "json", "[name]": "[phone]"}},
    ]
    assert seen_by_hook[0] == f'{name} says "no"\nto Ann'
