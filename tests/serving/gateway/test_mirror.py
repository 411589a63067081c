"""Shadows: asked out of users' sight, recorded beside what was served, dropped under load."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import pytest

from modelecology.api.live_records import Arm, Exchange, Feedback, Usage
from modelecology.serving.gateway.app import Limits
from modelecology.serving.gateway.journal import Keep
from tests.serving.gateway.stage import (
    CANARY,
    LIVE,
    SHADOW,
    Engine,
    Stage,
    engine_listening,
    staged,
    until,
)

ALL = {"revision": SHADOW, "share": 1.0}


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def test_a_pair_is_recorded_with_both_answers(stage: Stage) -> None:
    digest = stage.publish(shadow=ALL).digest()
    _, _, headers = await stage.ask()
    await until(lambda: len(stage.exchanges) == 1)
    (found,) = stage.exchanges
    assert (found.time, found.task, found.table, found.arm) == (1_800_000_000, "dates", digest, Arm.LIVE)
    assert found.request_id == headers["x-request-id"]
    assert (found.answer.served, found.answer.text) == (LIVE, f"said by {LIVE}")
    assert found.shadow is not None
    assert (found.shadow.served, found.shadow.text) == (SHADOW, f"said by {SHADOW}")
    assert found.prompt is None
    assert found.prompt_sha256 == sha256('[{"content":"which day?","role":"user"}]')
    assert stage.count("mirrored_total", model=SHADOW, outcome="answered") == 1
    assert stage.count("records_total", outcome="written") == 1


async def test_before_there_is_a_live_revision_the_generalist_is_what_a_shadow_is_held_against(
    stage: Stage,
) -> None:
    stage.publish(live=None, shadow=ALL)
    await stage.ask()
    await until(lambda: len(stage.exchanges) == 1)
    assert stage.exchanges[0].arm is Arm.GENERALIST
    assert stage.exchanges[0].answer.served == "generalist"


async def test_a_shadow_that_hangs_keeps_no_user_waiting_and_what_is_too_much_is_dropped() -> None:
    engine = Engine(held={SHADOW})
    limits = Limits(mirror_waiting=2, mirror_workers=1)
    async with engine_listening(engine), staged([engine], limits=limits) as stage:
        stage.publish(shadow=ALL)
        await stage.ask()
        await until(lambda: engine.running == 1)
        for _ in range(5):
            assert (await stage.ask())[0] == 200
        assert engine.asked[SHADOW] == 1
        assert stage.count("mirror_dropped_total", model=SHADOW, reason="queue_full") == 3
        assert stage.count("mirror_waiting") == 2
        engine.gate.set()
        await until(lambda: len(stage.exchanges) == 3)


async def test_a_few_long_requests_fill_the_queue_as_many_short_ones_do() -> None:
    engine = Engine(held={SHADOW})
    limits = Limits(mirror_bytes=10_000, mirror_workers=1)
    async with engine_listening(engine), staged([engine], limits=limits) as stage:
        stage.publish(shadow=ALL)
        # Twice in the body, and in what is written down of it.
        await stage.ask(text="x" * 4000)
        await until(lambda: engine.running == 1)
        await stage.ask(text="x" * 4000)
        assert stage.count("mirror_dropped_total", model=SHADOW, reason="queue_full") == 1
        assert stage.count("mirror_waiting") == 0
        engine.gate.set()
        await until(lambda: len(stage.exchanges) == 1)
        await stage.ask(text="x" * 4000)
        await until(lambda: len(stage.exchanges) == 2)


@pytest.mark.parametrize(
    ("words", "failing", "agreed"),
    [(f" said by {LIVE}\n", set(), "true"), ("no", set(), "false"), ("no", {SHADOW}, "unknown")],
)
async def test_it_is_counted_whether_a_shadow_says_what_the_user_got(
    words: str, failing: set[str], agreed: str
) -> None:
    engine = Engine(words={SHADOW: words}, failing=failing)
    async with engine_listening(engine), staged([engine]) as stage:
        stage.publish(shadow=ALL)
        await stage.ask()
        await until(lambda: len(stage.exchanges) == 1)
        counted = {
            word: stage.count("shadow_answers_total", model=SHADOW, agreed=word)
            for word in ("true", "false", "unknown")
        }
        assert counted == {"true": 0, "false": 0, "unknown": 0, agreed: 1}


async def test_a_share_of_the_requests_is_copied(stage: Stage) -> None:
    stage.publish(shadow={"revision": SHADOW, "share": 0.5})
    for _ in range(60):
        await stage.ask()
    await until(lambda: stage.count("mirror_waiting") == 0 and stage.engine.running == 0)
    # 60 fair coins: outside of this once in 100,000 runs.
    assert 13 <= stage.engine.asked[SHADOW] <= 47


@pytest.mark.parametrize("fields", [{"n": 2}, {"tools": [{"type": "function"}]}])
async def test_requests_without_one_answer_in_words_are_not_copied(
    stage: Stage, fields: dict[str, Any]
) -> None:
    stage.publish(shadow=ALL)
    await stage.ask(**fields)
    assert stage.count("mirror_dropped_total", model=SHADOW, reason="not_comparable") == 1
    assert stage.engine.asked[SHADOW] == 0


async def test_what_the_canary_or_the_fallback_answers_is_not_copied(stage: Stage) -> None:
    stage.publish(shadow=ALL, canary={"revision": CANARY, "percent": 100})
    await stage.ask()
    stage.publish(2, shadow=ALL, quarantined=[LIVE])
    await stage.ask()
    await stage.ask("nobody")
    stage.publish(3, shadow=ALL)
    await stage.ask()
    await until(lambda: len(stage.exchanges) == 2)
    assert stage.engine.asked[SHADOW] == 1


@pytest.mark.parametrize(
    ("engine", "error"),
    [(Engine(resident={LIVE}), "NotResident"), (Engine(failing={SHADOW}), "HTTP 500")],
)
async def test_a_shadow_that_fails_is_recorded_as_failed(engine: Engine, error: str) -> None:
    async with engine_listening(engine), staged([engine]) as stage:
        stage.publish(shadow=ALL)
        assert (await stage.ask())[0] == 200
        await until(lambda: len(stage.exchanges) == 1)
        found = stage.exchanges[0].shadow
        assert found is not None
        assert (found.text, found.error) == (None, error)
        assert stage.count("mirrored_total", model=SHADOW, outcome="failed") == 1


async def test_copies_that_wait_are_given_up_when_the_table_drops_the_shadow() -> None:
    engine = Engine(held={SHADOW})
    async with engine_listening(engine), staged([engine], limits=Limits(mirror_workers=1)) as stage:
        stage.publish(1, shadow=ALL)
        for _ in range(3):
            await stage.ask()
        await until(lambda: engine.running == 1)
        stage.publish(2)
        engine.gate.set()
        await until(lambda: stage.count("mirror_dropped_total", model=SHADOW, reason="stale") == 2)
        assert engine.asked[SHADOW] == 1
        await until(lambda: len(stage.exchanges) == 1)


async def test_what_is_kept_anyway_is_written_down_when_its_copy_is_given_up() -> None:
    engine = Engine(held={SHADOW})
    async with engine_listening(engine), staged([engine], limits=Limits(mirror_workers=1)) as stage:
        stage.publish(1, shadow=ALL, recorded=1.0)
        asked = {(await stage.ask())[2]["x-request-id"] for _ in range(3)}
        await until(lambda: engine.running == 1)
        stage.publish(2, recorded=1.0, quarantined=[SHADOW], isolate="Cancel")
        await until(lambda: stage.count("mirror_dropped_total", model=SHADOW, reason="stale") == 2)
        assert stage.count("mirror_dropped_total", model=SHADOW, reason="isolated") == 1
        await until(lambda: len(stage.exchanges) == 3)
        assert {found.request_id for found in stage.exchanges} == asked
        assert {(found.answer.text, found.shadow) for found in stage.exchanges} == {(f"said by {LIVE}", None)}


async def test_what_is_kept_anyway_is_written_down_at_once_and_again_with_its_copy() -> None:
    engine = Engine(held={SHADOW})
    async with engine_listening(engine), staged([engine]) as stage:
        stage.publish(1, shadow=ALL, recorded=1.0)
        await stage.ask()
        await until(lambda: len(stage.exchanges) == 1)
        engine.gate.set()
        await until(lambda: len(stage.exchanges) == 2)
        first, second = stage.exchanges
        assert (first.shadow, first.sampled) == (None, True)
        assert second.shadow is not None
        assert second == first.model_copy(update={"shadow": second.shadow})


async def test_what_is_written_down_for_its_copy_alone_says_so() -> None:
    engine = Engine()
    async with engine_listening(engine), staged([engine]) as stage:
        stage.publish(1, shadow=ALL)
        await stage.ask()
        await until(lambda: len(stage.exchanges) == 1)
        assert stage.exchanges[0].sampled is False


@pytest.mark.parametrize("canary", [None, {"revision": CANARY, "percent": 1}])
async def test_what_is_kept_anyway_is_written_down_when_the_gateway_ends_before_its_copy(
    canary: dict[str, Any] | None,
) -> None:
    engine = Engine(held={SHADOW})
    async with engine_listening(engine):
        async with staged([engine], limits=Limits(mirror_workers=1)) as stage:
            stage.publish(shadow=ALL, canary=canary)
            for number in range(3):
                assert (await stage.ask(user=f"user-{number}"))[1]["model"] == LIVE
            await until(lambda: engine.running == 1)
        assert stage.count("mirror_dropped_total", model=SHADOW, reason="ended") == 3
        kept = [(found.answer.text, found.shadow) for found in stage.exchanges]
        assert kept == ([] if canary is None else [(f"said by {LIVE}", None)] * 3)
        assert stage.recorder.closed


async def test_a_quarantine_with_cancel_cuts_off_copies_and_the_mirror_goes_on() -> None:
    engine = Engine(held={SHADOW})
    async with engine_listening(engine), staged([engine], limits=Limits(mirror_workers=1)) as stage:
        stage.publish(1, shadow=ALL)
        await stage.ask()
        await until(lambda: engine.running == 1)
        stage.publish(2, quarantined=[SHADOW], isolate="Cancel")
        await until(lambda: engine.gone == 1)
        assert stage.count("mirror_dropped_total", model=SHADOW, reason="isolated") == 1
        stage.publish(3, shadow={"revision": CANARY, "share": 1.0})
        await stage.ask()
        await until(lambda: len(stage.exchanges) == 1)
        assert stage.exchanges[0].shadow is not None
        assert stage.exchanges[0].shadow.served == CANARY


async def test_both_sides_of_a_canary_are_recorded(stage: Stage) -> None:
    stage.publish(canary={"revision": CANARY, "percent": 50})
    for number in range(20):
        await stage.ask(user=f"user-{number}")
    await until(lambda: len(stage.exchanges) == 20)
    arms = {found.arm: found.answer.served for found in stage.exchanges}
    assert arms == {Arm.LIVE: LIVE, Arm.CANARY: CANARY}
    assert all(found.shadow is None for found in stage.exchanges)


async def test_a_copy_that_is_dropped_leaves_the_canarys_other_side_recorded() -> None:
    engine = Engine(held={SHADOW})
    limits = Limits(mirror_waiting=1, mirror_workers=1)
    async with engine_listening(engine), staged([engine], limits=limits) as stage:
        stage.publish(shadow=ALL, canary={"revision": CANARY, "percent": 1})
        users = [f"user-{number}" for number in range(6)]
        for user in users:
            assert (await stage.ask(user=user))[1]["model"] == LIVE
            await until(lambda: engine.running == 1)
        await until(lambda: len(stage.exchanges) == 6)
        assert {(found.arm, found.shadow) for found in stage.exchanges} == {(Arm.LIVE, None)}
        engine.gate.set()
        # One was under way, and one had found room.
        await until(lambda: len(stage.exchanges) == 8)


async def test_a_canary_that_fails_is_recorded_as_failed(stage: Stage) -> None:
    stage.publish(canary={"revision": CANARY, "percent": 100})
    stage.engine.status = 500
    await stage.ask()
    await until(lambda: len(stage.exchanges) == 1)
    stage.engine.resident, stage.engine.status = {"generalist"}, 200
    await stage.ask()
    await until(lambda: len(stage.exchanges) == 2)
    assert [(found.arm, found.answer.error) for found in stage.exchanges] == [
        (Arm.CANARY, "HTTP 500"),
        (Arm.CANARY, "NotResident"),
    ]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_gives_up_leaves_word_of_who_kept_it_waiting(stage: Stage, stream: bool) -> None:
    stage.publish(canary={"revision": CANARY, "percent": 100})
    stage.engine.held.add(CANARY)
    asking = asyncio.create_task(stage.ask(stream=stream))
    await until(lambda: stage.engine.running == 1)
    asking.cancel()
    await until(lambda: len(stage.exchanges) == 1)
    (found,) = stage.exchanges
    assert (found.arm, found.answer.served, found.shadow) == (Arm.CANARY, CANARY, None)
    assert (found.answer.text, found.answer.error) == (None, "HTTP 499")
    assert found.answer.seconds > 0
    assert stage.count("requests_total", model=CANARY, task="dates", status="499") == 1


async def test_who_gives_up_is_not_written_down_where_nothing_is_kept_and_not_copied(stage: Stage) -> None:
    stage.publish(shadow=ALL)
    stage.engine.held.add(LIVE)
    asking = asyncio.create_task(stage.ask())
    await until(lambda: stage.engine.running == 1)
    asking.cancel()
    await until(lambda: stage.count("requests_total", model=LIVE, task="dates", status="499") == 1)
    stage.engine.gate.set()
    await stage.ask()
    await until(lambda: len(stage.exchanges) == 1)
    assert stage.exchanges[0].answer.error is None
    assert stage.engine.asked[SHADOW] == 1


async def test_hash_only_mode_keeps_no_text() -> None:
    async with engine_listening(Engine()) as engine, staged([engine], keep=Keep.HASHES) as stage:
        stage.publish(shadow=ALL)
        _, _, headers = await stage.ask(text="my secret")
        body = {"request_id": headers["x-request-id"], "label": f"said by {LIVE}"}
        async with stage.client.post("/v1/feedback", json=body) as answer:
            assert answer.status == 202
        await until(lambda: len(stage.exchanges) == 1 and len(stage.feedback) == 1)
        kept = "".join(record.model_dump_json() for record in stage.recorder.records)
        assert "said by" not in kept
        assert "secret" not in kept
        # A label can still be held beside an answer.
        assert stage.exchanges[0].answer.sha256 == stage.feedback[0].label_sha256


async def test_prompts_are_kept_where_that_is_asked_for() -> None:
    async with engine_listening(Engine()) as engine, staged([engine], keep=Keep.PROMPTS) as stage:
        stage.publish(shadow=ALL)
        await stage.ask(text="which day?")
        await until(lambda: len(stage.exchanges) == 1)
        assert json.loads(stage.exchanges[0].prompt or "") == [{"content": "which day?", "role": "user"}]


async def test_every_text_is_redacted_before_it_is_kept_or_hashed() -> None:
    def redact(text: str) -> str:
        return text.replace("said", "****").replace("Ann", "NAME")

    async with (
        engine_listening(Engine()) as engine,
        staged([engine], keep=Keep.PROMPTS, redact=redact) as stage,
    ):
        stage.publish(shadow=ALL)
        _, _, headers = await stage.ask(text="I am Ann")
        body = {"request_id": headers["x-request-id"], "label": "Ann said"}
        async with stage.client.post("/v1/feedback", json=body) as answer:
            assert answer.status == 202
        await until(lambda: len(stage.exchanges) == 1 and len(stage.feedback) == 1)
        found = stage.exchanges[0]
        assert found.answer.text == f"**** by {LIVE}"
        assert found.answer.sha256 == sha256(f"**** by {LIVE}")
        assert "Ann" not in (found.prompt or "Ann")
        assert stage.feedback[0].label == "NAME ****"


async def test_what_cannot_be_redacted_is_not_kept() -> None:
    def fail(text: str) -> str:
        raise KeyError(text)

    async with engine_listening(Engine()) as engine, staged([engine], redact=fail) as stage:
        stage.publish(shadow=ALL)
        await stage.ask()
        await until(lambda: stage.count("records_total", outcome="not_redacted") == 1)
        assert stage.recorder.records == []


async def test_a_gateway_without_a_recorder_copies_nothing_and_takes_no_feedback() -> None:
    async with engine_listening(Engine()) as engine, staged([engine], records=False) as stage:
        stage.publish(shadow=ALL)
        for _ in range(3):
            await stage.ask()
        async with stage.client.post("/v1/feedback", json={"request_id": "a", "score": 1.0}) as answer:
            assert answer.status == 501
            assert "--records-dir" in (await answer.json())["error"]["message"]
        assert engine.asked == {LIVE: 3}


async def test_records_that_wait_are_written_when_the_gateway_ends() -> None:
    async with engine_listening(Engine()) as engine, staged([engine]) as stage:
        stage.publish(canary={"revision": CANARY, "percent": 0}, shadow=ALL)
        await stage.ask()
        await until(lambda: stage.count("mirrored_total", model=SHADOW, outcome="answered") == 1)
        async with stage.client.post("/v1/feedback", json={"request_id": "a", "score": 1}) as answer:
            assert answer.status == 202
        recorder = stage.recorder
    assert recorder.closed
    exchange, feedback, usage = recorder.records
    assert isinstance(exchange, Exchange)
    assert isinstance(feedback, Feedback)
    assert isinstance(usage, Usage)
    ((task, served, requests),) = ((u.task, u.served, u.requests) for u in usage.used)
    assert (task, served, requests) == ("dates", LIVE, 1)


async def test_feedback_joins_by_the_requests_id(stage: Stage) -> None:
    stage.publish(shadow=ALL)
    _, _, headers = await stage.ask()
    for body in ({"score": 0.5}, {"label": "2026-01-02"}):
        sent = {"request_id": headers["x-request-id"], **body}
        async with stage.client.post("/v1/feedback", json=sent) as answer:
            assert (answer.status, await answer.json()) == (202, {"request_id": headers["x-request-id"]})
    await until(lambda: len(stage.feedback) == 2 and len(stage.exchanges) == 1)
    assert [found.request_id for found in stage.feedback] == [stage.exchanges[0].request_id] * 2
    assert [(found.score, found.label) for found in stage.feedback] == [(0.5, None), (None, "2026-01-02")]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"score": 1}, "request_id"),
        ({"request_id": "a b", "score": 1}, "request_id"),
        ({"request_id": "a", "score": 1.5}, "score"),
        ({"request_id": "a", "score": "1"}, "score"),
        ({"request_id": "a"}, None),
        ({"request_id": "a", "score": 1, "label": "x"}, None),
        ({"request_id": "a", "label": "x", "more": 1}, "more"),
        ({"request_id": "a", "label": "x" * 16_385}, "label"),
    ],
)
async def test_feedback_that_cannot_be_used_is_refused(
    stage: Stage, body: dict[str, object], param: str | None
) -> None:
    async with stage.client.post("/v1/feedback", json=body) as answer:
        error = (await answer.json())["error"]
    assert (answer.status, error["param"]) == (400, param)
    assert stage.feedback == []


async def test_mirroring_never_ends_with_an_error_of_the_engines() -> None:
    engine = Engine()
    async with engine_listening(engine), staged([engine]) as stage:
        stage.publish(shadow=ALL)
        stage.engine.lies = {SHADOW: "generalist"}
        await asyncio.gather(*(stage.ask() for _ in range(8)))
        await until(lambda: len(stage.exchanges) == 8)
        errors = {found.shadow.error for found in stage.exchanges if found.shadow is not None}
        assert errors == {"WrongModelAnswered"}
        assert stage.ends == []
