"""The port for embeddings: its double, OpenAI's API, and the CPU engine behind it, held to one contract."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from modelecology.serving.gateway.embedder import Embedder, EmbedderAway, Place, RuleEmbedder
from modelecology.serving.gateway.embeddings import Embeddings
from modelecology.serving.tokens import TokenFile
from tests.serving.conftest import StartEngine
from tests.serving.gateway.meaning import meaning
from tests.serving.gateway.stage import listening

# peft's own use of transformers.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

TEXTS = ["which day?", "every five minutes", "which day?", "Ünïcode, and half a pair: \ud83d"]


@dataclass
class Model:
    """An endpoint double: embeds by the words of a text, or says what a test wants."""

    status: int = 200
    body: bytes | None = None
    hangs: bool = False
    backwards: bool = False
    seen: list[dict[str, Any]] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)

    async def embed(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.seen.append(body)
        self.tokens.append(request.headers.get("Authorization"))
        if self.hangs:
            await asyncio.Event().wait()
        if self.status in (301, 307):
            raise web.HTTPTemporaryRedirect("/v1/elsewhere")
        rows = [{"index": n, "embedding": meaning(text)} for n, text in enumerate(body["input"])]
        rows = rows[::-1] if self.backwards else rows
        raw = self.body if self.body is not None else json.dumps({"object": "list", "data": rows}).encode()
        return web.Response(body=raw, status=self.status)


@asynccontextmanager
async def asked_of(model: Model, token: TokenFile | None = None) -> AsyncIterator[tuple[Embeddings, Place]]:
    app = web.Application()
    app.router.add_post("/v1/embeddings", model.embed)
    async with listening(app) as address:
        endpoint = Embeddings(token)
        yield endpoint, Place(address, "m")
        await endpoint.close()


@pytest.fixture(params=["double", "endpoint", "engine"])
async def asked(
    request: pytest.FixtureRequest, start_engine: StartEngine
) -> AsyncIterator[tuple[Embedder, Place]]:
    if request.param == "double":
        yield RuleEmbedder(meaning), Place("http://nowhere", "m")
    elif request.param == "endpoint":
        async with asked_of(Model()) as found:
            yield found
    else:
        client = await start_engine()
        async with client.get("/health") as answer:
            place = Place(str(answer.url.origin()), "generalist")
        endpoint = Embeddings()
        yield endpoint, place
        await endpoint.close()


async def test_each_text_gets_a_vector_in_its_place_and_equal_texts_get_equal_ones(
    asked: tuple[Embedder, Place],
) -> None:
    embedder, place = asked
    found = await embedder.embed(place, TEXTS, 30.0)
    assert len(found) == len(TEXTS)
    assert len({len(vector) for vector in found}) == 1
    assert all(math.isfinite(number) for vector in found for number in vector)
    assert all(any(vector) for vector in found)
    assert list(found[0]) == pytest.approx(list(found[2]))
    assert list(found[0]) != pytest.approx(list(found[1]))


async def test_a_text_alone_gets_the_vector_that_it_gets_in_company(asked: tuple[Embedder, Place]) -> None:
    embedder, place = asked
    (alone,) = await embedder.embed(place, TEXTS[1:2], 30.0)
    among = await embedder.embed(place, TEXTS, 30.0)
    assert list(alone) == pytest.approx(list(among[1]))


async def test_the_token_and_the_model_are_sent(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    model = Model()
    async with asked_of(model, TokenFile(tmp_path / "token")) as (endpoint, place):
        await endpoint.embed(place, ["a"], 30.0)
    assert model.seen == [{"model": "m", "input": ["a"], "encoding_format": "float"}]
    assert model.tokens == ["Bearer secret"]


async def test_vectors_are_put_in_the_order_of_their_index() -> None:
    async with asked_of(Model(backwards=True)) as (endpoint, place):
        assert [tuple(v) for v in await endpoint.embed(place, TEXTS[:2], 30.0)] == [
            meaning(text) for text in TEXTS[:2]
        ]


@pytest.mark.parametrize("status", [307, 401, 404, 429, 500])
async def test_any_other_status_is_a_failure_and_the_token_goes_nowhere_else(status: int) -> None:
    model = Model(status=status)
    async with asked_of(model) as (endpoint, place):
        with pytest.raises(EmbedderAway, match=f"HTTP {status}") as failure:
            await endpoint.embed(place, ["a"], 30.0)
    assert not failure.value.slow
    assert len(model.seen) == 1


def rows(*vectors: tuple[int, list[float]]) -> bytes:
    return json.dumps({"data": [{"index": n, "embedding": v} for n, v in vectors]}).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"hello",
        b"[]",
        rows((0, [1.0])),
        rows((0, [1.0]), (0, [1.0])),
        rows((0, [1.0]), (2, [1.0])),
        rows((0, [1.0]), (1, [1.0]), (1, [2.0])),
        rows((0, [1.0]), (1, [1.0, 2.0])),
        rows((0, []), (1, [])),
        b"x" * (16 * 1024 * 1024 + 1),
    ],
)
async def test_what_is_no_vector_for_each_text_is_a_failure(body: bytes) -> None:
    async with asked_of(Model(body=body)) as (endpoint, place):
        with pytest.raises(EmbedderAway):
            await endpoint.embed(place, ["a", "b"], 30.0)


async def test_one_that_hangs_is_left_when_its_time_is_over() -> None:
    async with asked_of(Model(hangs=True)) as (endpoint, place):
        with pytest.raises(EmbedderAway, match="no answer within") as failure:
            await endpoint.embed(place, ["a"], 0.05)
    assert failure.value.slow


async def test_one_that_nobody_listens_at_is_away(unused_tcp_port: int) -> None:
    endpoint = Embeddings()
    with pytest.raises(EmbedderAway, match="cannot be reached"):
        await endpoint.embed(Place(f"http://127.0.0.1:{unused_tcp_port}", "m"), ["a"], 30.0)
    await endpoint.close()
