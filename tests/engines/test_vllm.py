"""What the HTTP adapter makes of servers that are slow, broken, busy, or something else."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from modelecology.engines.port import AnswerFailed, Engine, EngineRefused, EngineUnreachable
from modelecology.engines.vllm import Patience, VllmEngine

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Handler], Awaitable[VllmEngine]]
HASTE = Patience(connect=0.5, list=0.2, load=0.2, chat=0.2)


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts a server whose every path has one handler, and gives an engine for it."""
    servers: list[TestServer] = []
    engines: list[VllmEngine] = []

    async def start(handler: Handler) -> VllmEngine:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        server = TestServer(app)
        await server.start_server()
        servers.append(server)
        engines.append(VllmEngine(str(server.make_url("/v1")), token="opensesame", patience=HASTE))
        return engines[-1]

    yield start
    for engine in engines:
        await engine.close()
    for server in servers:
        await server.close()


def says(status: int, text: str) -> Handler:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(status=status, text=text, headers={"Location": "/elsewhere"})

    return handler


def error(status: int, message: str) -> Handler:
    return says(
        status, f'{{"error": {{"message": "{message}", "type": "x", "param": null, "code": {status}}}}}'
    )


async def test_the_adapter_is_an_engine(serve: Serve) -> None:
    assert isinstance(await serve(says(200, "")), Engine)


async def test_an_unload_says_how_long_requests_may_take_beside_its_order(serve: Serve) -> None:
    asked: list[tuple[str, dict[str, str], object]] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append((request.path, dict(request.query), await request.json()))
        return web.Response()

    engine = await serve(handler)
    await engine.unload("dates-0123")
    await engine.unload("dates-0123", 12.5)
    path, order = "/v1/unload_lora_adapter", {"lora_name": "dates-0123"}
    assert asked == [(path, {"drain_seconds": "0"}, order), (path, {"drain_seconds": "12.5"}, order)]


async def test_a_silent_engine_is_unreachable_after_the_time_limit(serve: Serve) -> None:
    asked = asyncio.Event()
    done = asyncio.Event()

    async def handler(_request: web.Request) -> web.Response:
        asked.set()
        await done.wait()
        return web.Response()

    engine = await serve(handler)
    with pytest.raises(EngineUnreachable, match=r"did not answer within 0\.2 s"):
        await engine.models()
    assert asked.is_set()
    done.set()


async def test_a_closed_port_is_unreachable() -> None:
    engine = VllmEngine("http://127.0.0.1:9", patience=HASTE)
    with pytest.raises(EngineUnreachable, match="cannot be reached") as caught:
        await engine.load("a", "/a")
    assert caught.value.retry
    await engine.close()


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_busy_engine_is_asked_again(serve: Serve, status: int) -> None:
    engine = await serve(error(status, "too busy"))
    with pytest.raises(EngineUnreachable, match="too busy"):
        await engine.chat("a", "hello", 1)


async def test_a_failure_while_answering_is_worth_another_try_but_not_one_while_loading(serve: Serve) -> None:
    engine = await serve(error(500, "engine core died"))
    with pytest.raises(AnswerFailed, match="engine core died"):
        await engine.chat("a", "hello", 1)
    with pytest.raises(EngineRefused, match="engine core died"):
        await engine.load("a", "/a")


async def test_a_refusal_carries_the_status_and_the_words(serve: Serve) -> None:
    engine = await serve(error(400, "rank 64 is too large"))
    with pytest.raises(EngineRefused) as caught:
        await engine.load("a", "/a")
    assert (caught.value.status, caught.value.message) == (400, "rank 64 is too large")
    assert not caught.value.retry


async def test_a_missing_token_is_named_and_the_token_is_not_shown(serve: Serve) -> None:
    engine = await serve(error(401, "Unauthorized"))
    with pytest.raises(EngineRefused, match="wants a bearer token") as caught:
        await engine.models()
    assert "opensesame" not in str(caught.value)


async def test_the_door_of_vllm_says_no_in_a_string(serve: Serve) -> None:
    engine = await serve(says(401, '{"error":"Unauthorized"}'))
    with pytest.raises(EngineRefused, match=r"401: Unauthorized \(the engine wants a bearer token\)"):
        await engine.models()


@pytest.mark.parametrize("text", ["<html>hello</html>", "{}", '{"data": [{"name": "x"}]}', "[]"])
async def test_something_else_than_an_engine_is_refused(serve: Serve, text: str) -> None:
    engine = await serve(says(200, text))
    with pytest.raises(EngineRefused, match="something else than OpenAI's API"):
        await engine.models()


async def test_a_redirect_is_not_followed(serve: Serve) -> None:
    engine = await serve(says(307, "over there"))
    with pytest.raises(EngineRefused) as caught:
        await engine.models()
    assert caught.value.status == 307


async def test_an_endless_answer_is_cut_off(serve: Serve) -> None:
    engine = await serve(says(200, "x" * (9 * 1024 * 1024)))
    with pytest.raises(EngineUnreachable, match="longer than"):
        await engine.models()


async def test_a_question_is_greedy_seeded_and_carries_the_token(serve: Serve) -> None:
    seen: list[tuple[str, str, object]] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append((request.path, request.headers["Authorization"], await request.json()))
        return web.json_response({"choices": [{"message": {"role": "assistant", "content": "yes"}}]})

    engine = await serve(handler)
    assert await engine.chat("dates", "hello", 7) == "yes"
    body = {
        "model": "dates",
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": 7,
        "temperature": 0,
        "seed": 0,
    }
    assert seen == [("/v1/chat/completions", "Bearer opensesame", body)]


async def test_an_address_that_is_none_is_refused() -> None:
    engine = VllmEngine("not an address", patience=HASTE)
    with pytest.raises(EngineRefused, match="not a usable address"):
        await engine.models()
    await engine.close()
