"""Answers that come in pieces."""

from __future__ import annotations

import json
from itertools import pairwise

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from modelecology.serving.gateway.answers import StreamScan
from tests.serving.gateway.stage import CANARY, LIVE, SHADOW, Stage, until

ASKED = {"model": "dates", "messages": [{"role": "user", "content": "x"}], "stream": True}


async def test_a_stream_is_passed_on_chunk_by_chunk_as_it_comes(stage: Stage) -> None:
    stage.publish()
    stage.engine.held.add(LIVE)
    async with stage.client.post("/v1/chat/completions", json=ASKED) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert answer.headers["x-modelecology-route"] == LIVE
        # The engine has said one word and waits.
        first = await answer.content.readuntil(b"\n\n")
        assert json.loads(first[6:])["choices"][0]["delta"]["content"] == "0 "
        assert stage.engine.running == 1
        stage.engine.gate.set()
        rest = await answer.content.read()
    assert rest.endswith(b"data: [DONE]\n\n")
    assert rest.count(b"data: ") == stage.engine.chunks - 1 + 2
    assert stage.engine.bodies[0]["stream"] is True
    assert stage.count("tokens_total", model=LIVE, kind="completion") == 3
    assert stage.count("requests_total", model=LIVE, task="dates", status="200") == 1


async def test_a_client_that_leaves_a_stream_ends_the_engines_work(stage: Stage) -> None:
    stage.publish()
    stage.engine.held.add(LIVE)
    async with stage.client.post("/v1/chat/completions", json=ASKED) as answer:
        await answer.content.readuntil(b"\n\n")
        answer.close()
    await until(lambda: stage.engine.gone == 1)
    await until(lambda: stage.count("requests_total", model=LIVE, task="dates", status="499") == 1)


async def test_a_client_that_is_found_gone_at_a_write_is_written_down_as_one_that_left(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = web.StreamResponse.write

    async def gone(stream: web.StreamResponse, data: bytes) -> None:
        if "x-request-id" in stream.headers:
            raise ConnectionResetError("the client is gone")
        await write(stream, data)

    monkeypatch.setattr(web.StreamResponse, "write", gone)
    stage.publish(canary={"revision": CANARY, "percent": 100})
    async with stage.client.post("/v1/chat/completions", json=ASKED) as answer:
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
    await until(lambda: len(stage.exchanges) == 1)
    found = stage.exchanges[0].answer
    assert (found.served, found.text, found.error) == (CANARY, None, "HTTP 499")


async def test_a_stream_that_breaks_off_ends_in_an_error_and_without_done(stage: Stage) -> None:
    stage.publish()
    stage.engine.broken_after = 2
    async with stage.client.post("/v1/chat/completions", json=ASKED) as answer:
        text = (await answer.content.read()).decode()
    last = text.strip().split("\n\n")[-1]
    assert "broke off" in json.loads(last.removeprefix("data: "))["error"]["message"]
    assert "[DONE]" not in text
    assert stage.count("requests_total", model=LIVE, task="dates", status="502") == 1


async def test_the_words_of_a_stream_are_recorded_and_the_shadow_is_asked_for_one_piece(stage: Stage) -> None:
    stage.publish(shadow={"revision": SHADOW, "share": 1.0})
    asked = {**ASKED, "stream_options": {"include_usage": True}}
    async with stage.client.post("/v1/chat/completions", json=asked) as answer:
        await answer.read()
    await until(lambda: len(stage.exchanges) == 1)
    (found,) = stage.exchanges
    assert (found.answer.text, found.answer.tokens) == ("0 1 2 ", 3)
    assert found.shadow is not None
    assert found.shadow.text == f"said by {SHADOW}"
    copy = stage.engine.bodies[-1]
    assert copy["model"] == SHADOW
    assert "stream" not in copy
    assert "stream_options" not in copy


def _event(**fields: object) -> bytes:
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


WORDS = ["date", "é", "", "\n\n", "data: x", '"usage"']
STREAM = (
    b": ping\n\n"
    + b"".join(_event(model="m", choices=[{"delta": {"content": word}}]) for word in WORDS)
    + _event(model="m", choices=[], usage={"prompt_tokens": 5, "completion_tokens": 6})
    + b"data: [DONE]\n\n"
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=12), st.booleans(), st.booleans())
def test_a_stream_says_the_same_however_it_is_cut(cuts: list[int], with_text: bool, crlf: bool) -> None:
    stream = STREAM.replace(b"\n", b"\r\n") if crlf else STREAM
    places = [0, *sorted(cuts), len(stream)]
    scan = StreamScan(with_text=with_text)
    for start, end in pairwise(places):
        scan.feed(stream[start:end])
    answer = scan.answer()
    assert (scan.begun, scan.failed, answer.model) == (True, False, "m")
    assert (answer.prompt_tokens, answer.completion_tokens) == (5, 6)
    assert answer.text == ("".join(WORDS) if with_text else None)


@pytest.mark.parametrize("first", [b"data: no json\n\n", b"data: [1]\n\n", _event(choices=[])])
def test_a_stream_that_does_not_say_who_speaks_has_no_model(first: bytes) -> None:
    scan = StreamScan(with_text=False)
    scan.feed(first)
    assert (scan.begun, scan.model, scan.failed) == (True, None, False)


def test_an_event_without_end_is_not_kept() -> None:
    scan = StreamScan(with_text=True)
    scan.feed(_event(model="m"))
    for _ in range(40):
        scan.feed(b"x" * 65536)
    assert scan.lost
    scan.feed(b"\n\n" + _event(model="m", choices=[{"delta": {"content": "more"}}]))
    assert scan.answer().text == ""


def test_an_engines_error_in_the_middle_of_a_stream_is_seen() -> None:
    scan = StreamScan(with_text=False)
    scan.feed(_event(model="m"))
    assert not scan.failed
    scan.feed(_event(error={"message": "out of memory"}))
    assert scan.failed
