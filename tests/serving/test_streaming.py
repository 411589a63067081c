"""Answers of the engine that are sent as they are written."""

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from modelecology.serving.gateway.answers import StreamScan, read_answer
from testbed.waiting import until
from tests.serving.conftest import StartEngine
from tests.serving.test_app import HELLO, ask, load, post, scrape

Event = dict[str, Any]


async def stream(client: aiohttp.ClientSession, path: str, body: dict[str, object]) -> list[Event | str]:
    """Ask for a stream and give its events; the last is OpenAI's mark of the end."""
    async with client.post(path, json={**body, "stream": True}) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.content_type == "text/event-stream"
        return events(await answer.text())


def events(text: str) -> list[Event | str]:
    """Split a stream into its events."""
    lines = text.split("\n\n")
    assert lines.pop() == ""
    data = [line.removeprefix("data: ") for line in lines]
    return [each if each == "[DONE]" else json.loads(each) for each in data]


def chunks(events: list[Event | str]) -> list[Event]:
    """Give all events but the mark of the end, which must be there."""
    *found, end = events
    assert end == "[DONE]"
    return [each for each in found if isinstance(each, dict)]


async def test_a_streamed_conversation_says_what_a_whole_one_says(start_engine: StartEngine) -> None:
    client = await start_engine()
    _, whole = await ask(client)
    found = chunks(await stream(client, "/v1/chat/completions", HELLO))
    assert {(each["object"], each["model"]) for each in found} == {("chat.completion.chunk", "generalist")}
    assert len({each["id"] for each in found}) == 1
    first, *rest = [each["choices"][0] for each in found]
    assert first == {
        "index": 0,
        "delta": {"role": "assistant", "content": ""},
        "logprobs": None,
        "finish_reason": None,
    }
    said = whole["choices"][0]
    assert "".join(each["delta"].get("content", "") for each in rest) == said["message"]["content"]
    assert [each["finish_reason"] for each in rest if each["finish_reason"]] == [said["finish_reason"]]
    assert all("usage" not in each for each in found)


async def test_tokens_are_told_at_the_end_if_they_are_asked_for(start_engine: StartEngine) -> None:
    client = await start_engine()
    _, whole = await ask(client)
    body = {**HELLO, "stream_options": {"include_usage": True}}
    last = chunks(await stream(client, "/v1/chat/completions", body))[-1]
    assert last["choices"] == []
    assert last["usage"] == whole["usage"]
    counted = await scrape(client)
    assert counted['modelecology_engine_requests_total{model="generalist",status="200"}'] == 2


async def test_the_gateway_reads_of_a_stream_what_it_reads_of_a_whole_answer(
    start_engine: StartEngine,
) -> None:
    client = await start_engine()
    async with client.post("/v1/chat/completions", json=HELLO) as answer:
        whole = read_answer(await answer.read(), with_text=True)
    body = {**HELLO, "stream": True, "stream_options": {"include_usage": True}}
    scan = StreamScan(with_text=True)
    async with client.post("/v1/chat/completions", json=body) as answer:
        async for chunk in answer.content.iter_any():
            scan.feed(chunk)
    assert scan.answer() == whole
    assert not scan.failed


async def test_several_prompts_are_streamed_side_by_side(start_engine: StartEngine) -> None:
    client = await start_engine()
    body: dict[str, object] = {
        "model": "generalist",
        "temperature": 0,
        "max_tokens": 5,
        "prompt": ["one", "two"],
    }
    async with client.post("/v1/completions", json=body) as answer:
        whole = [choice["text"] for choice in (await answer.json())["choices"]]
    texts = ["", ""]
    for each in chunks(await stream(client, "/v1/completions", body)):
        assert each["object"] == "text_completion"
        choice = each["choices"][0]
        texts[choice["index"]] += choice["text"]
    assert texts == whole


async def test_what_cannot_be_streamed_is_refused_with_its_own_status(start_engine: StartEngine) -> None:
    client = await start_engine()
    status, body = await ask(client, stream=True, model="nobody")
    assert (status, body["error"]["type"]) == (404, "NotFoundError")
    status, body = await ask(client, stream=True, max_tokens=1000)
    assert (status, body["error"]["param"]) == (400, "max_tokens")


async def test_a_stream_that_an_unload_ends_says_so_in_its_last_event(
    start_engine: StartEngine, tiny_root: Path
) -> None:
    client = await start_engine(drain_seconds=0.0)
    await load(client, "one", tiny_root / "one")
    body = {**HELLO, "model": "one", "max_tokens": 240, "temperature": 1.0, "stream": True}
    # The tiny adapter might end early, so several are asked at once.
    answers = [
        await client.post("/v1/chat/completions", json={**body, "seed": number}) for number in range(6)
    ]
    status, _ = await post(client, "/v1/unload_lora_adapter", {"lora_name": "one"})
    assert status == 200
    ended = [events(await answer.text()) for answer in answers]
    told = [each["error"] for found in ended for each in chunks(found) if "error" in each]
    assert told
    assert told[0] == {
        "message": "The model `one` is being unloaded.",
        "type": "ServiceUnavailableError",
        "param": None,
        "code": 503,
    }


@pytest.mark.parametrize("read", [0, 1])
async def test_a_client_that_hangs_up_on_a_stream_frees_its_place(
    start_engine: StartEngine, read: int
) -> None:
    client = await start_engine(max_rows=1)
    body = {**HELLO, "max_tokens": 240, "temperature": 1.0, "seed": 1, "stream": True}
    answer = await client.post("/v1/chat/completions", json=body)
    for _ in range(read):
        await answer.content.readany()
    answer.close()
    assert (await ask(client))[0] == 200

    async def idle() -> bool:
        return (await scrape(client))["modelecology_engine_running"] == 0

    await until(idle)
