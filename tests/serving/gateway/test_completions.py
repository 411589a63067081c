"""Requests through the gateway: where they go, what comes back, and what is said of it."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator
from functools import partial

import pytest

from modelecology.serving.gateway.app import Limits
from modelecology.serving.gateway.memory import memory_of
from tests.serving.gateway.stage import (
    CANARY,
    LIVE,
    OLD,
    Broken,
    Engine,
    Stage,
    engine_listening,
    staged,
    until,
)


async def test_without_a_table_the_gateway_answers_503_and_is_alive_but_not_ready(stage: Stage) -> None:
    status, body, headers = await stage.ask()
    assert status == 503
    assert "no routing table" in body["error"]["message"]
    assert headers["retry-after"] == "1"
    for path, wanted in (("/healthz", 200), ("/readyz", 503), ("/v1/models", 503)):
        async with stage.client.get(path) as answer:
            assert answer.status == wanted
    stage.publish()
    async with stage.client.get("/readyz") as answer:
        assert answer.status == 200


@pytest.mark.parametrize("model", ["dates", "dater", LIVE])
async def test_a_task_a_stable_name_and_the_live_revision_reach_the_live_revision(
    stage: Stage, model: str
) -> None:
    digest = stage.publish().digest()
    status, body, headers = await stage.ask(model)
    assert (status, body["model"]) == (200, LIVE)
    assert headers["x-modelecology-route"] == LIVE
    assert headers["x-modelecology-reason"] == ("Pinned" if model == LIVE else "Live")
    assert headers["x-modelecology-table"] == digest[:19]
    assert "x-modelecology-fallback" not in headers


async def test_a_pinned_revision_is_served_and_one_that_is_not_pinned_falls_back(stage: Stage) -> None:
    stage.publish(pinned=[OLD])
    _, body, headers = await stage.ask(OLD)
    assert (body["model"], headers["x-modelecology-reason"]) == (OLD, "Pinned")
    _, body, headers = await stage.ask(CANARY)
    assert body["model"] == "generalist"
    assert headers["x-modelecology-fallback"] == "true"


async def test_the_population_is_routed_by_its_rules_and_else_falls_back(stage: Stage) -> None:
    stage.publish()
    _, body, headers = await stage.ask("desk", "which DATE is it?")
    assert body["model"] == LIVE
    assert headers["x-modelecology-task"] == "dates"
    assert headers["x-modelecology-rule"] == "rules[0] Keyword"
    _, body, headers = await stage.ask("desk", "update the list")
    assert body["model"] == "generalist"
    assert headers["x-modelecology-route"] == "generalist"
    assert headers["x-modelecology-reason"] == "NoRuleMatched"
    assert headers["x-modelecology-fallback"] == "true"
    assert not {"x-modelecology-task", "x-modelecology-rule"} & headers.keys()
    assert stage.count("fallbacks_total", model="none", reason="NoRuleMatched") == 1


async def test_headers_and_metadata_are_matched(stage: Stage) -> None:
    rules = [
        {"task": "dates", "by": "Header", "name": "X-Kind", "value": "calendar"},
        {"task": "dates", "by": "Metadata", "name": "kind", "value": "calendar"},
    ]
    stage.publish(rules=rules)
    _, body, _ = await stage.ask("desk", headers={"x-kind": "calendar"})
    assert body["model"] == LIVE
    _, body, _ = await stage.ask("desk", metadata={"kind": "calendar"})
    assert body["model"] == LIVE
    _, body, _ = await stage.ask("desk", headers={"x-kind": "other"}, metadata={"kind": "other"})
    assert body["model"] == "generalist"


async def test_model_is_the_only_thing_that_is_changed(stage: Stage) -> None:
    stage.publish()
    asked = {
        "model": "dates",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "é 😀 ?"}]}],
        "temperature": 0.1,
        "seed": 2**63 - 1,
        "stop": None,
        "extra": {"deep": [1, 2.5e-7, True]},
    }
    async with stage.client.post("/v1/chat/completions", json=asked) as answer:
        assert answer.status == 200
    assert stage.engine.bodies == [{**asked, "model": LIVE}]


async def test_completions_are_routed_by_their_prompt(stage: Stage) -> None:
    stage.publish()
    body = {"model": "desk", "prompt": "a date, please"}
    async with stage.client.post("/v1/completions", json=body) as answer:
        found = await answer.json()
    assert (found["model"], found["choices"][0]["text"]) == (LIVE, f"said by {LIVE}")


async def test_an_unknown_model_is_an_error_where_the_population_declares_no_fallback(stage: Stage) -> None:
    stage.publish(fallback="Error")
    status, body, headers = await stage.ask("nobody")
    assert (status, body["error"]["param"]) == (404, "model")
    assert "'nobody'" in body["error"]["message"]
    assert headers["x-modelecology-reason"] == "UnknownModel"
    assert stage.engine.asked.total() == 0


async def test_asking_for_the_generalist_by_its_name_is_no_fallback(stage: Stage) -> None:
    stage.publish(fallback="Error")
    status, body, headers = await stage.ask("generalist")
    assert (status, body["model"]) == (200, "generalist")
    assert "x-modelecology-fallback" not in headers


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        (b"{", None),
        (b"[1]", None),
        (b'{"messages": []}', "model"),
        (b'{"model": 7}', "model"),
        (b'{"model": "dates", "stream": "yes"}', "stream"),
        (b'{"model": "dates", "temperature": NaN}', None),
        (b'{"model": "dates", "temperature": 1e999}', None),
        (b"[" * 100_000, None),
        (b'{"model": "' + b"x" * 300 + b'"}', "model"),
        (b'{"model": "dates", "text": "\xff"}', None),
    ],
)
async def test_what_is_no_request_is_refused_in_openais_words(
    stage: Stage, raw: bytes, param: str | None
) -> None:
    stage.publish()
    async with stage.client.post("/v1/chat/completions", data=raw) as answer:
        error = (await answer.json())["error"]
    assert (answer.status, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert stage.engine.asked.total() == 0


async def test_paths_and_methods_that_do_not_exist_are_refused_in_openais_words(stage: Stage) -> None:
    async with stage.client.get("/v1/embeddings") as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (404, 404)
    async with stage.client.get("/v1/chat/completions") as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")
        assert (await answer.json())["error"]["message"] == "Method Not Allowed"


async def test_a_body_above_the_limit_is_refused() -> None:
    limits = Limits(body_bytes=100)
    async with engine_listening(Engine()) as engine, staged([engine], limits=limits) as stage:
        stage.publish()
        status, body, _ = await stage.ask(text="x" * 200)
    assert status == 413
    assert "100 bytes" in body["error"]["message"]


async def test_more_requests_than_may_run_are_told_to_come_back() -> None:
    engine = Engine(held={LIVE})
    limits = Limits(running=1)
    async with engine_listening(engine), staged([engine], limits=limits) as stage:
        stage.publish()
        first = asyncio.create_task(stage.ask())
        await until(lambda: engine.running == 1)
        status, _, headers = await stage.ask()
        assert (status, headers["retry-after"]) == (503, "1")
        engine.gate.set()
        assert (await first)[0] == 200


async def test_what_would_take_more_memory_than_there_is_is_told_to_come_back() -> None:
    engine = Engine(held={LIVE})
    limits = Limits(running_bytes=20_000)
    async with engine_listening(engine), staged([engine], limits=limits) as stage:
        stage.publish()
        # Alone even a large one is let in, or it never would be.
        first = asyncio.create_task(stage.ask(text="x" * 10_000))
        await until(lambda: engine.running == 1)
        status, _, headers = await stage.ask()
        assert (status, headers["retry-after"]) == (503, "1")
        engine.gate.set()
        assert (await first)[0] == 200
        assert (await stage.ask())[0] == 200


async def test_bodies_that_are_held_back_take_their_room_at_once() -> None:
    limits = Limits(running_bytes=20_000)
    async with engine_listening(Engine()) as engine, staged([engine], limits=limits) as stage:
        stage.publish()
        still = asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b"{"
            await still.wait()

        async def told() -> None:
            while True:  # it may find no room beside a question
                async with stage.client.post(
                    "/v1/feedback", data=slow(), headers={"Content-Length": "19000"}
                ):
                    pass

        async def answered(wanted: int) -> bool:
            return (await stage.ask())[0] == wanted

        waiting = asyncio.create_task(told())
        await until(partial(answered, 503))
        waiting.cancel()
        await asyncio.wait({waiting})
        await until(partial(answered, 200))


@pytest.mark.parametrize(
    "body",
    [
        "[" + ",".join(["[]"] * 20_000) + "]",
        "[" + ",".join(['{"a":1}'] * 20_000) + "]",
        "[" + ",".join(f'{{"k{n}":{{}}}}' for n in range(20_000)) + "]",
        "{" + ",".join(f'"{n}":1' for n in range(20_000)) + "}",
        "[" + ",".join(f'"{n}"' for n in range(20_000)) + "]",
        "[" + ",".join(map(str, range(20_000))) + "]",
        '"' + "a" * 20_000 + "\N{GRINNING FACE}" + '"',
    ],
    ids=["lists", "objects", "objects of objects", "names", "texts", "numbers", "a wide text"],
)
def test_the_memory_of_a_body_is_estimated_rather_too_high(body: str) -> None:
    raw = body.encode()
    tracemalloc.start()
    read = json.loads(raw)
    sent = json.dumps(read, separators=(",", ":")).encode()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(sent) > 0
    assert taken + len(raw) < memory_of(raw) < 8 * (taken + len(raw))


async def test_the_list_of_models_has_each_name_once_and_no_quarantined_one(stage: Stage) -> None:
    stage.publish(pinned=[OLD, CANARY], quarantined=[CANARY])
    async with stage.client.get("/v1/models") as answer:
        body = await answer.json()
    assert body["object"] == "list"
    assert [(card["id"], card["kind"], card.get("root")) for card in body["data"]] == [
        ("desk", "population", None),
        ("dates", "task", LIVE),
        ("dater", "specialist", LIVE),
        (LIVE, "revision", LIVE),
        (OLD, "revision", OLD),
        ("generalist", "generalist", "generalist"),
    ]


async def test_requests_tokens_and_the_table_are_counted(stage: Stage) -> None:
    found = stage.publish(7)
    await stage.ask()
    await stage.ask("nobody")
    assert stage.count("requests_total", model=LIVE, task="dates", status="200") == 1
    assert stage.count("requests_total", model="generalist", task="none", status="200") == 1
    assert stage.count("tokens_total", model=LIVE, kind="prompt") == 7
    assert stage.count("tokens_total", model=LIVE, kind="completion") == 3
    assert stage.count("request_seconds_count", model=LIVE) == 1
    assert stage.count("table_version") == 7
    assert stage.count("table_info", population="desk", digest=found.digest()[:19]) == 1
    async with stage.client.get("/metrics") as answer:
        text = await answer.text()
    assert 'modelecology_gateway_requests_total{model="generalist"' in text
    assert "nobody" not in text


async def test_an_engines_own_refusal_is_passed_on_as_it_is(stage: Stage) -> None:
    stage.publish()
    stage.engine.status = 400
    status, body, headers = await stage.ask()
    assert (status, body) == (400, {"error": {"message": "engine says no"}})
    assert headers["x-modelecology-route"] == LIVE
    assert stage.count("requests_total", model=LIVE, task="dates", status="400") == 1
    assert stage.count("errors_total", model=LIVE, status="400") == 0
    stage.engine.status = 500
    await stage.ask()
    assert stage.count("errors_total", model=LIVE, status="500") == 1


async def test_traces_and_the_requests_id_go_to_the_engine_and_the_clients_token_does_not(
    stage: Stage,
) -> None:
    stage.publish()
    sent = {"traceparent": "00-1-2-01", "Authorization": "Bearer mine", "Cookie": "a=b"}
    _, _, headers = await stage.ask(headers=sent)
    (seen,) = stage.engine.headers
    assert seen["traceparent"] == "00-1-2-01"
    assert seen["x-request-id"] == headers["x-request-id"]
    assert "authorization" not in seen
    assert "cookie" not in seen


async def test_a_canary_keeps_each_user_on_one_side(stage: Stage) -> None:
    stage.publish(canary={"revision": CANARY, "percent": 50})
    served: dict[str, set[str]] = {}
    for user in (f"user-{number}" for number in range(16)):
        for _ in range(3):
            _, body, _ = await stage.ask(user=user)
            served.setdefault(user, set()).add(body["model"])
    assert all(len(names) == 1 for names in served.values())
    assert set().union(*served.values()) == {LIVE, CANARY}


async def test_a_session_goes_before_the_user(stage: Stage) -> None:
    stage.publish(canary={"revision": CANARY, "percent": 50})
    answers = [
        (await stage.ask(user=f"user-{number}", headers={"x-session-id": "one"}))[1]["model"]
        for number in range(12)
    ]
    assert len(set(answers)) == 1


async def test_a_source_that_dies_ends_the_gateway() -> None:
    async with staged([], source=Broken()) as stage:
        await until(lambda: stage.ends == ["failed"])


async def test_a_request_that_was_begun_under_one_table_says_so(stage: Stage) -> None:
    first = stage.publish(1)
    stage.engine.held.add(LIVE)
    running = asyncio.create_task(stage.ask())
    await until(lambda: stage.engine.running == 1)
    stage.publish(2, live=OLD)
    stage.engine.gate.set()
    _, body, headers = await running
    assert (body["model"], headers["x-modelecology-table"]) == (LIVE, first.digest()[:19])
    assert (await stage.ask())[1]["model"] == OLD
