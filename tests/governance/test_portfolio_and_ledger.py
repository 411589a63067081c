"""Money: the value of a population, what an action changes, and what a trial costs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelecology.api.vocabulary import State
from modelecology.governance.evidence import difference
from modelecology.governance.facts import Budget, Cost, Evidence
from modelecology.governance.ledger import (
    IMPORT_SECONDS,
    SECONDS_PER_ANSWER,
    SECONDS_PER_STEP,
    expected_cost,
    price,
    within_budget,
)
from modelecology.governance.portfolio import (
    BYTES_PER_RANK,
    Population,
    delta,
    expected_bytes,
    expected_gain,
    routes,
    value,
)

from .scenes import CLAIM, MEMBER, POLICY, TASKS, evidence, right, situation

REQUESTS = 60_000  # 2000 a day over 720 h
GIB = 2**30


def test_value_is_what_the_routes_earn_less_upkeep() -> None:
    population = Population({"dates": 0.5, "cron": 0.25, "everyday": 1.0}, 2 * GIB)
    earned = REQUESTS * (Decimal("0.3") * Decimal("0.02") / 2 + Decimal("0.2") * Decimal("0.05") / 4)
    upkeep = 2 * 720 * Decimal("0.01")
    assert value(population, TASKS, POLICY) == earned - upkeep
    assert value(population, TASKS, replace(POLICY, replicas=3)) == earned - 3 * upkeep


def test_an_invariant_earns_nothing() -> None:
    assert value(Population({"everyday": 1.0}, 0), TASKS, POLICY) == 0


def test_the_best_route_of_a_task_counts() -> None:
    worse = replace(MEMBER, served_name="cron-cccccccccccc", quality=0.01)
    assert routes(evidence(), (worse, MEMBER))["cron"] == 0.8
    assert routes(evidence(), (worse,))["cron"] == pytest.approx(0.05)
    assert routes(Evidence(), (worse,)) == {"cron": 0.01}


def test_the_delta_follows_the_paired_interval() -> None:
    here = situation(State.EVALUATING)
    found = difference(right("dates", "new", 0.9), right("dates", "old", 0.1), 0.95)
    gain = delta(here, found)
    per_point = REQUESTS * Decimal("0.3") * Decimal("0.02")
    upkeep = Decimal(5 * 2**20) / GIB * 720 * Decimal("0.01")
    assert float(gain.point) == pytest.approx(float(per_point * Decimal("0.8") - upkeep))
    assert float(gain.low) == pytest.approx(float(per_point) * found.interval.low - float(upkeep))
    assert gain.low < gain.point < gain.high


def test_a_revision_that_is_replaced_no_longer_costs_upkeep() -> None:
    found = difference(right("dates", "new", 0.9), right("dates", "old", 0.1), 0.95)
    old = replace(MEMBER, served_name="dates-cccccccccccc", task="dates", quality=0.1)
    here = situation(State.EVALUATING, members=(MEMBER, old))
    assert delta(replace(here, replaces=old.served_name), found).point > delta(here, found).point


def test_a_replaced_revision_of_another_task_takes_its_gain_with_it() -> None:
    found = difference(right("dates", "new", 0.9), right("dates", "old", 0.1), 0.95)
    here = situation(State.EVALUATING)
    lost = delta(here, found).point - delta(replace(here, replaces=MEMBER.served_name), found).point
    cron = REQUESTS * Decimal("0.2") * Decimal("0.05") * Decimal("0.75")
    assert float(lost) == pytest.approx(float(cron), abs=0.1)


def test_the_expected_gain_is_the_way_to_the_target() -> None:
    here = situation(State.PENDING, artifact=None)
    per_point = REQUESTS * 0.3 * 0.02
    assert float(expected_gain(here)) == pytest.approx(per_point * 0.5, abs=0.1)
    blank = replace(here, evidence=replace(here.evidence, incumbent=None))
    assert float(expected_gain(blank)) == pytest.approx(per_point * 0.6, abs=0.1)


def test_a_candidate_before_it_exists_is_charged_the_largest_member_or_a_prior() -> None:
    here = situation(State.PENDING, artifact=None)
    assert expected_bytes(here) == MEMBER.resident_bytes
    alone = replace(here, members=())
    assert expected_bytes(alone) == 8 * BYTES_PER_RANK
    assert expected_bytes(replace(alone, claim=replace(CLAIM, rank=0))) == 16 * BYTES_PER_RANK
    found = difference(right("dates", "new", 0.9), right("dates", "old", 0.1), 0.95)
    assert delta(here, found).point == delta(situation(State.PENDING), found).point


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 4 * GIB))
def test_better_routes_never_lower_the_value(one: float, other: float, size: int) -> None:
    worse, better = sorted((one, other))
    assert value(Population({"dates": worse}, size), TASKS, POLICY) <= value(
        Population({"dates": better}, size), TASKS, POLICY
    )


def test_a_price_is_hours_times_prices() -> None:
    cost = Cost(cpu_seconds=Decimal(7200), gpu_seconds=Decimal(1800), tokens=10**9)
    assert price(cost, POLICY.prices) == Decimal("0.10") + Decimal(1)


def test_a_trial_costs_its_steps_and_its_answers() -> None:
    assert expected_cost(CLAIM, None, 100).cpu_seconds == 60 * SECONDS_PER_STEP + 100 * SECONDS_PER_ANSWER
    assert expected_cost(CLAIM, Decimal(2), 0).cpu_seconds == 120
    assert expected_cost(replace(CLAIM, steps=0), Decimal(2), 0).cpu_seconds == IMPORT_SECONDS
    on_gpu = expected_cost(replace(CLAIM, gpus=1.0, cpus=4.0), Decimal(2), 0)
    assert on_gpu.gpu_seconds == 30


def test_a_population_without_a_budget_spends_what_it_likes() -> None:
    assert within_budget(None, Cost(), Cost(cpu_seconds=Decimal(10**9))).fits
    free = Budget(window=timedelta(hours=1), gpu_hours=None, cpu_hours=None)
    found = within_budget(free, Cost(), Cost(cpu_seconds=Decimal(10**9)))
    assert found.fits
    assert found.limit == "no limit"


def test_a_budget_is_short_in_numbers() -> None:
    budget = Budget(window=timedelta(hours=720), gpu_hours=Decimal(1), cpu_hours=Decimal(2))
    found = within_budget(budget, Cost(cpu_seconds=Decimal(5400)), Cost(cpu_seconds=Decimal(3600)))
    assert not found.fits
    assert found.message == (
        "The next step needs 1 CPU-hours and 1.5 of 2 are spent in 720 h. "
        "It goes on when the window of 720 h moves."
    )
    assert within_budget(budget, Cost(), Cost(cpu_seconds=Decimal(7200))).fits


def test_a_trial_larger_than_the_whole_budget_says_that_waiting_is_no_use() -> None:
    budget = Budget(window=timedelta(hours=720), gpu_hours=Decimal(1), cpu_hours=None)
    found = within_budget(budget, Cost(), Cost(gpu_seconds=Decimal(7200)))
    assert not found.fits
    assert found.message.endswith("It alone is more than the whole budget. Raise budget.gpuHours.")
    assert found.observed == "0 CPU-hours spent, 0 CPU-hours, 2 GPU-hours next"
