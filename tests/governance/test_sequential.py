"""Sequential evidence: validity exactly and over histories, then what it takes to answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelecology.api.vocabulary import Outcome
from modelecology.governance.evidence import EvidenceError
from modelecology.governance.sequential import (
    PRIOR,
    STAKES,
    Answer,
    Question,
    Units,
    answer,
    finished,
    in_order,
    log_wealth,
    log_wealth_of,
    lower_bound,
    order,
)

GAIN = Question("gain", margin=0.0, level=0.05, hopeless=0.03, hopeless_level=0.1)
KEPT = Question("kept", margin=-0.05, level=0.05, hopeless=-0.05, hopeless_level=0.05)

margins = st.floats(-0.9, 0.9)
levels = st.floats(1e-12, 0.5)
scores = st.floats(-1, 1) | st.sampled_from((-1.0, 0.0, 1.0))
samples = st.lists(scores, min_size=1, max_size=60).map(lambda found: np.array(found, dtype=np.float64))


def three_valued(random: np.random.Generator, up: float, down: float, shape: tuple[int, ...]) -> Units:
    at = random.random(shape)
    return (at < up).astype(np.float64) - (at > 1 - down)


# Validity.


@st.composite
def nulls(draw: st.DrawFn) -> tuple[Units, Units, float]:
    """A distribution over a few differences, and a margin that is not below its mean."""
    values = np.array(draw(st.lists(scores, min_size=2, max_size=5)))
    weights = np.array(draw(st.lists(st.integers(1, 50), min_size=len(values), max_size=len(values))))
    chances = weights / weights.sum()
    mean = float(values @ chances)
    return values, chances, min(max(mean + draw(st.sampled_from((0.0, 0.01, 0.3))), -0.99), 0.99)


@given(nulls(), samples)
def test_no_next_unit_is_expected_to_raise_the_wealth_under_the_null(
    null: tuple[Units, Units, float], before: Units
) -> None:
    values, chances, margin = null
    if values @ chances > margin:  # it was clipped
        return
    now = log_wealth(before, margin)[-1]
    then = np.array([log_wealth(np.append(before, value), margin)[-1] for value in values])
    assert float(chances @ np.exp(then - now)) <= 1 + 1e-12
    first = np.array([log_wealth(np.array([value]), margin)[-1] for value in values])
    assert float(chances @ np.exp(first)) <= 1 + 1e-12


def chance_to_pass(up: float, down: float, margin: float, level: float, n: int) -> float:
    """Exact chance that the wealth reaches 1 / level within n three-valued units, looking at each."""
    won, tied, lost = (np.log1p(STAKES * ((1 + x) / (1 + margin) - 1)) for x in (1, 0, -1))
    gained, fell = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
    alive = np.zeros((n + 1, n + 1))
    alive[0, 0] = 1.0
    passed = 0.0
    for step in range(1, n + 1):
        following = alive * (1 - up - down)
        following[1:] += alive[:-1] * up
        following[:, 1:] += alive[:, :-1] * down
        ties = np.maximum(step - gained - fell, 0)
        each = gained[..., None] * won + fell[..., None] * lost + ties[..., None] * tied
        reached = np.log(np.exp(each) @ PRIOR) >= math.log(1 / level)
        passed += float(following[reached].sum())
        alive = np.where(reached, 0.0, following)
    return passed


@settings(max_examples=25)
@given(st.floats(0.01, 1.0), st.floats(-0.3, 0.3), st.sampled_from((0.05, 0.2)))
def test_the_exact_chance_of_a_false_pass_over_all_looks_is_below_the_level(
    changed: float, margin: float, level: float
) -> None:
    changed = max(changed, abs(margin))
    found = chance_to_pass((changed + margin) / 2, (changed - margin) / 2, margin, level, 60)
    assert found <= level


def test_the_level_is_used_and_not_only_kept() -> None:
    assert chance_to_pass(0.5, 0.5, 0.0, 0.05, 150) > 0.02


def worlds() -> list[tuple[str, float]]:
    return [("ties", 0.0), ("clusters", 0.0), ("skewed", 0.0), ("rare", -0.05)]


def histories(world: str, random: np.random.Generator, count: int, n: int) -> Units:
    """Units of null histories: the mean is exactly the world's margin."""
    if world == "ties":
        return three_valued(random, 0.05, 0.05, (count, n))
    if world == "clusters":  # up to six items, which go up or down together; a cluster's mean is a unit
        sizes = random.integers(1, 7, (count, n))
        together = three_valued(random, 0.3, 0.3, (count, n))
        moved = random.binomial(sizes, 0.7)
        return together * moved / sizes
    if world == "skewed":
        return np.where(random.random((count, n)) < 0.1, 0.9, -0.1)
    return three_valued(random, 0.01, 0.06, (count, n))


@pytest.mark.parametrize(("world", "margin"), worlds())
def test_few_null_histories_ever_pass_when_every_unit_is_a_look(world: str, margin: float) -> None:
    random = np.random.default_rng(4)
    units = histories(world, random, 1000, 400)
    passed = np.mean(log_wealth(units, margin).max(axis=-1) >= math.log(20))
    assert passed <= 0.05
    failed = np.mean(log_wealth(-units, -margin).max(axis=-1) >= math.log(20))
    assert failed <= 0.05


@given(samples, st.randoms(use_true_random=False), margins)
def test_the_wealth_does_not_depend_on_the_order_of_the_units(
    units: Units, random: object, margin: float
) -> None:
    mixed = list(units)
    random.shuffle(mixed)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    assert log_wealth(np.array(mixed), margin)[-1] == pytest.approx(log_wealth(units, margin)[-1], abs=1e-9)


@given(samples, margins)
def test_counted_values_and_listed_units_come_to_the_same_wealth(units: Units, margin: float) -> None:
    values, counts = np.unique(units, return_counts=True)
    listed = log_wealth(units, margin)
    assert float(log_wealth_of(values, counts, margin)) == pytest.approx(listed[-1], abs=1e-9)
    histories = np.stack([units, units[::-1]])
    assert np.allclose(log_wealth(histories, margin)[0], listed)


@given(st.integers(0, 2**32), st.permutations(range(12)))
def test_any_fixed_order_keeps_the_level(seed: int, places: list[int]) -> None:
    # Exchangeable units: a permutation of the columns is another null history, judged by the same wealth.
    units = three_valued(np.random.default_rng(seed), 0.3, 0.3, (200, 12))
    straight, mixed = log_wealth(units, 0.0), log_wealth(units[:, places], 0.0)
    assert np.allclose(straight[:, -1], mixed[:, -1])
    assert max((straight.max(1) >= math.log(20)).sum(), (mixed.max(1) >= math.log(20)).sum()) <= 24


# The interval.


@given(samples, margins, margins)
def test_a_higher_margin_is_harder_to_refute(units: Units, one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)
    assert log_wealth(units, high)[-1] <= log_wealth(units, low)[-1] + 1e-9


@given(samples, levels)
def test_the_lower_bound_inverts_the_wealth(units: Units, level: float) -> None:
    bound = lower_bound(units, level)
    goal = math.log(1 / level)
    assert -1 <= bound <= units.mean() + 1e-9
    if bound > -1 + 1e-6:
        assert log_wealth(units, bound - 1e-7)[-1] >= goal
    assert log_wealth(units, min(bound + 1e-7, 1.0))[-1] < goal + 1e-6


@given(samples, levels, levels)
def test_more_confidence_is_a_wider_interval(units: Units, one: float, other: float) -> None:
    assert lower_bound(units, min(one, other)) <= lower_bound(units, max(one, other))


def test_the_interval_of_a_pass_excludes_the_margin_and_that_of_a_fail_what_is_hopeful() -> None:
    random = np.random.default_rng(5)
    better = answer(GAIN, three_valued(random, 0.15, 0.05, (3000,)))
    assert (better.outcome, better.interval.low > 0) == (Outcome.PASS, True)
    worse = answer(GAIN, three_valued(random, 0.05, 0.15, (3000,)))
    assert (worse.outcome, worse.interval.high < 0.03) == (Outcome.FAIL, True)
    assert worse.interval.confidence == 0.9


def test_a_confidence_sequence_holds_the_truth_at_all_times_together() -> None:
    random = np.random.default_rng(6)
    missed = 0
    for _ in range(60):
        units = three_valued(random, 0.15, 0.05, (120,))
        missed += any(lower_bound(units[:n], 0.1) > 0.1 for n in range(10, 121, 10))
    assert missed <= 6


# Answers.


def test_a_question_is_answered_once_and_later_units_do_not_change_it() -> None:
    units = np.concatenate([np.ones(30), -np.ones(500)])
    early, late = answer(GAIN, units[:30]), answer(GAIN, units)
    assert early.outcome is Outcome.PASS
    assert early == late
    assert early.units < 30
    assert early.above >= 20


@given(samples)
def test_the_units_so_far_are_a_prefix_of_the_answer(units: Units) -> None:
    whole = answer(GAIN, units)
    assert whole.units <= len(units)
    assert answer(GAIN, units[: whole.units]) == whole
    if whole.outcome is Outcome.INCONCLUSIVE:
        assert whole.units == len(units)
        assert (whole.above < 20, whole.below < 10) == (True, True)


@given(samples, levels)
def test_a_stricter_level_never_passes_sooner(units: Units, level: float) -> None:
    def passing(allowed: float) -> Answer:
        return answer(Question("gain", 0.0, allowed, 0.0, 0.0), units)

    strict, loose = passing(level / 10), passing(level)
    assert strict.units >= loose.units
    assert strict.outcome is not Outcome.PASS or loose.outcome is Outcome.PASS


def test_a_level_of_zero_never_answers() -> None:
    never = Question("proof", 0.0, 0.0, 0.0, 0.0)
    for units in (np.ones(400), -np.ones(400)):
        found = answer(never, units)
        assert found.outcome is Outcome.INCONCLUSIVE
        assert (found.interval.low, found.interval.high, found.interval.confidence) == (-1, 1, 1)


def test_no_units_are_no_evidence() -> None:
    found = answer(GAIN, np.array([]))
    assert (found.outcome, found.units, found.above, found.below) == (Outcome.INCONCLUSIVE, 0, 1, 1)
    assert (found.interval.low, found.interval.high) == (-1, 1)


def test_equal_answers_prove_that_nothing_is_lost() -> None:
    found = answer(KEPT, np.zeros(300))
    assert found.outcome is Outcome.PASS
    assert found.units <= 115  # the best single stake, all of it, would need 62
    assert found.interval.low >= -0.05


def test_an_overwhelming_e_value_is_still_a_number() -> None:
    found = answer(Question("proof", 0.0, 1e-300, 0.0, 0.0), np.ones(3000))
    assert found.outcome is Outcome.PASS
    unanswered = answer(Question("proof", 0.0, 0.0, 0.0, 0.0), np.ones(3000))
    assert math.isfinite(unanswered.above)


@pytest.mark.parametrize(
    ("units", "question"),
    [
        (np.array([0.0, 1.5]), GAIN),
        (np.array([0.0, math.nan]), GAIN),
        (np.zeros((2, 2)), GAIN),
        (np.zeros(2), Question("gain", -1.0, 0.05, 0.0, 0.05)),
        (np.zeros(2), Question("gain", 0.1, 0.05, 0.0, 0.05)),
        (np.zeros(2), Question("gain", 0.0, 0.05, 1.0, 0.05)),
    ],
)
def test_broken_units_and_margins_are_an_error_and_never_a_pass(units: Units, question: Question) -> None:
    with pytest.raises(EvidenceError, match=r"gain: "):
        answer(question, units)


def test_a_chain_ends_when_a_question_fails_or_all_have_passed() -> None:
    passed, failed, open_ = (
        answer(GAIN, np.ones(50)),
        answer(KEPT, -np.ones(50)),
        answer(GAIN, np.zeros(3)),
    )
    assert (passed.outcome, failed.outcome, open_.outcome) == (
        Outcome.PASS,
        Outcome.FAIL,
        Outcome.INCONCLUSIVE,
    )
    assert finished([passed, passed])
    assert finished([open_, failed])
    assert not finished([passed, open_])


# What it takes.


@pytest.mark.parametrize(
    ("effect", "changed"), [(0.03, 0.2), (0.05, 0.2), (0.1, 0.4), (0.15, 0.2), (0.02, 0.04), (0.05, 0.05)]
)
def test_the_wealth_grows_nearly_as_fast_as_with_the_best_bet(effect: float, changed: float) -> None:
    up, down = (changed + effect) / 2, (changed - effect) / 2
    best = min(effect / changed, 1 - 1e-9)
    growth = up * math.log1p(best) + (down * math.log1p(-best) if down else 0.0)
    n = math.ceil(12 / growth)
    counts = np.array([up, 1 - up - down, down]) * n
    each = counts @ np.log1p(np.outer(np.array([1.0, 0.0, -1.0]), STAKES))
    found = math.log(float(np.exp(each) @ PRIOR))
    # Of 12, up to two and a half pay for not knowing the bet; more where hardly an answer gets worse.
    assert found >= 12 - (2.5 if best < 0.9 else 4)


def test_a_clearly_bad_candidate_is_sent_away_early() -> None:
    random = np.random.default_rng(7)
    found = [answer(GAIN, three_valued(random, 0.05, 0.15, (500,))) for _ in range(200)]
    assert all(each.outcome is Outcome.FAIL for each in found)
    assert np.median([each.units for each in found]) < 120


# Clusters and order.


def test_a_cluster_is_one_unit_and_its_items_order_does_not_matter() -> None:
    pairs = [("a", 0.1, 0.0), ("a", 0.2, 0.0), ("a", 0.3, 0.0), ("b", 0.0, 1.0)]
    found = in_order(pairs, "seed")
    assert sorted(found) == [-1.0, pytest.approx(0.2)]
    assert np.array_equal(found, in_order(pairs[::-1], "seed"))


def test_the_seed_alone_decides_the_order() -> None:
    names = [f"c{n}" for n in range(50)]
    assert order(names, "one") == order(names[::-1] * 2, "one")
    assert sorted(order(names, "one")) == sorted(names)
    assert order(names, "one") != order(names, "two")
    # Further clusters come in between.
    kept = set(names)
    assert [n for n in order([*names, "x", "y"], "one") if n in kept] == order(names, "one")


def test_the_order_is_spread_evenly() -> None:
    names = [f"topic{n // 100}/{n}" for n in range(1000)]
    first = order(names, "seed")[:200]
    counts = [sum(n.startswith(f"topic{t}/") for n in first) for t in range(10)]
    assert min(counts) >= 8
    assert max(counts) <= 35
