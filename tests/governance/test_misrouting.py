"""How right a classifier is about each task, where its word routes, and what its errors are charged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelecology.governance.facts import GENERALIST, Member
from modelecology.governance.misrouting import (
    Checks,
    ClassifierRules,
    Confusion,
    Mistake,
    charged,
    confusions,
    mistakes,
)
from modelecology.governance.portfolio import Population, generalists, leave_one_out, value
from modelecology.governance.traffic import Traffic

from .scenes import POLICY, TASKS

DAY = timedelta(days=1)
RULES = ClassifierRules(minimum_accuracy=0.9, minimum_checked=100)
NAMES = ("dates", "cron")
labels = st.sampled_from(["dates", "cron", "french", None])
some_checks = st.dictionaries(st.tuples(labels, labels), st.integers(1, 400))


def of(task: str, checks: Checks, rules: ClassifierRules = RULES) -> Confusion:
    return next(each for each in confusions(NAMES, checks, rules, 0.95) if each.task == task)


def test_errors_of_both_directions_count_and_silence_does_not() -> None:
    checks = {
        ("dates", "dates"): 90,
        ("dates", "cron"): 3,
        ("dates", None): 40,
        ("french", "dates"): 2,
        (None, "dates"): 5,
        (None, None): 70,
        ("cron", "cron"): 50,
    }
    found = of("dates", checks)
    assert (found.right, found.elsewhere, found.strangers, found.unsaid) == (90, 3, 7, 40)
    assert found.answers == 100
    assert 0.7 < found.accuracy < 0.9
    cron = of("cron", checks)
    assert (cron.right, cron.elsewhere, cron.strangers, cron.unsaid) == (50, 0, 3, 0)


def test_what_was_never_measured_is_not_routed() -> None:
    assert of("dates", {}) == Confusion("dates", 0, 0, 0, 0, 0.0, routed=False)


def test_a_task_is_routed_once_enough_is_checked_and_the_bound_is_reached() -> None:
    assert not of("dates", {("dates", "dates"): 99}).routed
    assert of("dates", {("dates", "dates"): 100}).routed
    assert not of("dates", {("dates", "dates"): 97, ("dates", "cron"): 3}).routed
    assert of("dates", {("dates", "dates"): 970, ("dates", "cron"): 30}).routed
    assert not of("dates", {("dates", "dates"): 970, (None, "dates"): 130}).routed


@given(some_checks)
def test_the_bound_is_never_above_what_was_seen(checks: Mapping[tuple[str | None, str | None], int]) -> None:
    for found in confusions(NAMES, checks, RULES, 0.95):
        assert 0.0 <= found.accuracy <= 1.0
        if found.answers:
            assert found.accuracy <= found.right / found.answers
        assert found.routed == (found.answers >= 100 and found.accuracy >= 0.9)


@given(some_checks, st.sampled_from([("dates", "cron"), ("french", "dates"), (None, "dates")]))
def test_a_mistake_more_never_opens_a_task(
    checks: Mapping[tuple[str | None, str | None], int], mistake: tuple[str | None, str]
) -> None:
    rules = ClassifierRules(0.9, 1)
    before = of("dates", checks, rules)
    after = of("dates", {**checks, mistake: checks.get(mistake, 0) + 1}, rules)
    assert after.accuracy <= before.accuracy + 1e-9


@given(some_checks)
def test_requests_of_which_it_says_nothing_change_nothing(
    checks: Mapping[tuple[str | None, str | None], int],
) -> None:
    silent = {**checks, ("dates", None): 10_000, (None, None): 10_000}
    before, after = of("dates", checks), of("dates", silent)
    assert (before.accuracy, before.routed) == (after.accuracy, after.routed)


def test_looking_after_each_check_opens_a_task_below_the_minimum_in_few_histories() -> None:
    random = np.random.default_rng(7)
    opened = 0
    for _ in range(200):
        right = np.cumsum(random.random(1500) < 0.9)
        looks = range(100, 1500, 50)
        rules = ClassifierRules(0.9, 100)
        opened += any(
            of(
                "dates", {("dates", "dates"): int(right[n]), ("dates", "cron"): int(n + 1 - right[n])}, rules
            ).routed
            for n in looks
        )
    assert opened <= 0.05 * 200 + 2 * (0.05 * 0.95 * 200) ** 0.5


def test_the_most_frequent_mistakes_come_first() -> None:
    checks: Checks = {("dates", "cron"): 3, (None, "dates"): 9, ("cron", "cron"): 80, ("cron", None): 5}
    assert mistakes(checks, 5) == (Mistake(None, "dates", 9), Mistake("dates", "cron", 3))
    assert mistakes(checks, 1) == (Mistake(None, "dates", 9),)


def routed(task: str, accuracy: float, *, routed: bool = True) -> Confusion:
    return Confusion(task, 95, 5, 0, 0, accuracy, routed)


def test_a_task_is_charged_for_what_the_classifier_sent_where_that_was_counted() -> None:
    traffic = Traffic({"dates": 1000, "cron": 10}, 1010, DAY, {"dates": 250})
    dates, cron, *rest = charged(TASKS, (routed("dates", 0.92), routed("cron", 0.92)), traffic)
    assert dates.misrouting == pytest.approx(0.25 * 0.08)
    assert cron.misrouting == 0.0  # nobody came by its word
    assert tuple(rest) == TASKS[2:]


def test_without_counts_all_of_it_is_charged_where_anything_is_sent() -> None:
    dates, cron, *_ = charged(TASKS, (routed("dates", 0.92), routed("cron", 0.5, routed=False)), None)
    assert dates.misrouting == pytest.approx(0.08)
    assert cron.misrouting == 0.0


def test_what_was_sent_before_a_task_was_closed_is_still_charged() -> None:
    traffic = Traffic({"dates": 100}, 100, DAY, {"dates": 50})
    dates, *_ = charged(TASKS, (routed("dates", 0.8, routed=False),), traffic)
    assert dates.misrouting == pytest.approx(0.1)


BASE = generalists((Member(GENERALIST, "dates", 0.1, 0), Member(GENERALIST, "cron", 0.05, 0)))


def worth(declared: float, seen: float) -> Decimal:
    population = Population(BASE, (Member("dates-1", "dates", 0.5, 0),))
    tasks = (replace(TASKS[0], misrouting=seen),)
    return value(population, tasks, replace(POLICY, misrouting=declared))


def test_the_greater_of_what_is_declared_and_what_is_measured_goes_astray() -> None:
    assert worth(0.25, 0.1) == worth(0.25, 0.0) == worth(0.0, 0.25)
    assert worth(0.0, 0.25) < worth(0.0, 0.1) < worth(0.0, 0.0)


def test_only_its_own_task_pays_for_it() -> None:
    members = (Member("dates-1", "dates", 0.5, 0), Member("cron-1", "cron", 0.5, 0))
    population = Population(BASE, members)
    clear = leave_one_out(population, TASKS, POLICY)
    astray = leave_one_out(population, (replace(TASKS[0], misrouting=0.2), *TASKS[1:]), POLICY)
    assert astray["cron-1"] == clear["cron-1"]
    assert astray["dates-1"].point == clear["dates-1"].point * Decimal("0.8")


@given(st.floats(0, 0.99), st.floats(0, 1), st.floats(0, 1))
def test_more_that_goes_astray_is_never_worth_more(declared: float, one: float, other: float) -> None:
    less, more = sorted((one, other))
    assert worth(declared, more) <= worth(declared, less)
