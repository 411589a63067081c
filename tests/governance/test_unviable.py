"""Which live members evidence takes out of service: every cause, one at a time, and nobody unproven."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Outcome, Role, State
from modelecology.governance.facts import GENERALIST, Cost, Interval, Member, Standing
from modelecology.governance.portfolio import Population, generalists, value
from modelecology.governance.unviable import Finding, finding, findings

from .scenes import DATES, NAME, POLICY, TASKS, situation

GIB = 2**30
BASE = (
    Member(GENERALIST, "dates", 0.1, 0, 0.05, 0.2),
    Member(GENERALIST, "cron", 0.05, 0, 0.0, 0.1),
)
GOOD = Member("dates-a", "dates", 0.8, GIB, 0.7, 0.9)
CRON = Member("cron-a", "cron", 0.6, GIB, 0.5, 0.7)
WATCHFUL = replace(POLICY, idle_after=timedelta(hours=168))


def looked_at(*members: Member, requests: dict[str, int] | None = None) -> dict[str, Finding]:
    return findings(Standing(BASE, members, requests=requests), TASKS, WATCHFUL)


def causes(*members: Member, requests: dict[str, int] | None = None) -> dict[str, Reason | None]:
    return {name: each.reason for name, each in looked_at(*members, requests=requests).items()}


def test_members_that_earn_their_upkeep_stay_and_the_check_says_what_they_are_worth() -> None:
    found = looked_at(GOOD, CRON)
    assert {each.reason for each in found.values()} == {None}
    check = found["dates-a"].check
    assert (check.outcome, check.observed) == (Outcome.PASS, "244.80")
    assert check.message == "dates: it is worth 244.80 over 720 h, between 172.80 and 298.80."
    assert check.interval == Interval(172.8, 298.8, 0.95)


def test_a_member_of_a_task_that_is_gone_or_is_an_invariant_now_has_lost_its_contract() -> None:
    assert causes(replace(GOOD, task="poems")) == {"dates-a": Reason.CONTRACT_WITHDRAWN}
    assert causes(replace(GOOD, task="everyday")) == {"dates-a": Reason.CONTRACT_WITHDRAWN}


def test_a_member_that_nobody_asks_is_unused_by_declaration_or_by_measurement() -> None:
    silent = (replace(DATES, traffic=0.0), *TASKS[1:])
    found = findings(Standing(BASE, (GOOD,)), silent, POLICY)["dates-a"]
    assert (found.reason, found.check.message) == (
        Reason.UNUSED,
        "dates: no share of the requests is of it.",
    )
    asked = looked_at(GOOD, CRON, requests={"dates": 4, "cron": 0})
    assert {name: each.reason for name, each in asked.items()} == {"dates-a": None, "cron-a": Reason.UNUSED}
    assert asked["cron-a"].check.message == "cron: nobody has asked for it in 168 h."


def test_a_task_whose_requests_were_not_counted_that_long_is_not_unused() -> None:
    assert causes(GOOD, CRON, requests={"dates": 4}) == {"dates-a": None, "cron-a": None}
    assert causes(GOOD) == {"dates-a": None}
    unwatched = findings(Standing(BASE, (GOOD,), requests={"dates": 0}), TASKS, POLICY)
    assert unwatched["dates-a"].reason is None


@pytest.mark.parametrize(
    ("lived", "cause"),
    [
        (None, None),
        (Interval(0.5, 0.69, 0.95), Reason.QUALITY_DRIFTED),
        (Interval(0.5, 0.7, 0.95), None),
        (Interval(0.9, 1.0, 0.95), None),
    ],
)
def test_a_member_has_drifted_when_users_provably_get_less_than_the_evaluation_said(
    lived: Interval | None, cause: Reason | None
) -> None:
    assert causes(replace(GOOD, live_quality=lived)) == {"dates-a": cause}


def test_drift_needs_an_evaluation_to_compare_with() -> None:
    unknown = replace(GOOD, low=0.0, high=1.0, live_quality=Interval(0.0, 0.0, 0.95))
    assert looked_at(unknown)["dates-a"].check.outcome is Outcome.INCONCLUSIVE


def test_a_member_is_dominated_by_one_that_is_provably_as_good_and_costs_no_more() -> None:
    worse = Member("dates-b", "dates", 0.5, GIB, 0.4, 0.6)
    found = looked_at(GOOD, worse)
    assert {n: f.reason for n, f in found.items()} == {"dates-a": None, "dates-b": Reason.DOMINATED}
    assert found["dates-b"].check.message == (
        "dates: dates-a is better by 0.30, at least 0.10, and costs no more."
    )
    assert found["dates-b"].check.interval == Interval(0.1, 0.5, 0.95)


def test_a_paired_comparison_proves_what_the_bounds_of_each_do_not() -> None:
    close = Member("dates-b", "dates", 0.75, GIB, 0.65, 0.85)
    assert causes(GOOD, close)["dates-b"] is Reason.NEGATIVE_VALUE
    newer = replace(GOOD, over="dates-b", lead=Interval(0.01, 0.09, 0.95))
    assert causes(newer, close) == {"dates-a": None, "dates-b": Reason.DOMINATED}


def test_the_generalist_dominates_a_member_that_it_has_caught_up_with() -> None:
    worse = Member("dates-b", "dates", 0.02, 0, 0.0, 0.05)
    found = looked_at(worse)["dates-b"]
    assert found.reason is Reason.DOMINATED
    assert found.check.message.startswith("dates: the generalist is better by 0.08, at least 0.00,")


def test_one_that_is_better_but_dearer_dominates_nobody() -> None:
    large = replace(GOOD, resident_bytes=2 * GIB)
    small = Member("dates-b", "dates", 0.5, GIB, 0.4, 0.6)
    assert causes(large, small) == {"dates-a": None, "dates-b": Reason.NEGATIVE_VALUE}
    prices = replace(POLICY, prices=replace(POLICY.prices, token_million=Decimal(100)))
    talking = replace(GOOD, tokens=50.0)
    found = findings(Standing(BASE, (talking, replace(small, resident_bytes=GIB))), TASKS, prices)
    assert found["dates-b"].reason is Reason.NEGATIVE_VALUE


def test_a_member_whose_gain_is_provably_below_its_upkeep_has_a_negative_value() -> None:
    dear = replace(GOOD, quality=0.11, low=0.1, high=0.12, resident_bytes=20 * GIB)
    found = looked_at(dear)["dates-a"]
    assert found.reason is Reason.NEGATIVE_VALUE
    # A point of dates is worth 3.60; 20 GiB for 720 h cost 144.00.
    assert found.check.message == (
        "dates: without it the population is worth 140.40 more over 720 h, at least 118.80."
    )


def test_what_has_to_be_below_zero_is_the_upper_bound_or_by_policy_the_point() -> None:
    doubtful = replace(GOOD, quality=0.11, low=0.1, high=0.6)
    assert causes(doubtful) == {"dates-a": None}
    dear = replace(doubtful, resident_bytes=2 * GIB)
    by_point = replace(POLICY, retire_by_point=True)
    assert causes(dear) == {"dates-a": None}
    assert findings(Standing(BASE, (dear,)), TASKS, by_point)["dates-a"].reason is Reason.NEGATIVE_VALUE
    assert findings(Standing(BASE, (doubtful,)), TASKS, by_point)["dates-a"].reason is Reason.NEGATIVE_VALUE
    free = replace(doubtful, resident_bytes=0)
    assert findings(Standing(BASE, (free,)), TASKS, by_point)["dates-a"].reason is None


def test_evaluations_that_are_charged_count_as_upkeep() -> None:
    reviewed = replace(GOOD, review=Cost(cpu_seconds=Decimal(3600 * 1000)))
    assert causes(reviewed) == {"dates-a": None}
    daily = replace(POLICY, reevaluate_every=timedelta(hours=24))
    assert findings(Standing(BASE, (reviewed,)), TASKS, daily)["dates-a"].reason is Reason.NEGATIVE_VALUE


def test_of_two_that_make_each_other_superfluous_one_stays() -> None:
    twin = replace(GOOD, served_name="dates-b")
    assert causes(GOOD, twin) == {"dates-a": Reason.NEGATIVE_VALUE, "dates-b": None}
    assert causes(twin, GOOD) == causes(GOOD, twin)


def test_nobody_goes_for_a_comparison_with_one_that_goes_itself() -> None:
    drifted = replace(GOOD, served_name="dates-b", live_quality=Interval(0.0, 0.1, 0.95))
    assert causes(GOOD, drifted) == {"dates-a": None, "dates-b": Reason.QUALITY_DRIFTED}


def test_what_is_not_measured_on_this_suite_is_left_alone() -> None:
    unknown = replace(GOOD, low=0.0, high=1.0, resident_bytes=400 * GIB)
    for policy in (POLICY, replace(POLICY, retire_by_point=True)):
        found = findings(Standing(BASE, (unknown,)), TASKS, policy)["dates-a"]
        assert (found.reason, found.check.outcome) == (None, Outcome.INCONCLUSIVE)
    # Nor is anybody judged beside it, or without the generalist.
    worse = Member("dates-b", "dates", 0.5, GIB, 0.4, 0.6)
    assert looked_at(unknown, worse)["dates-b"].check.outcome is Outcome.INCONCLUSIVE
    alone = findings(Standing((), (GOOD,)), TASKS, POLICY)["dates-a"]
    assert alone.check.outcome is Outcome.INCONCLUSIVE


def test_a_situation_asks_about_its_own_revision() -> None:
    own = replace(GOOD, served_name=NAME)
    here = situation(State.LIVE, standing=Standing(BASE, (own, CRON)))
    found = finding(here)
    assert found is not None
    assert found.check.message.startswith("dates: it is worth 244.80")
    assert finding(replace(here, standing=None)) is None
    assert finding(replace(here, standing=Standing(BASE, (CRON,)))) is None


@st.composite
def standings(draw: st.DrawFn) -> Standing:
    members = []
    for k in range(draw(st.integers(0, 6))):
        quality, reach = draw(st.floats(0, 1)), draw(st.sampled_from((0.01, 0.1, 1.0)))
        members.append(
            Member(
                f"m{k}",
                draw(st.sampled_from(("dates", "cron", "poems"))),
                quality,
                draw(st.sampled_from((0, GIB, 9 * GIB))),
                max(0.0, quality - reach),
                min(1.0, quality + reach),
            )
        )
    return Standing(BASE, tuple(members))


@given(standings())
def test_taking_out_all_that_are_due_never_costs_the_population_anything_it_can_tell(
    known: Standing,
) -> None:
    population = Population(generalists(known.generalist), known.members)
    found = findings(known, TASKS, POLICY)
    assert found.keys() == {m.served_name for m in known.members}
    gone = [name for name, each in found.items() if each.reason is not None]
    assert value(population.without(*gone), TASKS, POLICY) >= value(population, TASKS, POLICY)


@given(standings())
def test_who_stays_would_be_found_to_stay_without_those_that_go(known: Standing) -> None:
    found = findings(known, TASKS, POLICY)
    staying = tuple(m for m in known.members if found[m.served_name].reason is None)
    again = findings(replace(known, members=staying), TASKS, POLICY)
    assert {name: each.reason for name, each in again.items()} == {m.served_name: None for m in staying}


@given(standings())
def test_a_finding_has_a_cause_if_and_only_if_its_check_failed(known: Standing) -> None:
    for each in findings(known, TASKS, POLICY).values():
        assert (each.reason is not None) == (each.check.outcome is Outcome.FAIL)
        assert each.check.message


def test_an_invariant_is_no_task() -> None:
    assert {t.role for t in TASKS} == {Role.TASK, Role.INVARIANT}
