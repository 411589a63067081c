"""A suite's life: what is spent never adds up to more than alpha, and what fresh items buy."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelecology.api.vocabulary import Disclosure
from modelecology.governance.looks import (
    Aim,
    BudgetSpent,
    Look,
    SuiteLife,
    looks_bought,
    units_for,
    units_needed,
)
from modelecology.governance.sequential import log_wealth

ALPHA = Fraction(1, 20)
SILENT, PASSED = Look(False), Look(True)
Null = Callable[[SuiteLife], bool]


def life(disclosure: Disclosure = Disclosure.VERDICT, **fields: object) -> SuiteLife:
    return replace(SuiteLife(ALPHA, disclosure), **fields)  # type: ignore[arg-type]  # each test names its own


# What may be spent.


def told(now: SuiteLife) -> list[tuple[Look, int]]:
    """All that can be told of a look without a pass, and in how many ways."""
    leads = range(now.best + 1, now.grid + 1) if now.disclosure is Disclosure.ROUNDED else range(0)
    return [(SILENT, 1), *((Look(False, lead=lead), 1) for lead in leads)]


def told_at_a_pass(now: SuiteLife) -> list[tuple[Look, int]]:
    leads = range(now.best + 1, now.grid + 1) if now.disclosure is Disclosure.ROUNDED else range(0)
    return [(Look(True, lead=lead), now.stops) for lead in (None, *leads)]


def worst(now: SuiteLife) -> Fraction:
    """The greatest sum of levels over all transcripts, for the worst choice of useless and good candidates.

    At a useless candidate its level counts, and nothing after its pass does: that is the false pass itself.
    At a good one no level counts, and life goes on after a pass as well.
    """
    level = now.next_level()
    if level == 0:
        return worst(now.fresh_slice()) if now.slice < now.slices else Fraction(0)
    without = sum((times * worst(now.after(look)) for look, times in told(now)), Fraction(0))
    passing = sum((times * worst(now.after(look)) for look, times in told_at_a_pass(now)), Fraction(0))
    return without + max(level, passing)


@pytest.mark.parametrize("horizon", range(1, 8))
def test_a_life_of_verdicts_spends_alpha_exactly(horizon: int) -> None:
    assert worst(life(horizon=horizon, stops=3)) == ALPHA


@pytest.mark.parametrize(("horizon", "grid", "stops"), [(1, 2, 1), (3, 2, 2), (4, 3, 1)])
def test_a_life_of_rounded_leads_spends_no_more_than_alpha(horizon: int, grid: int, stops: int) -> None:
    spent = worst(life(Disclosure.ROUNDED, horizon=horizon, grid=grid, stops=stops))
    assert ALPHA / 2 <= spent <= ALPHA


@pytest.mark.parametrize("disclosure", [Disclosure.VERDICT, Disclosure.ROUNDED])
def test_slices_share_alpha(disclosure: Disclosure) -> None:
    now = life(disclosure, slices=3, horizon=2, grid=2, stops=1)
    assert now.next_level() * 3 == replace(now, slices=1).next_level()
    # Whatever one slice told, the next one is fresh: the chances add up, and transcripts do not multiply.
    assert 3 * worst(replace(now, slice=3)) <= ALPHA


@settings(max_examples=60)
@given(st.integers(1, 40), st.data())
def test_full_results_on_fresh_items_spend_alpha_exactly(horizon: int, data: st.DataObject) -> None:
    now, spent = life(Disclosure.FULL, horizon=horizon), Fraction(0)
    while now.next_level():
        spent += now.next_level()
        now = now.after(Look(data.draw(st.booleans()), met={"t": data.draw(st.integers(0, 9))}))
    assert spent == ALPHA
    assert now.looks == horizon


@settings(max_examples=60)
@given(st.integers(1, 200), st.sets(st.integers(0, 199), max_size=4))
def test_a_transcript_with_its_silent_looks_spends_its_share_exactly(horizon: int, passes: set[int]) -> None:
    now, run, share = life(horizon=horizon), Fraction(0), ALPHA
    for look in range(horizon):
        level = now.next_level()
        run += level
        now = now.after(PASSED if look in passes else SILENT)
        if look in passes:
            assert run <= share
            run, share = Fraction(0), level / now.stops
    assert now.next_level() == 0
    assert run == (0 if horizon - 1 in passes else share)
    assert (now.looks, now.passes) == (horizon, len([p for p in passes if p < horizon]))


def test_first_looks_are_cheap_and_late_ones_still_affordable() -> None:
    now, levels = life(), []
    for _ in range(200):
        levels.append(now.next_level())
        now = now.after(SILENT)
    assert levels == sorted(levels, reverse=True)
    assert levels[0] > ALPHA / 4
    assert levels[-1] >= ALPHA / 400


def test_a_pass_costs_and_a_silent_look_does_not_lower_what_comes_after_it_by_much() -> None:
    now = life()
    passed, silent = now.after(PASSED), now.after(SILENT)
    assert passed.next_level() < now.next_level() / now.stops
    assert silent.next_level() > now.next_level() / 4


def test_a_spent_horizon_takes_no_more_looks() -> None:
    now = life(horizon=1).after(SILENT)
    assert now.next_level() == 0
    with pytest.raises(BudgetSpent, match="All 1 looks are spent"):
        now.after(SILENT)


def test_a_fresh_slice_begins_anew_until_there_is_none() -> None:
    now = life(Disclosure.ROUNDED, slices=2).after(Look(False, lead=3)).after(SILENT)
    fresh = now.fresh_slice()
    assert fresh.next_level() == life(Disclosure.ROUNDED, slices=2).next_level()
    assert (fresh.slice, fresh.looks, fresh.best, fresh.silent) == (2, 2, 0, 0)
    with pytest.raises(BudgetSpent, match="All 2 slices are used"):
        fresh.fresh_slice()


# What is told.


def test_only_a_new_best_lead_is_told_and_rounded_down() -> None:
    now = life(Disclosure.ROUNDED, grid=20)
    assert now.lead(0.049) is None
    assert now.lead(0.14) == 2
    now = now.after(Look(False, lead=now.lead(0.14)))
    assert now.best == 2
    assert now.lead(0.149) is None
    assert now.lead(0.15) == 3
    assert now.after(PASSED).best == 0  # another incumbent, other leads
    assert now.after(Look(True, lead=3)).best == 0
    assert now.after(SILENT).best == 2
    assert life(Disclosure.VERDICT).lead(0.9) is None


def test_what_is_told_costs_what_could_have_been_told_in_its_place() -> None:
    verdict, rounded = life(stops=4), life(Disclosure.ROUNDED, stops=4, grid=10)
    assert verdict.after(PASSED).share == verdict.next_level() / ALPHA / 4
    assert rounded.after(PASSED).share == rounded.next_level() / ALPHA / 44
    assert rounded.after(Look(False, lead=2)).share == rounded.next_level() / ALPHA / 10
    assert rounded.next_level() * 2 == verdict.next_level()


# Units.


@given(
    st.integers(0, 5000),
    st.integers(1, 7),
    st.fractions(0, Fraction(9, 10)),
    st.sampled_from(list(Disclosure)),
)
def test_screen_and_proofs_never_meet(
    units: int, slices: int, screen: Fraction, disclosure: Disclosure
) -> None:
    now = life(disclosure, slices=slices, screen=screen)
    parts = [list(now.screened(units))]
    for slice_ in range(1, slices + 1 if disclosure is not Disclosure.FULL else 2):
        parts.append(list(replace(now, slice=slice_).proof("t", units)))
    assert [n for part in parts for n in part] == list(range(units))


def test_full_results_use_up_the_items_that_were_met() -> None:
    now = life(Disclosure.FULL).after(Look(False, met={"a": 30, "b": 10})).after(Look(True, met={"a": 20}))
    assert now.proof("a", 200) == range(50, 200)
    assert now.proof("b", 200) == range(10, 200)
    assert now.proof("c", 200) == range(200)
    assert len(now.proof("a", 40)) == 0
    assert now.exhausted("a", 40, Aim())


def test_verdicts_leave_the_items_as_fresh_as_they_were() -> None:
    now = life().after(Look(False, met={"a": 30}))
    assert now.proof("a", 200) == range(50, 200)
    assert now.spent == {}


def test_a_part_of_a_unit_belongs_to_the_screen() -> None:
    assert life().screened(7) == range(2)
    assert life(screen=Fraction(0)).screened(7) == range(0)


# Plans.


@pytest.mark.parametrize(("effect", "changed"), [(0.05, 0.2), (0.03, 0.1), (0.1, 0.4)])
@pytest.mark.parametrize("level", [Fraction(1, 20), Fraction(1, 10**5)])
def test_the_plan_says_how_many_units_a_proof_needs(effect: float, changed: float, level: Fraction) -> None:
    n = math.ceil(units_needed(level, Aim(effect, changed, 0.8)))
    random = np.random.default_rng(3)
    at = random.random((300, n))
    units = (at < (changed + effect) / 2).astype(np.float64) - (at > 1 - (changed - effect) / 2)
    passed = np.mean(log_wealth(units, 0.0).max(axis=-1) >= -math.log(level))
    assert 0.75 <= passed <= 0.97  # careful, by the weight of the neighbouring stakes


def test_nothing_is_proved_at_level_zero_or_without_an_effect() -> None:
    assert units_needed(Fraction(0), Aim()) == math.inf
    assert units_needed(ALPHA, Aim(effect=0.0)) == math.inf


def test_a_suite_is_exhausted_by_passes_and_says_what_fresh_items_buy() -> None:
    now, passes = life(), 0
    while not now.exhausted("t", 5000, Aim()):
        now, passes = now.after(PASSED), passes + 1
    assert 2 <= passes <= 5
    assert looks_bought(now, "t", 5000, Aim()) == 0
    assert looks_bought(life(), "t", 5000, Aim()) == 200
    assert looks_bought(life(), "t", 500, Aim()) == 0
    more = units_for(now, "t", 200, Aim())
    assert looks_bought(life(), "t", more, Aim()) == 200
    assert looks_bought(life(), "t", more - 1, Aim()) < 200


def test_full_results_buy_looks_by_the_thousand_items() -> None:
    now = life(Disclosure.FULL)
    few, many = (looks_bought(now, "t", units, Aim()) for units in (5000, 50_000))
    assert 2 <= few < many <= 40
    assert units_for(now, "t", few, Aim()) <= 5000 < units_for(now, "t", few + 1, Aim())


def test_no_items_buy_more_looks_than_the_policy_plans() -> None:
    with pytest.raises(BudgetSpent, match="201 looks are more than the 200"):
        units_for(life(), "t", 201, Aim())
