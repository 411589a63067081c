"""What only a real vLLM can show: its door, its words for an unsound adapter, and its signals."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from modelecology.engines.port import EngineRefused
from modelecology.engines.vllm import VllmEngine
from testbed.vllm import VllmServer
from tests.engines.conftest import MAX_RANK, Tiny
from tests.engines.tiny_base import make_adapter

pytestmark = [pytest.mark.long, pytest.mark.timeout(2700)]


@pytest.fixture
async def vllm(vllm_server: VllmServer) -> AsyncIterator[VllmEngine]:
    """vLLM with nothing but its base."""
    engine = VllmEngine(vllm_server.endpoint, token=vllm_server.token)
    yield engine
    for card in await engine.models():
        if card.parent is not None:
            await engine.unload(card.id)
    await engine.close()


async def test_without_its_token_nothing_is_listed_and_nothing_loaded(
    vllm_server: VllmServer, tiny: Tiny
) -> None:
    stranger = VllmEngine(vllm_server.endpoint)
    for attempt in (
        stranger.models(),
        stranger.load("dates", tiny.one),
        stranger.chat("generalist", "Hi", 1),
    ):
        with pytest.raises(EngineRefused, match="401: Unauthorized"):
            await attempt
    await stranger.close()


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/adapters"), ("DELETE", "/adapters/dates"), ("POST", "/invocations"), ("GET", "/docs")],
)
async def test_the_doors_that_vllm_leaves_open_are_guarded(
    vllm_server: VllmServer, method: str, path: str
) -> None:
    async with aiohttp.ClientSession(vllm_server.endpoint) as client:
        for headers in ({}, {"Authorization": "Bearer nobody"}):
            async with client.request(method, path, headers=headers, json={}) as answer:
                assert answer.status == 401
        async with client.request(
            method, path, headers={"Authorization": f"Bearer {vllm_server.token}"}, json={}
        ) as answer:
            assert answer.status != 401


async def test_an_adapter_of_too_high_a_rank_is_refused_and_not_listed(
    vllm: VllmEngine, tmp_path: Path
) -> None:
    wide = make_adapter(tmp_path / "wide", seed=3, rank=2 * MAX_RANK)
    with pytest.raises(EngineRefused, match="LoRA rank 16 is greater than max_lora_rank 8"):
        await vllm.load("wide", str(wide))
    assert len(await vllm.models()) == 1


async def test_an_adapter_without_its_settings_is_refused_and_not_listed(
    vllm: VllmEngine, tmp_path: Path
) -> None:
    bare = make_adapter(tmp_path / "bare", seed=3)
    (bare / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    with pytest.raises(EngineRefused, match="Missing required configuration fields"):
        await vllm.load("bare", str(bare))
    assert len(await vllm.models()) == 1


async def test_an_adapter_is_named_as_busy_for_as_long_as_it_answers(vllm: VllmEngine, tiny: Tiny) -> None:
    async def becomes(wanted: frozenset[str]) -> None:
        async with asyncio.timeout(60.0):
            while True:
                if await vllm.busy() == wanted:
                    return
                await asyncio.sleep(0.01)

    await vllm.load("dates", tiny.one)
    await becomes(frozenset())
    asked = asyncio.create_task(vllm.chat("dates", "Say one.", 400))
    await becomes(frozenset({"dates"}))
    await asked
    await becomes(frozenset())
