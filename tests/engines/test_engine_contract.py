"""What the operator relies on of any engine, asked of the double and of the real CPU engine."""

import asyncio

import pytest

from modelecology.engines.port import Engine, EngineRefused, Fingerprint, ModelCard
from modelecology.engines.residency import choose_probes, load_and_prove, prove, unload_and_prove_absent
from tests.engines.conftest import Tiny

BASE = "generalist"
PROMPTS = {
    f"item-{index}": f"Say {word}."
    for index, word in enumerate(["one", "two", "three", "four", "five", "six"])
}
TOKENS = 12


async def answers(engine: Engine, model: str) -> dict[str, str]:
    """What a model says to each prompt, asked one at a time."""
    return {item: await engine.chat(model, prompt, TOKENS) for item, prompt in PROMPTS.items()}


async def fingerprint_of(engine: Engine, path: str) -> Fingerprint:
    """Load an adapter to hear what it says, and unload it again."""
    await engine.load("under-evaluation", path)
    candidate = await answers(engine, "under-evaluation")
    await engine.unload("under-evaluation")
    return choose_probes(candidate, await answers(engine, BASE), PROMPTS, max_tokens=TOKENS)


async def test_a_fresh_engine_lists_its_base_alone_without_a_parent(engine: Engine) -> None:
    (card,) = await engine.models()
    assert card.id == BASE
    assert card.parent is None


async def test_a_loaded_adapter_is_listed_with_its_path_and_parent(engine: Engine, tiny: Tiny) -> None:
    await engine.load("dates-0123", tiny.one)
    assert ModelCard("dates-0123", tiny.one, BASE) in await engine.models()


async def test_loading_a_name_twice_is_refused_with_400(engine: Engine, tiny: Tiny) -> None:
    await engine.load("dates-0123", tiny.one)
    with pytest.raises(EngineRefused, match="already been loaded") as refused:
        await engine.load("dates-0123", tiny.one)
    assert refused.value.status == 400


async def test_the_name_of_the_base_cannot_be_taken(engine: Engine, tiny: Tiny) -> None:
    with pytest.raises(EngineRefused) as refused:
        await engine.load(BASE, tiny.one)
    assert refused.value.status == 400


async def test_a_missing_path_is_refused_with_404(engine: Engine, tiny: Tiny) -> None:
    with pytest.raises(EngineRefused, match="No adapter found") as refused:
        await engine.load("dates-0123", tiny.missing)
    assert refused.value.status == 404
    assert len(await engine.models()) == 1


async def test_an_engine_that_is_full_refuses_and_says_so(engine: Engine, tiny: Tiny) -> None:
    for number in range(3):
        await engine.load(f"dates-{number}", tiny.one)
    with pytest.raises(EngineRefused, match="slots"):
        await engine.load("dates-3", tiny.one)
    assert len(await engine.models()) == 4


async def test_an_unloaded_name_is_neither_listed_nor_answered(engine: Engine, tiny: Tiny) -> None:
    await engine.load("dates-0123", tiny.one)
    await engine.unload("dates-0123")
    assert [card.id for card in await engine.models()] == [BASE]
    with pytest.raises(EngineRefused, match="does not exist") as refused:
        await engine.chat("dates-0123", "Hello", TOKENS)
    assert refused.value.status == 404


async def test_unloading_what_is_not_there_is_success(engine: Engine) -> None:
    await engine.unload("never-seen")


async def test_an_unknown_model_is_404_and_never_the_base(engine: Engine) -> None:
    with pytest.raises(EngineRefused) as refused:
        await engine.chat("never-seen", "Hello", TOKENS)
    assert refused.value.status == 404


async def test_a_name_can_be_loaded_again_after_its_unloading(engine: Engine, tiny: Tiny) -> None:
    await engine.load("dates-0123", tiny.one)
    first = await answers(engine, "dates-0123")
    await engine.unload("dates-0123")
    await engine.load("dates-0123", tiny.one)
    assert await answers(engine, "dates-0123") == first


async def test_two_adapters_and_the_base_in_one_batch_answer_as_each_alone(
    engine: Engine, tiny: Tiny
) -> None:
    await engine.load("one", tiny.one)
    await engine.load("two", tiny.two)
    models = (BASE, "one", "two")
    alone = {model: await answers(engine, model) for model in models}
    asked = [(model, item) for item in PROMPTS for model in models]
    mixed = await asyncio.gather(*(engine.chat(model, PROMPTS[item], TOKENS) for model, item in asked))
    assert mixed == [alone[model][item] for model, item in asked]
    assert len({alone[model]["item-0"] for model in models}) == 3


async def test_the_right_adapter_is_proved(engine: Engine, tiny: Tiny) -> None:
    fingerprint = await fingerprint_of(engine, tiny.one)
    proof = await load_and_prove(engine, "dates-0123", tiny.one, fingerprint)
    assert proof.holds, proof.message
    assert (proof.matched, proof.base_like, proof.n) == (len(PROMPTS), 0, len(PROMPTS))


async def test_proving_a_second_time_holds_without_another_load(engine: Engine, tiny: Tiny) -> None:
    fingerprint = await fingerprint_of(engine, tiny.one)
    await load_and_prove(engine, "dates-0123", tiny.one, fingerprint)
    again = await load_and_prove(engine, "dates-0123", tiny.one, fingerprint)
    assert again.holds, again.message


async def test_the_base_is_not_proved_to_be_an_adapter(engine: Engine, tiny: Tiny) -> None:
    fingerprint = await fingerprint_of(engine, tiny.one)
    proof = await prove(engine, BASE, fingerprint)
    assert not proof.holds
    assert (proof.matched, proof.base_like) == (0, len(PROMPTS))


async def test_another_adapter_under_the_name_is_not_proved_and_is_unloaded(
    engine: Engine, tiny: Tiny
) -> None:
    fingerprint = await fingerprint_of(engine, tiny.one)
    proof = await load_and_prove(engine, "dates-0123", tiny.two, fingerprint)
    assert not proof.holds
    assert [card.id for card in await engine.models()] == [BASE]


async def test_absence_is_proved_after_an_unload(engine: Engine, tiny: Tiny) -> None:
    await engine.load("dates-0123", tiny.one)
    proof = await unload_and_prove_absent(engine, "dates-0123")
    assert proof.holds, proof.message
