"""Prices, the cost of a trial, and the sliding window of a budget."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from modelecology.api.vocabulary import State
from modelecology.governance.book import GIB, Book, Holding, Spent
from modelecology.governance.facts import Charge, Cost
from modelecology.governance.ledger import (
    IMPORT_SECONDS,
    SECONDS_PER_ANSWER,
    SECONDS_PER_STEP,
    expected_cost,
    first_moment,
    full_hour,
    holding,
    price,
    spent,
    uncharged,
    within_budget,
)
from modelecology.governance.rules import Budget, Prices

from .scenes import CLAIM
from .test_book import ONE, SERVED, START, line

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
WINDOW = 720 * HOUR
PRICES = Prices(Decimal(2), Decimal("0.05"), Decimal("0.01"), stored_gib_hour=Decimal("0.001"))


def cpu(hours: float) -> Cost:
    return Cost(cpu_seconds=Decimal(str(hours)) * 3600)


def charge(hours_ago: float, cost: Cost, specialist: str = "dates") -> Charge:
    return Charge(NOW - hours_ago * HOUR, specialist, cost)


def test_a_price_is_hours_times_prices() -> None:
    cost = Cost(Decimal(7200), Decimal(1800), 10**9, Decimal(100), Decimal(1000))
    assert price(cost, PRICES) == Decimal("0.10") + 1 + 1 + 1
    assert price(cost, replace(PRICES, stored_gib_hour=Decimal(0))) == Decimal("2.10")


def test_a_decision_states_what_was_held_only_where_something_was() -> None:
    assert spent(cpu(1), PRICES) == Spent(Decimal(3600), cost=Decimal("0.05"))
    found = spent(Cost(resident_gib_hours=Decimal(3)), PRICES)
    assert found == Spent(cost=Decimal("0.03"), resident_gib_hours=Decimal(3))


@pytest.mark.parametrize(
    ("state", "replicas"),
    [(State.EVALUATING, 0), (State.SHADOW, 3), (State.LIVE, 3), (State.RETIRED, 0), (State.PENDING, 0)],
)
def test_only_what_serves_holds_memory_and_everything_holds_its_bytes(state: State, replicas: int) -> None:
    assert holding(ONE, state, 3) == Holding(2 * GIB, GIB, replicas)


def test_what_is_deleted_or_was_never_there_holds_nothing() -> None:
    assert holding(SERVED, State.DELETED, 3) is None
    assert holding(None, State.LIVE, 3) is None


def test_what_all_revisions_of_a_specialist_hold_is_summed_with_its_price() -> None:
    book = Book().after(line(0, State.LIVE, SERVED))
    book = book.after(line(0, State.EVALUATING, ONE, revision="b" * 12, key="m" * 64))
    found = uncharged(book, "uid-dates", START + 10 * HOUR, PRICES)
    assert found == Spent(cost=Decimal("0.34"), resident_gib_hours=Decimal(30), stored_gib_hours=Decimal(40))
    assert uncharged(book, "uid-cron", START + 10 * HOUR, PRICES) == Spent()
    assert uncharged(book, "uid-dates", START + 10 * HOUR, PRICES, START + 5 * HOUR).cost == Decimal("0.17")


def test_a_status_counts_up_to_the_last_full_hour() -> None:
    assert full_hour(NOW + timedelta(minutes=59, seconds=59, microseconds=1)) == NOW
    assert full_hour(NOW) == NOW


def test_a_trial_costs_its_steps_and_its_answers() -> None:
    assert expected_cost(CLAIM, None, 100).cpu_seconds == 60 * SECONDS_PER_STEP + 100 * SECONDS_PER_ANSWER
    assert expected_cost(CLAIM, Decimal(2), 0).cpu_seconds == 120
    assert expected_cost(replace(CLAIM, steps=0), Decimal(2), 0).cpu_seconds == IMPORT_SECONDS
    on_gpu = expected_cost(replace(CLAIM, gpus=1.0, cpus=4.0), Decimal(2), 0)
    assert on_gpu.gpu_seconds == 30


def test_a_population_without_a_budget_spends_what_it_likes() -> None:
    assert within_budget(None, (), cpu(10**6), now=NOW).fits
    free = Budget(window=HOUR, gpu_hours=None, cpu_hours=None)
    found = within_budget(free, (), cpu(10**6), now=NOW)
    assert found.fits
    assert found.limit == "no limit"


def test_a_short_budget_says_the_numbers_and_the_moment() -> None:
    budget = Budget(window=WINDOW, gpu_hours=Decimal(1), cpu_hours=Decimal(2))
    charges = (charge(700, cpu(1)), charge(10, cpu(0.5)))
    found = within_budget(budget, charges, cpu(1), now=NOW)
    assert not found.fits
    assert found.message == (
        "The next step needs 1 CPU-hours and 1.5 of 2 are spent in 720 h. "
        "It goes on at 2026-04-01 08:00:00 UTC, when enough has left the window."
    )
    assert found.moment == NOW + 20 * HOUR
    assert found.observed == "1.5 CPU-hours spent, 1 CPU-hours next"
    assert found.limit == "2 CPU-hours, 1 GPU-hours"
    assert not within_budget(budget, charges, cpu(1), now=found.moment - timedelta(seconds=1)).fits
    assert within_budget(budget, charges, cpu(1), now=found.moment).fits
    assert within_budget(budget, (), cpu(2), now=NOW).fits


def test_the_scarcer_resource_decides_the_moment() -> None:
    budget = Budget(window=WINDOW, gpu_hours=Decimal(1), cpu_hours=Decimal(1))
    charges = (charge(700, cpu(1)), charge(600, Cost(gpu_seconds=Decimal(3600))))
    next_cost = Cost(cpu_seconds=Decimal(1800), gpu_seconds=Decimal(1800))
    found = within_budget(budget, charges, next_cost, now=NOW)
    assert found.moment == NOW + 120 * HOUR
    assert found.observed == "1 CPU-hours, 1 GPU-hours spent, 0.5 CPU-hours, 0.5 GPU-hours next"


def test_a_trial_larger_than_the_whole_budget_says_that_waiting_is_no_use() -> None:
    budget = Budget(window=WINDOW, gpu_hours=Decimal(1), cpu_hours=None)
    found = within_budget(budget, (), Cost(gpu_seconds=Decimal(7200)), now=NOW)
    assert (found.fits, found.moment) == (False, None)
    assert found.message.endswith("It alone is more than the whole budget. Raise budget.gpuHours.")
    assert found.observed == "0 CPU-hours spent, 0 CPU-hours, 2 GPU-hours next"


def test_a_trial_under_way_keeps_its_place_until_it_has_ended() -> None:
    budget = Budget(window=WINDOW, gpu_hours=None, cpu_hours=Decimal(2))
    found = within_budget(budget, (), cpu(1), now=NOW, under_way=cpu(1.5))
    assert (found.fits, found.moment) == (False, None)
    assert found.message == (
        "The next step needs 1 CPU-hours and 1.5 of 2 are spent in 720 h. "
        "It goes on when a trial that is under way has ended."
    )
    both = within_budget(budget, (charge(1, cpu(1)),), cpu(1), now=NOW, under_way=cpu(0.5))
    assert both.moment == NOW + 719 * HOUR


def test_one_specialist_may_not_spend_what_others_are_to_have() -> None:
    budget = Budget(WINDOW, None, Decimal(10), specialist_cpu_hours=Decimal(2))
    charges = (charge(700, cpu(1.5)), charge(5, cpu(3), "cron"), charge(5, cpu(3), ""))
    assert within_budget(budget, charges, cpu(1), now=NOW, specialist="french").fits
    found = within_budget(budget, charges, cpu(1), now=NOW, specialist="dates", under_way=cpu(1))
    assert found.message == (
        "The next step needs 1 CPU-hours and 1.5 of 2 of dates are spent in 720 h. "
        "It goes on at 2026-04-01 08:00:00 UTC, when enough has left the window."
    )
    assert found.limit == "10 CPU-hours, 2 CPU-hours of dates"
    alone = within_budget(budget, charges, cpu(3), now=NOW, specialist="dates")
    assert alone.message.endswith("Raise budget.perSpecialist.cpuHours.")
    on_gpu = Budget(WINDOW, None, None, specialist_gpu_hours=Decimal(1))
    short = within_budget(on_gpu, (), Cost(gpu_seconds=Decimal(7200)), now=NOW, specialist="dates")
    assert short.message.endswith("Raise budget.perSpecialist.gpuHours.")


_AMOUNTS = st.decimals(0, 10, places=3)
_CHARGED = st.lists(st.tuples(st.integers(0, 10_000), _AMOUNTS), max_size=12).map(
    lambda found: [(NOW - timedelta(seconds=age), amount) for age, amount in found]
)
_LENGTHS = st.integers(1, 12_000).map(lambda seconds: timedelta(seconds=seconds))


def inside(charged: list[tuple[datetime, Decimal]], window: timedelta, now: datetime) -> Decimal:
    return sum((amount for time, amount in charged if time > now - window), Decimal(0))


@given(_CHARGED, _AMOUNTS, _LENGTHS)
def test_the_moment_is_the_first_at_which_the_window_has_room(
    charged: list[tuple[datetime, Decimal]], room: Decimal, window: timedelta
) -> None:
    found = first_moment([c for c in charged if c[0] > NOW - window], room, window, NOW)
    assert found is not None
    assert found >= NOW
    assert inside(charged, window, found) <= room
    if found > NOW:
        assert inside(charged, window, found - timedelta(seconds=1)) > room


@given(_CHARGED, st.decimals(-10, -1, places=3), _LENGTHS)
def test_without_room_for_what_never_leaves_there_is_no_moment(
    charged: list[tuple[datetime, Decimal]], room: Decimal, window: timedelta
) -> None:
    assert first_moment(charged, room, window, NOW) is None


@given(_CHARGED, _AMOUNTS, _AMOUNTS, _LENGTHS, st.integers(0, 10_000), _AMOUNTS)
def test_more_room_is_never_later_and_one_more_charge_never_earlier(
    charged: list[tuple[datetime, Decimal]],
    room: Decimal,
    more: Decimal,
    window: timedelta,
    age: int,
    amount: Decimal,
) -> None:
    found = first_moment(charged, room, window, NOW)
    wider = first_moment(charged, room + more, window, NOW)
    fuller = first_moment([*charged, (NOW - timedelta(seconds=age), amount)], room, window, NOW)
    assert found is not None
    assert wider is not None
    assert fuller is not None
    assert wider <= found <= fuller


@given(_CHARGED, _AMOUNTS, _AMOUNTS, st.booleans())
def test_what_is_parked_fits_at_its_moment_and_at_no_time_before(
    charged: list[tuple[datetime, Decimal]], most: Decimal, next_hours: Decimal, own: bool
) -> None:
    window = timedelta(seconds=6000)
    each = most if own else None
    budget = Budget(window, None, None if own else most, specialist_cpu_hours=each)
    charges = [Charge(time, "dates", Cost(cpu_seconds=amount * 3600)) for time, amount in charged]
    next_cost = Cost(cpu_seconds=next_hours * 3600)
    found = within_budget(budget, charges, next_cost, now=NOW, specialist="dates")
    assume(not found.fits)
    if found.moment is None:
        assert next_hours > most
        return
    assert found.moment > NOW
    assert within_budget(budget, charges, next_cost, now=found.moment, specialist="dates").fits
    before = found.moment - timedelta(seconds=1)
    assert not within_budget(budget, charges, next_cost, now=before, specialist="dates").fits
