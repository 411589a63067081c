"""Counted requests take the place of declared ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from modelecology.api.vocabulary import Role, Scope
from modelecology.governance.facts import SuiteTask
from modelecology.governance.traffic import Traffic, measured

from .scenes import POLICY

DAY = timedelta(days=1)


def task(name: str, traffic: float, role: Role = Role.TASK) -> SuiteTask:
    return SuiteTask(name, role, Scope.ADAPTER, traffic, Decimal(1), None)


TASKS = (task("dates", 0.5), task("cron", 0.5), task("everyday", 0.0, Role.INVARIANT))


def test_shares_and_requests_a_day_are_those_that_were_counted() -> None:
    then, tasks = measured(POLICY, TASKS, Traffic({"dates": 300, "cron": 100}, 500, 2 * DAY))
    assert then == replace(POLICY, requests_per_day=250)
    assert [t.traffic for t in tasks] == [0.6, 0.2, 0.0]


def test_a_task_that_nobody_asked_for_has_no_traffic() -> None:
    then, tasks = measured(POLICY, TASKS, Traffic({}, 0, DAY))
    assert then.requests_per_day == 0
    assert [t.traffic for t in tasks] == [0.0, 0.0, 0.0]


def test_an_invariant_has_none_even_if_somebody_asks_by_its_name() -> None:
    _, tasks = measured(POLICY, TASKS, Traffic({"everyday": 5}, 5, DAY))
    assert tasks[2] == TASKS[2]


def test_a_request_more_changes_no_figure() -> None:
    one = measured(POLICY, TASKS, Traffic({"dates": 30_000, "cron": 10_000}, 50_000, DAY))
    assert one == measured(POLICY, TASKS, Traffic({"dates": 30_001, "cron": 10_000}, 50_001, DAY))


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(1, 24 * 60))
def test_figures_are_within_five_per_cent_of_the_counts(dates: int, others: int, hours: int) -> None:
    total = dates + others
    then, tasks = measured(POLICY, TASKS, Traffic({"dates": dates}, total, timedelta(hours=hours)))
    asked = total * 24 / hours
    assert abs(then.requests_per_day - asked) <= max(0.05 * asked, 0.5)
    share = dates / total if total else 0.0
    assert abs(tasks[0].traffic - share) <= 0.05 * share
    assert 0.0 <= tasks[0].traffic <= 1.0
