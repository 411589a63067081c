"""The engine over HTTP: vLLM's status codes and words, and what it refuses."""

import asyncio
import io
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from modelecology.serving.tokens import TokenFile
from testbed.waiting import until
from tests.serving.conftest import StartEngine, healthy

# peft's own use of transformers.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

HELLO = {
    "model": "generalist",
    "messages": [{"role": "user", "content": "hello"}],
    "max_tokens": 6,
    "temperature": 0,
}


async def post(client: aiohttp.ClientSession, path: str, body: object) -> tuple[int, str]:
    async with client.post(path, json=body) as answer:
        return answer.status, await answer.text()


async def ask(client: aiohttp.ClientSession, **changes: object) -> tuple[int, dict[str, Any]]:
    async with client.post("/v1/chat/completions", json={**HELLO, **changes}) as answer:
        body: dict[str, Any] = await answer.json()
        return answer.status, body


async def scrape(client: aiohttp.ClientSession) -> dict[str, float]:
    async with client.get("/metrics") as answer:
        lines = (await answer.text()).splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


async def load(client: aiohttp.ClientSession, name: str, path: Path) -> tuple[int, str]:
    return await post(client, "/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(path)})


async def test_loading_and_unloading_speak_as_vllm_does(start_engine: StartEngine, tiny_root: Path) -> None:
    client = await start_engine()
    assert await load(client, "dates.1", tiny_root / "one") == (
        200,
        "Success: LoRA adapter 'dates.1' added successfully.",
    )
    async with client.get("/v1/models") as answer:
        cards = (await answer.json())["data"]
    assert [(card["id"], card["root"], card["parent"]) for card in cards] == [
        ("generalist", str(tiny_root / "base"), None),
        ("dates.1", str(tiny_root / "one"), "generalist"),
    ]
    status, text = await load(client, "dates.1", tiny_root / "one")
    assert status == 400
    assert '"type":"InvalidUserInput"' in text
    unload = {"lora_name": "dates.1"}
    assert await post(client, "/v1/unload_lora_adapter", unload) == (
        200,
        "Success: LoRA adapter 'dates.1' removed successfully.",
    )
    status, text = await post(client, "/v1/unload_lora_adapter", unload)
    assert status == 404
    assert '"type":"NotFoundError"' in text


async def test_an_answer_has_openais_shape_and_counts_its_tokens(start_engine: StartEngine) -> None:
    client = await start_engine()
    status, body = await ask(client)
    assert status == 200
    assert body["object"] == "chat.completion"
    assert body["model"] == "generalist"
    assert body["usage"] == {"prompt_tokens": 8, "completion_tokens": 6, "total_tokens": 14}
    counted = await scrape(client)
    assert counted['modelecology_engine_tokens_total{kind="completion",model="generalist"}'] == 6
    assert counted['modelecology_engine_requests_total{model="generalist",status="200"}'] == 1


async def test_several_prompts_are_continued_in_order(start_engine: StartEngine) -> None:
    client = await start_engine()
    body = {"model": "generalist", "temperature": 0, "max_tokens": 5}
    texts = []
    for prompt in (["one", "two"], ["one"], ["two"]):
        async with client.post("/v1/completions", json={**body, "prompt": prompt}) as answer:
            texts.append([choice["text"] for choice in (await answer.json())["choices"]])
    assert texts[0] == texts[1] + texts[2]


async def test_what_a_request_says_for_the_gateways_rules_changes_no_answer(
    start_engine: StartEngine,
) -> None:
    client = await start_engine()
    _, plain = await ask(client)
    status, marked = await ask(client, metadata={"source": "mail"})
    assert (status, marked["choices"]) == (200, plain["choices"])


async def test_a_seed_makes_a_sampled_answer_repeat(start_engine: StartEngine) -> None:
    client = await start_engine()
    answers = [
        (await ask(client, temperature=1, seed=seed, max_tokens=20))[1]["choices"] for seed in (1, 1, 2)
    ]
    assert answers[0] == answers[1] != answers[2]


async def test_the_parts_of_a_message_are_one_text(start_engine: StartEngine) -> None:
    client = await start_engine()
    parts = [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]
    _, whole = await ask(client)
    _, split = await ask(client, messages=[{"role": "user", "content": parts}])
    assert split["choices"] == whole["choices"]


REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "options of a stream without one": (
        {"stream_options": {"include_usage": True}},
        "stream_options belongs to stream: true",
    ),
    "several answers": ({"n": 2}, "n: "),
    "a field that is not known": ({"guided_json": {}}, "guided_json: "),
    "tools": ({"tools": []}, "tools: "),
    "no messages": ({"messages": []}, "messages: "),
    "an image": ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages."),
    "a temperature below zero": ({"temperature": -1}, "temperature: "),
    "no token at all": ({"max_tokens": 0}, "max_tokens: "),
    "more tokens than the context has": ({"max_tokens": 1000}, "maximum context length is 256 tokens"),
    "a prompt longer than the context": (
        {"messages": [{"role": "user", "content": "x" * 500}]},
        "maximum context length is 256 tokens",
    ),
    "too many stops": ({"stop": ["a", "b", "c", "d", "e"]}, "stop must hold at most 4"),
    "an empty stop": ({"stop": ""}, "each of 1 to 256 characters"),
    "a stop that would keep all waiting": ({"stop": "a" * 257}, "each of 1 to 256 characters"),
    "metadata that is no text": ({"metadata": {"a": 1}}, "metadata.a: "),
}


async def test_what_cannot_be_served_is_refused_with_the_fields_name(start_engine: StartEngine) -> None:
    client = await start_engine()
    for case, (changes, words) in REFUSED.items():
        status, body = await ask(client, **changes)
        assert status == 400, case
        error = body["error"]
        assert isinstance(error, dict), case
        assert words in error["message"], case
        assert set(error) == {"message", "type", "param", "code"}, case


async def test_an_unknown_model_is_404_and_is_no_label_of_a_metric(start_engine: StartEngine) -> None:
    client = await start_engine()
    status, body = await ask(client, model="made-up")
    assert status == 404
    assert body["error"] == {
        "message": "The model `made-up` does not exist.",
        "type": "NotFoundError",
        "param": "model",
        "code": 404,
    }
    assert not any("made-up" in name for name in await scrape(client))


async def test_an_unknown_route_is_404_in_the_same_body(start_engine: StartEngine) -> None:
    client = await start_engine()
    status, text = await post(client, "/v1/images", {})
    assert status == 404
    assert text.startswith('{"error":')


async def test_an_engine_whose_base_is_still_loading_says_so(start_engine: StartEngine) -> None:
    client = await start_engine(wait=False)
    async with client.get("/health") as answer:
        assert answer.status == HTTPStatus.SERVICE_UNAVAILABLE
        assert answer.headers["Retry-After"] == "1"
    async with client.get("/v1/models") as answer:
        assert "is being loaded" in await answer.text()
    await healthy(client)


async def test_a_token_is_wanted_everywhere_but_at_health(start_engine: StartEngine, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("opensesame\n")
    client = await start_engine(token=TokenFile(tmp_path / "token"))
    for path in ("/v1/models", "/metrics", "/nowhere"):
        async with client.get(path) as answer:
            assert answer.status == HTTPStatus.UNAUTHORIZED
        async with client.get(path, headers={"Authorization": "Bearer opensesamf"}) as answer:
            assert answer.status == HTTPStatus.UNAUTHORIZED
    async with client.get("/v1/models", headers={"Authorization": "Bearer opensesame"}) as answer:
        assert answer.status == HTTPStatus.OK
    # A token that leaked is changed, and opens nothing from then on.
    (tmp_path / "token").write_text("another-one\n")
    for word, status in (("opensesame", HTTPStatus.UNAUTHORIZED), ("another-one", HTTPStatus.OK)):
        async with client.get("/v1/models", headers={"Authorization": f"Bearer {word}"}) as answer:
            assert answer.status == status


async def test_a_request_that_is_too_large_or_hides_its_size_is_turned_away(
    start_engine: StartEngine,
) -> None:
    client = await start_engine()
    async with client.post("/v1/completions", data=io.BytesIO(bytes(2 * 1024 * 1024 + 1))) as answer:
        assert answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE

    async def pieces() -> AsyncIterator[bytes]:
        yield b"{}"

    async with client.post("/v1/completions", data=pieces()) as answer:
        assert answer.status == HTTPStatus.LENGTH_REQUIRED


async def test_many_requests_for_all_models_share_batches_and_answer_as_alone(
    start_engine: StartEngine, tiny_root: Path
) -> None:
    client = await start_engine()
    for name in ("one", "two"):
        assert (await load(client, name, tiny_root / name))[0] == 200
    models = ["generalist", "one", "two"] * 4
    alone = {model: (await ask(client, model=model))[1]["choices"] for model in set(models)}
    before = await scrape(client)
    answers = await asyncio.gather(*(ask(client, model=model) for model in models))
    assert [body["choices"] for _, body in answers] == [alone[model] for model in models]
    after = await scrape(client)
    rows, passes = (
        after[name] - before[name]
        for name in ("modelecology_engine_rows_total", "modelecology_engine_passes_total")
    )
    assert rows / passes > 1.5


@pytest.mark.parametrize(("more", "ended"), [("", False), ("?drain_seconds=0", True)])
async def test_an_unload_lets_requests_under_way_end_for_as_long_as_it_says(
    start_engine: StartEngine, tiny_root: Path, more: str, ended: bool
) -> None:
    client = await start_engine()
    await load(client, "one", tiny_root / "one")
    # The tiny adapter might end early, so several long requests are asked at once.
    asking = [
        asyncio.create_task(ask(client, model="one", max_tokens=200, temperature=1.0, seed=n))
        for n in range(6)
    ]

    async def running() -> bool:
        return (await scrape(client))["modelecology_engine_running"] > 0

    await until(running)
    status, _ = await post(client, f"/v1/unload_lora_adapter{more}", {"lora_name": "one"})
    assert status == 200
    assert all(task.done() for task in asking)
    statuses = [(await task)[0] for task in asking]
    assert (503 in statuses) is ended
    assert set(statuses) <= {200, 503}
    assert (await scrape(client))["modelecology_engine_adapters"] == 0


@pytest.mark.parametrize("seconds", ["-1", "soon", "inf"])
async def test_an_unload_with_a_time_that_is_none_is_refused(start_engine: StartEngine, seconds: str) -> None:
    client = await start_engine()
    path = f"/v1/unload_lora_adapter?drain_seconds={seconds}"
    status, text = await post(client, path, {"lora_name": "one"})
    assert status == 400
    assert "drain_seconds" in text


async def test_a_client_that_hangs_up_frees_its_place(start_engine: StartEngine) -> None:
    client = await start_engine(max_rows=1)
    with pytest.raises(TimeoutError):
        await client.post(
            "/v1/chat/completions",
            json={**HELLO, "max_tokens": 240},
            timeout=aiohttp.ClientTimeout(total=0.02),
        )
    assert (await ask(client))[0] == 200

    async def idle() -> bool:
        return (await scrape(client))["modelecology_engine_running"] == 0

    await until(idle)
