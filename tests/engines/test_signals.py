"""Which adapters have requests: read from metrics as vLLM writes them, and from engines at work."""

import asyncio

import pytest
from aiohttp.test_utils import TestServer

from modelecology.engines.double import EngineDouble
from modelecology.engines.double_server import double_app
from modelecology.engines.signals import busy_adapters
from modelecology.engines.vllm import VllmEngine
from tests.serving.gateway.stage import until

from .conftest import VLLM, Tiny

HEAD = (
    "# HELP vllm:lora_requests_info Running stats on lora requests.\n# TYPE vllm:lora_requests_info gauge\n"
)


def series(when: float, running: str = "", waiting: str = "") -> str:
    """A line as vLLM writes it."""
    labels = f'max_lora="4",running_lora_adapters="{running}",waiting_lora_adapters="{waiting}"'
    return f"vllm:lora_requests_info{{{labels}}} {when!r}\n"


def test_of_vllms_series_the_newest_says_who_has_requests() -> None:
    old = series(1.7642e9, "dates-aaaaaaaaaaaa")
    new = series(1764300000.25, "cron-bbbbbbbbbbbb,days-cccccccccccc", "wait-dddddddddddd")
    named = frozenset({"cron-bbbbbbbbbbbb", "days-cccccccccccc", "wait-dddddddddddd"})
    assert busy_adapters(HEAD + new + old) == named
    assert busy_adapters(HEAD + old + new + series(1764300000.5)) == frozenset()


def test_an_engine_that_never_had_a_request_for_an_adapter_has_none_now() -> None:
    assert busy_adapters(HEAD + 'vllm:num_requests_running{engine="0"} 3.0\n') == frozenset()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "vllm:num_requests_running 1.0\n",
        "<html>vllm:lora_requests_info{</html>",
        # Several processes that write one gauge: their clocks are added up.
        HEAD + series(2 * 1.7643e9) + series(1.7643e9, "dates-aaaaaaaaaaaa"),
    ],
)
def test_metrics_that_do_not_say_it_are_not_taken_for_silence(text: str) -> None:
    assert busy_adapters(text) is None


def test_the_cpu_engines_gauge_counts() -> None:
    text = (
        "# TYPE modelecology_engine_adapter_requests gauge\n"
        'modelecology_engine_adapter_requests{model="dates-aaaaaaaaaaaa"} 2.0\n'
        'modelecology_engine_adapter_requests{model="cron-bbbbbbbbbbbb"} 0.0\n'
    )
    assert busy_adapters(text) == frozenset({"dates-aaaaaaaaaaaa"})


async def _becomes(engine: VllmEngine, wanted: frozenset[str]) -> None:
    async def holds() -> bool:
        return await engine.busy() == wanted

    await until(holds)


@pytest.mark.parametrize("engine", ["cpu", pytest.param("vllm", marks=VLLM)], indirect=True)
async def test_an_engine_names_an_adapter_for_as_long_as_it_answers(engine: VllmEngine, tiny: Tiny) -> None:
    await engine.load("dates", tiny.one)
    assert await engine.busy() == frozenset()
    asked = asyncio.create_task(engine.chat("dates", "Say one.", 100))
    await _becomes(engine, frozenset({"dates"}))
    await asked
    await _becomes(engine, frozenset())
    await engine.unload("dates")
    assert await engine.busy() == frozenset()


async def test_the_double_names_an_adapter_while_it_answers_and_says_nothing_when_told_so() -> None:
    gate = asyncio.Event()

    class Gated(EngineDouble):
        async def chat(self, model: str, prompt: str, max_tokens: int) -> str:
            await gate.wait()
            return await super().chat(model, prompt, max_tokens)

    double = Gated(exists=lambda _path: True)
    await double.load("dates", "/dates")
    async with TestServer(double_app(double)) as server:
        engine = VllmEngine(str(server.make_url("/")))
        asked = asyncio.create_task(engine.chat("dates", "Hello", 8))
        await _becomes(engine, frozenset({"dates"}))
        gate.set()
        assert await asked == "dates: Hello"
        await _becomes(engine, frozenset())
        double.requests = None
        assert await engine.busy() is None
        await engine.close()
