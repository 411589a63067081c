"""The proofs against every lie that engines are known to tell."""

import pytest

from modelecology.engines.double import EngineDouble, Lie
from modelecology.engines.port import EngineRefused, EngineUnreachable, Fingerprint, Probe
from modelecology.engines.residency import choose_probes, load_and_prove, prove, unload_and_prove_absent

NAME = "dates-0123"
PATH = "/store/artifacts/dates"
FINGERPRINT = Fingerprint(tuple(Probe(f"q{n}", f"dates: q{n}", f"base: q{n}") for n in range(8)))


class Pauses:
    """A clock that only counts how long it was asked to wait."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def a_double(*lies: Lie) -> EngineDouble:
    return EngineDouble(exists=lambda path: path == PATH, lies=lies)


async def names(engine: EngineDouble) -> list[str]:
    return [card.id for card in await engine.models()]


async def test_an_honest_engine_is_proved_to_serve_the_adapter() -> None:
    proof = await load_and_prove(a_double(), NAME, PATH, FINGERPRINT, sleep=Pauses())
    assert proof.holds
    assert (proof.matched, proof.base_like, proof.n) == (8, 0, 8)


async def test_a_load_that_serves_the_base_is_found_out_and_unloaded() -> None:
    engine = a_double(Lie.LoadServesBase)
    proof = await load_and_prove(engine, NAME, PATH, FINGERPRINT, sleep=Pauses())
    assert not proof.holds
    assert (proof.matched, proof.base_like, proof.n) == (0, 8, 8)
    assert "0 of 8 probes answered as the adapter (6 needed), 8 as the base" in proof.message
    assert await names(engine) == ["generalist"]


async def test_a_load_that_lists_nothing_is_found_out() -> None:
    proof = await load_and_prove(a_double(Lie.LoadListsNothing), NAME, PATH, FINGERPRINT, sleep=Pauses())
    assert not proof.holds
    assert "does not list it" in proof.message


async def test_a_missing_path_that_is_accepted_is_found_out() -> None:
    engine = a_double(Lie.MissingPathAccepted)
    proof = await load_and_prove(engine, NAME, "/store/gone", FINGERPRINT, sleep=Pauses())
    assert not proof.holds
    assert proof.base_like == 8
    assert await names(engine) == ["generalist"]


async def test_a_late_list_is_waited_for_on_load_and_on_unload() -> None:
    engine = a_double(Lie.LateList)
    pauses = Pauses()
    assert (await load_and_prove(engine, NAME, PATH, FINGERPRINT, sleep=pauses)).holds
    assert (await unload_and_prove_absent(engine, NAME, sleep=pauses)).holds
    assert pauses.seconds == [0.05, 0.1, 0.05, 0.1]


async def test_an_unload_that_keeps_answering_is_no_absence() -> None:
    engine = a_double(Lie.UnloadKeepsAnswering)
    await engine.load(NAME, PATH)
    proof = await unload_and_prove_absent(engine, NAME, sleep=Pauses())
    assert not proof.holds
    assert "still answers" in proof.message


async def test_a_base_that_answers_for_unknown_names_is_no_absence() -> None:
    engine = a_double(Lie.UnloadFallsBackToBase)
    await engine.load(NAME, PATH)
    proof = await unload_and_prove_absent(engine, NAME, sleep=Pauses())
    assert not proof.holds


async def test_absence_is_proved_for_a_name_that_was_never_there() -> None:
    assert (await unload_and_prove_absent(a_double(), NAME, sleep=Pauses())).holds


async def test_an_engine_that_is_down_is_no_proof_either_way() -> None:
    engine = a_double()
    engine.down = True
    for attempt in (
        load_and_prove(engine, NAME, PATH, FINGERPRINT, sleep=Pauses()),
        prove(engine, NAME, FINGERPRINT),
        unload_and_prove_absent(engine, NAME, sleep=Pauses()),
    ):
        with pytest.raises(EngineUnreachable):
            await attempt


async def test_a_restart_loses_the_adapter_and_the_proof() -> None:
    engine = a_double()
    await load_and_prove(engine, NAME, PATH, FINGERPRINT, sleep=Pauses())
    engine.restart()
    proof = await prove(engine, NAME, FINGERPRINT)
    assert not proof.holds
    assert "does not know the name" in proof.message


async def test_a_name_that_is_served_already_is_proved_as_it_stands() -> None:
    engine = a_double()
    await engine.load(NAME, PATH)
    assert (await load_and_prove(engine, NAME, PATH, FINGERPRINT, sleep=Pauses())).holds


async def test_a_name_served_from_another_path_is_unloaded_and_not_proved() -> None:
    engine = EngineDouble(exists=lambda path: True)
    await engine.load(NAME, "/elsewhere/dates")
    proof = await load_and_prove(engine, NAME, PATH, FINGERPRINT, sleep=Pauses())
    assert not proof.holds
    assert "/elsewhere/dates" in proof.message
    assert await names(engine) == ["generalist"]


async def test_the_base_is_never_unloaded_in_the_name_of_an_adapter() -> None:
    engine = a_double()
    proof = await load_and_prove(engine, "generalist", PATH, FINGERPRINT, sleep=Pauses())
    assert not proof.holds
    assert ("unload", "generalist") not in engine.calls


async def test_a_refused_load_stays_a_refusal() -> None:
    with pytest.raises(EngineRefused, match="404"):
        await load_and_prove(a_double(), NAME, "/store/gone", FINGERPRINT, sleep=Pauses())


async def test_a_full_engine_stays_a_refusal() -> None:
    engine = EngineDouble(exists=lambda path: True, capacity=1)
    await engine.load("other", "/store/other")
    with pytest.raises(EngineRefused, match="slots"):
        await load_and_prove(engine, NAME, PATH, FINGERPRINT, sleep=Pauses())


@pytest.mark.parametrize(("wrong", "holds"), [(0, True), (2, True), (3, False), (8, False)])
async def test_three_quarters_of_the_probes_must_match(wrong: int, holds: bool) -> None:
    odd = {f"q{n}" for n in range(wrong)}
    engine = EngineDouble(
        exists=lambda path: True, voice=lambda path, prompt: "?" if prompt in odd else f"dates: {prompt}"
    )
    proof = await load_and_prove(engine, NAME, PATH, FINGERPRINT, sleep=Pauses())
    assert proof.holds is holds
    assert proof.matched == 8 - wrong


async def test_an_adapter_that_answers_as_its_base_is_never_proved() -> None:
    same = Fingerprint(tuple(Probe(f"q{n}", f"base: q{n}", f"base: q{n}") for n in range(4)))
    proof = await prove(a_double(), "generalist", same)
    assert (proof.matched, proof.base_like) == (4, 4)
    assert not proof.holds


async def test_an_empty_fingerprint_proves_nothing_and_asks_nothing() -> None:
    engine = a_double()
    proof = await prove(engine, NAME, Fingerprint(()))
    assert not proof.holds
    assert engine.calls == []


async def test_space_around_an_answer_is_no_difference() -> None:
    engine = EngineDouble(exists=lambda path: True, voice=lambda path, prompt: f" dates: {prompt}\n")
    assert (await load_and_prove(engine, NAME, PATH, FINGERPRINT, sleep=Pauses())).holds


def test_probes_are_items_whose_answers_differ_and_are_short() -> None:
    base = {f"i{n}": "no" for n in range(60)}
    candidate = {f"i{n}": "no" if n < 10 else "x" * n for n in range(60)}
    fingerprint = choose_probes(candidate, base, {item: f"prompt {item}" for item in base}, limit=4)
    assert len(fingerprint.probes) == 4
    assert all(10 <= len(probe.expected) < 26 for probe in fingerprint.probes)
    assert all(probe.base == "no" for probe in fingerprint.probes)


def test_probes_do_not_depend_on_the_order_of_the_results() -> None:
    base = {f"i{n}": "no" for n in range(40)}
    candidate = {f"i{n}": f"yes {n}" for n in range(40)}
    prompts = {f"i{n}": f"p{n}" for n in range(40)}
    backwards = dict(reversed(candidate.items()))
    assert choose_probes(candidate, base, prompts) == choose_probes(backwards, base, prompts)


def test_an_empty_answer_is_a_probe_only_if_nothing_better_is_there() -> None:
    base = {"a": "no", "b": "no", "c": "no"}
    candidate = {"a": "", "b": "a rather long answer", "c": "no"}
    prompts = {"a": "A", "b": "B", "c": "C"}
    assert [probe.prompt for probe in choose_probes(candidate, base, prompts).probes] == ["B", "A"]


def test_results_without_a_difference_give_no_probes() -> None:
    assert choose_probes({"a": "same "}, {"a": "same"}, {"a": "A"}).probes == ()


def test_a_difference_late_in_a_long_answer_is_rounding_and_no_probe() -> None:
    start = "x" * 32
    assert choose_probes({"a": f"{start} yes"}, {"a": f"{start} no"}, {"a": "A"}).probes == ()


async def test_an_answer_that_parts_from_itself_late_still_matches() -> None:
    start = "the answer begins in the same way"
    fingerprint = choose_probes({"a": f"{start}, then this"}, {"a": "no"}, {"a": "A"})
    engine = EngineDouble(exists=lambda path: True, voice=lambda path, prompt: f"{start}, then that")
    proof = await load_and_prove(engine, NAME, PATH, fingerprint, sleep=Pauses())
    assert proof.holds, proof.message
