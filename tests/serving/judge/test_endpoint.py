"""A judge behind OpenAI's API: what is sent, and what each answer means."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from modelecology.serving.judge.comparison import Comparison, Word
from modelecology.serving.judge.endpoint import Endpoint
from modelecology.serving.judge.port import JudgeAway, JudgeFailed
from modelecology.serving.tokens import TokenFile
from tests.serving.gateway.stage import listening

ASKED = Comparison("which day?", "1 May", "2 May")


@dataclass
class Model:
    """An endpoint double: says what a test wants."""

    says: str = "FIRST"
    status: int = 200
    body: bytes | None = None
    hangs: bool = False
    seen: list[dict[str, Any]] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)

    async def complete(self, request: web.Request) -> web.Response:
        self.seen.append(await request.json())
        self.tokens.append(request.headers.get("Authorization"))
        if self.hangs:
            await asyncio.Event().wait()
        answer = {"model": "m-2026", "choices": [{"message": {"role": "assistant", "content": self.says}}]}
        return web.Response(body=self.body or json.dumps(answer).encode(), status=self.status)


@asynccontextmanager
async def asked_of(model: Model, token: TokenFile | None = None, suffix: str = "") -> AsyncIterator[Endpoint]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", model.complete)
    async with listening(app) as address:
        seconds = 0.2 if model.hangs else 30.0
        endpoint = Endpoint(address + suffix, "m", token=token, seconds=seconds, most_tokens=8)
        yield endpoint
        await endpoint.close()


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
async def test_it_asks_one_model_the_coldest_way(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "token").write_text("secret\n")
    model = Model()
    async with asked_of(model, TokenFile(tmp_path / "token"), suffix) as endpoint:
        assert await endpoint.ask(ASKED) is Word.FIRST
    (body,) = model.seen
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("m", 0, 8)
    assert [message["content"] for message in body["messages"]] == [ASKED.rules(), ASKED.material()]
    assert model.tokens == ["Bearer secret"]


@pytest.mark.parametrize("status", [401, 403, 404, 429, 502, 503])
async def test_what_is_the_endpoints_fault_is_tried_again(status: int) -> None:
    async with asked_of(Model(status=status)) as endpoint:
        with pytest.raises(JudgeAway, match=f"HTTP {status}"):
            await endpoint.ask(ASKED)


async def test_an_endpoint_that_nobody_listens_at_is_tried_again(unused_tcp_port: int) -> None:
    endpoint = Endpoint(f"http://127.0.0.1:{unused_tcp_port}", "m", token=None, seconds=5.0, most_tokens=8)
    with pytest.raises(JudgeAway, match="cannot be reached"):
        await endpoint.ask(ASKED)
    await endpoint.close()


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Model(status=400), "HTTP 400"),
        (Model(status=500), "HTTP 500"),
        (Model(hangs=True), "no reply within 0.2 s"),
        (Model(says="I think that FIRST"), "not FIRST, SECOND or SAME"),
        (Model(says=""), "not FIRST, SECOND or SAME"),
        (Model(body=b"{}"), "none of OpenAI's form"),
        (Model(body=b"x" * (1 << 20) + b"x"), "too long"),
    ],
)
async def test_what_is_no_judgement_is_an_error(model: Model, said: str) -> None:
    async with asked_of(model) as endpoint:
        with pytest.raises(JudgeFailed, match=said):
            await endpoint.ask(ASKED)


async def test_an_error_does_not_repeat_what_the_reply_says() -> None:
    async with asked_of(Model(says="the user's words")) as endpoint:
        with pytest.raises(JudgeFailed) as caught:
            await endpoint.ask(ASKED)
    assert "user" not in str(caught.value)
