"""A quarantine: from the moment its table is taken, nobody is sent there."""

from __future__ import annotations

import asyncio
import json

import pytest

from modelecology.serving.gateway.app import Limits
from tests.serving.gateway.stage import (
    CANARY,
    LIVE,
    OLD,
    SHADOW,
    Engine,
    Stage,
    engine_listening,
    staged,
    until,
)

STREAM = {"model": "dates", "messages": [], "stream": True}


async def test_no_request_reaches_a_quarantined_revision_after_its_table_is_taken() -> None:
    async with engine_listening(Engine()) as engine, staged([engine]) as stage:
        stage.publish(
            1,
            canary={"revision": CANARY, "percent": 50},
            shadow={"revision": SHADOW, "share": 1.0},
            pinned=[OLD],
        )
        stop, taken = asyncio.Event(), asyncio.Event()
        early: list[str] = []
        late: list[str] = []

        async def user(number: int) -> None:
            while not stop.is_set():
                for model in ("dates", "desk", LIVE, OLD, CANARY, SHADOW):
                    answered = late if taken.is_set() else early
                    _, body, _ = await stage.ask(model, "a date", user=f"user-{number}")
                    answered.append(body["model"])

        users = [asyncio.create_task(user(number)) for number in range(4)]
        await until(lambda: {LIVE, OLD, CANARY} <= set(early) and engine.asked[SHADOW] > 3)
        barred = [LIVE, OLD, CANARY, SHADOW]
        under_way = stage.count("running") + Limits().mirror_workers
        stage.publish(2, pinned=[OLD, CANARY], quarantined=barred)
        taken.set()
        before = sum(engine.asked[name] for name in barred)
        await until(lambda: len(late) > 100)
        stop.set()
        await asyncio.gather(*users)
        assert set(late) == {"generalist"}
        assert sum(engine.asked[name] for name in barred) - before <= under_way


async def test_the_very_next_request_avoids_it_and_says_why(stage: Stage) -> None:
    stage.publish(1)
    await stage.ask()
    stage.publish(2, quarantined=[LIVE])
    _, body, headers = await stage.ask()
    assert body["model"] == "generalist"
    assert (headers["x-modelecology-reason"], headers["x-modelecology-fallback"]) == ("Quarantined", "true")
    assert stage.engine.asked[LIVE] == 1
    assert stage.count("fallbacks_total", model=LIVE, reason="Quarantined") == 1


async def test_a_quarantine_that_comes_between_two_tries_stops_the_second(stage: Stage) -> None:
    slow, second = Engine(held={LIVE}, status=503), stage.engine
    async with engine_listening(slow):
        stage.publish(1, engines=(slow.endpoint,))
        asking = asyncio.create_task(stage.ask())
        await until(lambda: slow.running == 1)
        stage.publish(2, engines=(slow.endpoint, second.endpoint), quarantined=[LIVE])
        slow.gate.set()
        status, body, headers = await asking
    assert (status, body["model"], headers["x-modelecology-reason"]) == (200, "generalist", "Quarantined")
    assert second.asked == {"generalist": 1}


async def test_running_requests_finish_unless_the_table_says_otherwise(stage: Stage) -> None:
    stage.publish(1)
    stage.engine.held.add(LIVE)
    running = asyncio.create_task(stage.ask())
    await until(lambda: stage.engine.running == 1)
    stage.publish(2, quarantined=[LIVE])
    stage.engine.gate.set()
    status, body, _ = await running
    assert (status, body["model"]) == (200, LIVE)


async def test_running_requests_are_cut_off_where_the_table_says_so(stage: Stage) -> None:
    stage.publish(1)
    stage.engine.held.add(LIVE)
    running = asyncio.create_task(stage.ask())
    await until(lambda: stage.engine.running == 1)
    stage.publish(2, quarantined=[LIVE], isolate="Cancel")
    status, body, _ = await running
    assert status == 503
    assert "quarantined while it answered" in body["error"]["message"]
    await until(lambda: stage.engine.gone == 1)
    assert stage.count("isolated_total", model=LIVE) == 1
    # The connection and the gateway go on.
    assert (await stage.ask())[1]["model"] == "generalist"


async def test_a_running_stream_is_cut_off_with_an_error_and_without_done(stage: Stage) -> None:
    stage.publish(1)
    stage.engine.held.add(LIVE)
    async with stage.client.post("/v1/chat/completions", json=STREAM) as answer:
        await answer.content.readuntil(b"\n\n")
        stage.publish(2, quarantined=[LIVE], isolate="Cancel")
        rest = (await answer.content.read()).decode()
    assert "quarantined while it answered" in json.loads(rest.removeprefix("data: "))["error"]["message"]
    assert "[DONE]" not in rest
    await until(lambda: stage.engine.gone == 1)


@pytest.mark.parametrize("isolate", ["Finish", "Cancel"])
async def test_requests_of_other_revisions_are_left_alone(stage: Stage, isolate: str) -> None:
    stage.publish(1, pinned=[OLD])
    stage.engine.held.add(OLD)
    running = asyncio.create_task(stage.ask(OLD))
    await until(lambda: stage.engine.running == 1)
    stage.publish(2, pinned=[OLD], quarantined=[LIVE], isolate=isolate)
    stage.engine.gate.set()
    assert (await running)[1]["model"] == OLD


async def test_a_released_revision_serves_again(stage: Stage) -> None:
    stage.publish(1, quarantined=[LIVE])
    assert (await stage.ask())[1]["model"] == "generalist"
    stage.publish(2)
    assert (await stage.ask())[1]["model"] == LIVE
