"""The engine's directions of texts: the base's alone, whatever is resident, and what is refused."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest
import torch

from modelecology.serving.engine.admission import admit
from modelecology.serving.engine.generalist import Generalist
from tests.serving.conftest import StartEngine

# peft's own use of transformers.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


async def embed(client: aiohttp.ClientSession, **body: object) -> tuple[int, dict[str, object]]:
    async with client.post("/v1/embeddings", json={"model": "generalist", **body}) as answer:
        found: dict[str, object] = await answer.json()
        return answer.status, found


def test_a_direction_has_length_one_and_is_of_all_tokens(generalist: Generalist) -> None:
    found = torch.tensor(generalist.embed(generalist.encode("which day is it?")))
    assert float(found.norm()) == pytest.approx(1.0, abs=1e-5)
    other = torch.tensor(generalist.embed(generalist.encode("Which day is it?")))
    assert not torch.allclose(found, other)


def test_a_resident_adapter_does_not_turn_it(generalist: Generalist, tiny_root: Path) -> None:
    tokens = generalist.encode("which day is it?")
    before = generalist.embed(tokens)
    generalist.attach(generalist.fit(admit("one", str(tiny_root / "one"), (), 8)))
    assert generalist.embed(tokens) == pytest.approx(before, abs=1e-6)


async def test_an_answer_has_openais_shape_and_counts_its_tokens(start_engine: StartEngine) -> None:
    client = await start_engine()
    status, body = await embed(client, input=["a", "bc"], encoding_format="float", user="u")
    assert status == 200
    rows = body["data"]
    assert isinstance(rows, list)
    assert (body["object"], body["model"]) == ("list", "generalist")
    assert [(row["object"], row["index"]) for row in rows] == [("embedding", 0), ("embedding", 1)]
    usage = body["usage"]
    assert isinstance(usage, dict)
    assert usage["prompt_tokens"] == usage["total_tokens"] > 2
    status, alone = await embed(client, input="a")
    assert status == 200
    assert isinstance(alone["data"], list)
    assert alone["data"][0]["embedding"] == pytest.approx(rows[0]["embedding"], abs=1e-6)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"input": "a", "model": "nobody"}, 404),
        ({"input": ["a"] * 65}, 400),
        ({"input": ["a", "x" * 5000]}, 400),
        ({"input": []}, 400),
        ({"input": "a", "encoding_format": "base64"}, 400),
        ({"input": "a", "dimensions": 4}, 400),
    ],
)
async def test_what_is_not_implemented_is_refused(
    start_engine: StartEngine, body: dict[str, object], status: int
) -> None:
    client = await start_engine()
    found, answer = await embed(client, **body)
    assert found == status
    assert "error" in answer
