"""How far a suite goes: what a look needs, what units buy, and what the next look can still prove."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelecology.api.vocabulary import Disclosure
from modelecology.governance.looks import BudgetSpent, Look, SuiteLife
from modelecology.governance.sequential import log_wealth
from modelecology.governance.supply import (
    Aim,
    exhausted,
    looks_bought,
    provable,
    units_for,
    units_needed,
)

ALPHA = Fraction(1, 20)
SILENT, PASSED = Look(False), Look(True)


def life(disclosure: Disclosure = Disclosure.VERDICT, **fields: object) -> SuiteLife:
    return replace(SuiteLife(ALPHA, disclosure), **fields)  # type: ignore[arg-type]  # each test names its own


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


@given(st.floats(0.001, 1.0), st.fractions(Fraction(1, 10**40), Fraction(1, 2)))
def test_every_effect_that_a_policy_may_name_can_be_proven_with_enough_units(
    effect: float, level: Fraction
) -> None:
    needed = units_needed(level, Aim(effect=effect))
    assert 0 < needed < math.inf
    assert needed >= units_needed(level, Aim(effect=min(1.0, 2 * effect)))
    assert needed < units_needed(level / 2, Aim(effect=effect))


def test_a_suite_is_exhausted_by_passes_and_says_what_fresh_items_buy() -> None:
    now, passes = life(), 0
    while not exhausted(now, "t", 5000, Aim()):
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


def test_full_results_use_up_the_items_that_were_met() -> None:
    now = life(Disclosure.FULL)
    assert not exhausted(now, "t", 5000, Aim())
    assert exhausted(now.after(Look(False, met={"t": 4990})), "t", 5000, Aim())


def test_fresh_units_are_counted_for_a_new_suite_whatever_was_told_of_the_old_one() -> None:
    used = life(slices=2).opened("a").opened("b").closed("a", PASSED).fresh_slice().opened("c")
    assert units_for(used, "t", 3, Aim()) == units_for(life(slices=2), "t", 3, Aim())


def test_no_items_buy_more_looks_than_the_policy_plans() -> None:
    with pytest.raises(BudgetSpent, match="201 looks are more than the 200"):
        units_for(life(), "t", 201, Aim())


@settings(max_examples=30)
@given(st.integers(0, 20_000), st.integers(0, 3))
def test_what_the_next_look_can_prove_is_what_the_units_suffice_for(units: int, passes: int) -> None:
    now = life()
    for _ in range(passes):
        now = now.after(PASSED)
    gain, there = provable(now, "t", units), len(now.proof("t", units))
    if gain is None:
        assert units_needed(now.next_level(), Aim(1.0)) > there
    else:
        assert units_needed(now.next_level(), Aim(gain)) <= there
        assert gain == 0.005 or units_needed(now.next_level(), Aim(gain - 0.005)) > there


def test_a_life_without_looks_proves_nothing() -> None:
    assert provable(life(horizon=1).after(SILENT), "t", 10**6) is None
    assert provable(life(), "t", 0) is None
