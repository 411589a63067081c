"""Several engines, some of which are down, lack a revision, lie, or are slow."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from modelecology.serving.gateway.app import Limits
from modelecology.serving.tokens import TokenFile
from tests.serving.gateway.stage import LIVE, Engine, Stage, engine_listening, listening, staged, until


def nobody() -> str:
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


async def two(stack: AsyncExitStack, first: Engine, second: Engine, **changes: object) -> Stage:
    engines = [await stack.enter_async_context(engine_listening(each)) for each in (first, second)]
    stage = await stack.enter_async_context(staged(engines, **changes))  # type: ignore[arg-type]  # by name
    stage.publish()
    return stage


async def test_an_engine_that_is_down_is_passed_over_and_nobody_notices() -> None:
    async with engine_listening(Engine()) as engine, staged([engine]) as stage:
        down = nobody()
        stage.publish(engines=(down, engine.endpoint))
        answers = [(await stage.ask())[:2] for _ in range(8)]
        assert [(status, body["model"]) for status, body in answers] == [(200, LIVE)] * 8
        # It was tried, and then left alone for a moment.
        assert 1 <= stage.count("engine_failures_total", engine=down, kind="unreachable") < 8


async def test_without_any_engine_the_gateway_says_so() -> None:
    async with staged([]) as stage:
        stage.publish(engines=(nobody(), nobody()))
        status, body, headers = await stage.ask()
    assert (status, headers["retry-after"]) == (503, "1")
    assert "No engine can be reached" in body["error"]["message"]


async def test_the_least_busy_engine_is_asked() -> None:
    async with AsyncExitStack() as stack:
        slow, free = Engine(held={LIVE}), Engine()
        stage = await two(stack, slow, free)
        running = [asyncio.create_task(stage.ask())]
        while slow.running == 0:
            running.append(asyncio.create_task(stage.ask()))
            await asyncio.wait({running[-1]}, timeout=0.05)
        before = free.asked[LIVE]
        for _ in range(5):
            await stage.ask()
        assert free.asked[LIVE] == before + 5
        slow.gate.set()
        await asyncio.gather(*running)


async def test_a_replica_that_lacks_the_revision_hands_over_to_one_that_has_it() -> None:
    async with AsyncExitStack() as stack:
        without, having = Engine(resident={"generalist"}), Engine()
        stage = await two(stack, without, having)
        for _ in range(6):
            status, body, headers = await stage.ask()
            assert (status, body["model"]) == (200, LIVE)
            assert "x-modelecology-fallback" not in headers
        assert without.asked[LIVE] < 6


async def test_where_no_replica_has_it_the_fallback_answers_and_is_marked() -> None:
    async with AsyncExitStack() as stack:
        stage = await two(stack, Engine(resident={"generalist"}), Engine(resident={"generalist"}))
        status, body, headers = await stage.ask()
        assert (status, body["model"]) == (200, "generalist")
        assert headers["x-modelecology-reason"] == "NotResident"
        assert headers["x-modelecology-fallback"] == "true"
        assert stage.count("fallbacks_total", model=LIVE, reason="NotResident") == 1


async def test_where_no_replica_has_it_and_there_is_no_fallback_it_is_an_error(stage: Stage) -> None:
    stage.publish(fallback="Error")
    stage.engine.resident.clear()
    status, body, _ = await stage.ask()
    assert status == 503
    assert "no engine has the revision loaded" in body["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
async def test_an_engine_that_answers_as_the_base_is_caught_before_the_user_sees_it(
    stage: Stage, stream: bool
) -> None:
    stage.publish()
    stage.engine.lies = {LIVE: "generalist"}
    asked = {"model": "dates", "messages": [], "stream": stream}
    async with stage.client.post("/v1/chat/completions", json=asked) as answer:
        headers = answer.headers
        text = await answer.text()
    assert headers["x-modelecology-reason"] == "WrongModelAnswered"
    assert headers["x-modelecology-fallback"] == "true"
    assert '"model": "generalist"' in text
    assert stage.engine.asked == {LIVE: 1, "generalist": 1}
    kind = {"engine": stage.engine.endpoint, "kind": "wrong_model"}
    assert stage.count("engine_failures_total", **kind) == 1


async def test_an_engine_that_answers_in_a_third_name_is_never_believed(stage: Stage) -> None:
    stage.publish()
    stage.engine.lies = {LIVE: "other", "generalist": "other"}
    status, body, _ = await stage.ask()
    assert status == 502
    assert "Neither" in body["error"]["message"]


async def test_the_generalist_that_is_not_served_is_an_error_that_names_it(stage: Stage) -> None:
    stage.publish(generalist="elsewhere")
    status, body, _ = await stage.ask("elsewhere")
    assert status == 502
    assert "by the table's name" in body["error"]["message"]


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b'{"choices": []}', b""])
async def test_an_answer_that_does_not_say_who_speaks_is_not_passed_on(answer: bytes) -> None:
    async def say(_request: web.Request) -> web.Response:
        return web.Response(body=answer, content_type="application/json")

    app = web.Application()
    app.router.add_post("/v1/chat/completions", say)
    async with listening(app) as address, staged([]) as stage:
        stage.publish(engines=(address,), fallback="Error")
        status, body, _ = await stage.ask()
    assert status == 503
    assert "another model's name" in body["error"]["message"]


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_engine_hands_over_and_if_all_are_busy_the_user_hears_it(status: int) -> None:
    async with AsyncExitStack() as stack:
        busy, other = Engine(status=status), Engine()
        stage = await two(stack, busy, other)
        answers = [(await stage.ask())[0] for _ in range(4)]
        assert answers == [200] * 4
        other.status = status
        found, body, _ = await stage.ask()
        assert (found, body) == (status, {"error": {"message": "engine says no"}})


async def test_an_engine_that_dies_in_the_middle_of_an_answer_is_replaced_by_another() -> None:
    async def die(request: web.Request) -> web.StreamResponse:
        half = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000"})
        await half.prepare(request)
        await half.write(b'{"model"')
        assert request.transport is not None
        request.transport.abort()
        return half

    app = web.Application()
    app.router.add_post("/v1/chat/completions", die)
    async with listening(app) as dying, engine_listening(Engine()) as engine, staged([engine]) as stage:
        stage.publish(engines=(dying, engine.endpoint))
        answers = [(await stage.ask())[:2] for _ in range(4)]
    assert [(status, body["model"]) for status, body in answers] == [(200, LIVE)] * 4


@pytest.mark.parametrize(("times", "counted"), [(1, 0), (2, 1)])
async def test_the_only_engine_is_asked_again_when_it_hangs_up_without_an_answer(
    times: int, counted: int
) -> None:
    asked: list[str] = []

    async def hang_up(request: web.Request) -> web.Response:
        asked.append(request.path)
        if len(asked) <= times:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"model": LIVE})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", hang_up)
    async with listening(app) as address, staged([]) as stage:
        stage.publish(engines=(address,))
        assert (await stage.ask())[0] == 200
        assert len(asked) == times + 1
        # An idle connection that the engine ended in the same moment says nothing about the engine.
        assert stage.count("engine_failures_total", engine=address, kind="unreachable") == counted


async def test_an_engine_that_never_answers_is_a_timeout_and_is_not_asked_twice() -> None:
    engine = Engine(held={LIVE})
    limits = Limits(answer_seconds=0.1)
    async with engine_listening(engine), staged([engine], limits=limits) as stage:
        stage.publish()
        status, body, _ = await stage.ask()
        assert (status, body["error"]["type"]) == (504, "timeout")
        assert engine.asked[LIVE] == 1
        # It is told that nobody waits any more.
        await until(lambda: engine.gone == 1)


async def test_a_client_that_hangs_up_ends_the_engines_work(stage: Stage) -> None:
    stage.publish()
    stage.engine.held.add(LIVE)
    asking = asyncio.create_task(stage.ask())
    await until(lambda: stage.engine.running == 1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await until(lambda: stage.engine.gone == 1)
    await until(lambda: stage.count("requests_total", model=LIVE, task="dates", status="499") == 1)
    assert stage.count("running") == 0


async def test_the_engines_token_is_sent_and_one_that_is_refused_is_the_gateways_fault(
    tmp_path: Path,
) -> None:
    (tmp_path / "token").write_text("secret-1\n")
    token = TokenFile(tmp_path / "token")
    async with engine_listening(Engine()) as engine, staged([engine], engine_token=token) as stage:
        stage.publish()
        await stage.ask()
        (tmp_path / "token").write_text("secret-22\n")
        await stage.ask()
        assert [seen["authorization"] for seen in engine.headers] == ["Bearer secret-1", "Bearer secret-22"]
        engine.status = 401
        status, body, _ = await stage.ask()
    assert status == 503
    assert "--engine-token-file" in body["error"]["message"]
    assert "secret" not in str(body)


async def test_clients_need_the_token_and_probes_do_not(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("key")
    async with (
        engine_listening(Engine()) as engine,
        staged([engine], token=TokenFile(tmp_path / "token")) as s,
    ):
        s.publish()
        for sent in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic key"}):
            status, body, headers = await s.ask(headers=sent)
            assert (status, body["error"]["type"]) == (401, "authentication_error")
            assert headers["www-authenticate"] == "Bearer"
        assert (await s.ask(headers={"Authorization": "Bearer key"}))[0] == 200
        for path, wanted in (("/healthz", 200), ("/readyz", 200), ("/metrics", 401), ("/v1/models", 401)):
            async with s.client.get(path) as answer:
                assert answer.status == wanted


async def test_engines_that_leave_the_table_are_asked_no_more() -> None:
    async with AsyncExitStack() as stack:
        first, second = Engine(), Engine()
        stage = await two(stack, first, second)
        stage.publish(2, engines=(second.endpoint,))
        for _ in range(4):
            assert (await stage.ask())[0] == 200
        assert first.asked.total() == 0


async def test_a_redirect_is_not_followed(stage: Stage) -> None:
    async def away(_request: web.Request) -> web.Response:
        raise web.HTTPFound(f"{stage.engine.endpoint}/v1/chat/completions")

    app = web.Application()
    app.router.add_post("/v1/chat/completions", away)
    async with listening(app) as address:
        stage.publish(engines=(address,))
        async with stage.client.post(
            "/v1/chat/completions", json={"model": "dates"}, allow_redirects=False
        ) as answer:
            assert answer.status == 302
            assert "Location" not in answer.headers
    assert stage.engine.asked.total() == 0
    assert isinstance(stage.client, aiohttp.ClientSession)
