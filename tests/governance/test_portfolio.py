"""The value of a population: what its routes earn, what its members cost, and what an action changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelecology.api.vocabulary import Role, Scope, State
from modelecology.governance.evidence import Difference, difference
from modelecology.governance.facts import (
    GENERALIST,
    Cost,
    Evidence,
    Interval,
    Member,
    Situation,
    Standing,
    SuiteTask,
)
from modelecology.governance.portfolio import (
    BYTES_PER_RANK,
    Population,
    candidate,
    change,
    delta,
    expected_bytes,
    expected_gain,
    generalists,
    lead,
    leave_one_out,
    routes,
    today,
    value,
)
from modelecology.governance.rules import Policy

from .scenes import CLAIM, MEMBER, NAME, POLICY, TASKS, evidence, right, situation

REQUESTS = 60_000  # 2000 a day over 720 h
GIB = 2**30
ROUNDING = Decimal("1e-20")  # of sums of 28 digits
DATES_POINT = REQUESTS * Decimal("0.3") * Decimal("0.02")  # what a whole point of quality is worth
CRON_POINT = REQUESTS * Decimal("0.2") * Decimal("0.05")
BASE = generalists((Member(GENERALIST, "dates", 0.1, 0), Member(GENERALIST, "cron", 0.05, 0)))
DEAR = replace(
    POLICY, prices=replace(POLICY.prices, token_million=Decimal(10), wait_hour=Decimal(3)), misrouting=0.1
)


def member(name: str, task: str, quality: float, size: int = 0, **more: object) -> Member:
    return replace(Member(name, task, quality, size), **more)  # type: ignore[arg-type]  # by name


def exactly(found: float) -> Difference:
    return Difference(found, Interval(found, found, 0.95), 1, 1)


def test_value_is_what_the_routes_earn_less_upkeep() -> None:
    population = Population(BASE, (member("a", "dates", 0.5, 2 * GIB),))
    upkeep = 2 * 720 * Decimal("0.01")
    earned = DATES_POINT * Decimal("0.5") + CRON_POINT * Decimal("0.05")
    assert value(population, TASKS, POLICY) == earned - upkeep
    assert value(population, TASKS, replace(POLICY, replicas=3)) == earned - 3 * upkeep


def test_an_invariant_and_a_task_that_the_suite_lacks_earn_nothing() -> None:
    alone = (member("a", "everyday", 1.0), member("b", "poems", 1.0))
    assert value(Population({}, alone), TASKS, POLICY) == 0


def test_the_best_route_of_a_task_counts_and_the_generalist_where_nobody_is_better() -> None:
    found = routes(
        Population(BASE, (member("b", "cron", 0.8), member("a", "cron", 0.8), member("c", "dates", 0.1)))
    )
    assert (found["cron"].served_name, found["dates"].served_name) == ("b", GENERALIST)
    forced = member("d", "cron", 0.0)
    assert routes(Population(BASE, (), {"cron": forced}))["cron"] is forced


def test_a_request_that_goes_astray_is_answered_by_the_generalist() -> None:
    population = Population(BASE, (member("a", "dates", 0.5),))
    missed = value(population, (TASKS[0],), replace(POLICY, misrouting=0.25))
    assert missed == DATES_POINT * (Decimal("0.75") * Decimal("0.5") + Decimal("0.25") * Decimal("0.1"))
    assert value(Population({}, population.members), (TASKS[0],), replace(POLICY, misrouting=0.25)) == (
        DATES_POINT * Decimal("0.75") * Decimal("0.5")
    )


def test_tokens_and_waiting_are_paid_by_the_answer() -> None:
    prices = replace(POLICY.prices, token_million=Decimal(10), wait_hour=Decimal(36))
    one = Population(BASE, (member("a", "dates", 0.5, tokens=20.0, seconds=0.5),))
    paid = value(one, TASKS, POLICY) - value(one, TASKS, replace(POLICY, prices=prices))
    assert paid == REQUESTS * Decimal("0.3") * (Decimal("0.0002") + Decimal("0.005"))


def test_a_member_is_charged_the_evaluations_that_fall_into_the_horizon() -> None:
    one = Population({}, (member("a", "cron", 0.0, review=Cost(cpu_seconds=Decimal(7200))),))
    weekly = replace(POLICY, reevaluate_every=timedelta(hours=72))
    assert value(one, TASKS, POLICY) - value(one, TASKS, weekly) == 10 * 2 * POLICY.prices.cpu_hour


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.9), st.integers(0, 4 * GIB))
def test_better_members_never_lower_the_value(one: float, other: float, astray: float, size: int) -> None:
    worse, better = sorted((one, other))
    policy = replace(POLICY, misrouting=astray)

    def worth(quality: float) -> Decimal:
        return value(Population(BASE, (member("a", "dates", quality, size),)), TASKS, policy)

    assert worth(worse) <= worth(better)


def test_the_delta_follows_the_paired_interval() -> None:
    found = difference(right("dates", "new", 0.9), right("dates", "old", 0.1), 0.95)
    gain = delta(situation(State.EVALUATING), found)
    upkeep = Decimal(5 * 2**20) / GIB * 720 * Decimal("0.01")
    assert float(gain.point) == pytest.approx(float(DATES_POINT * Decimal("0.8") - upkeep))
    assert float(gain.low) == pytest.approx(float(DATES_POINT) * found.interval.low - float(upkeep))
    assert gain.low < gain.point < gain.high


@st.composite
def priced(draw: st.DrawFn) -> tuple[Situation, Policy]:
    """A situation with any prices, and members that the candidate may replace or not."""
    prices = replace(
        POLICY.prices,
        token_million=Decimal(draw(st.integers(0, 50))),
        wait_hour=Decimal(draw(st.integers(0, 9))),
    )
    policy = replace(
        POLICY,
        prices=prices,
        misrouting=draw(st.sampled_from((0.0, 0.05, 0.5))),
        reevaluate_every=draw(st.sampled_from((None, timedelta(hours=24)))),
    )
    old = member("dates-cccccccccccc", "dates", draw(st.floats(0, 1)), GIB, tokens=9.0, seconds=0.2)
    known = draw(st.sampled_from((None, member(NAME, "dates", 0.5, 7, tokens=3.0, seconds=0.1))))
    here = situation(
        State.EVALUATING,
        policy=policy,
        members=(MEMBER, old),
        replaces=draw(st.sampled_from((None, old.served_name, MEMBER.served_name))),
        standing=Standing(tuple(BASE.values()), (MEMBER, old), known),
    )
    incumbent = draw(st.sampled_from((GENERALIST, old.served_name)))
    scored = replace(here.evidence, incumbent=right("dates", incumbent, draw(st.sampled_from((0.1, 0.6)))))
    return replace(here, evidence=scored), policy


@given(priced(), st.floats(-1, 1))
def test_the_delta_is_a_straight_line_in_the_difference(found: tuple[Situation, Policy], at: float) -> None:
    here, policy = found
    zero, one = (delta(here, exactly(x)).point for x in (0.0, 1.0))
    assert float(delta(here, exactly(at)).point) == pytest.approx(float(zero) + at * float(one - zero))
    assert float(one - zero) == pytest.approx(float(DATES_POINT) * (1 - policy.misrouting))


@given(priced(), st.floats(0, 1), st.floats(0, 1))
def test_the_delta_is_the_change_of_value_that_it_promises(
    found: tuple[Situation, Policy], before: float, after: float
) -> None:
    here, policy = found
    base = today(here)
    incumbent = here.evidence.incumbent
    assert incumbent is not None
    served = replace(routes(base)["dates"], served_name=incumbent.model, quality=before)
    known = next((m for m in base.members if m.served_name == incumbent.model), base.generalist["dates"])
    served = replace(known, quality=before)
    ours = candidate(here, after)
    old = replace(base, routed={"dates": served})
    left = base.without(here.replaces or "")
    new = replace(left, members=(*left.members, ours), routed={"dates": ours})
    said = delta(
        replace(
            here, evidence=replace(here.evidence, incumbent=right("dates", incumbent.model, before, 1000))
        ),
        exactly(after - before),
    )
    change_of_value = value(new, TASKS, policy) - value(old, TASKS, policy)
    # The incumbent's score is one of a thousand answers, so it is a thousandth off at most.
    assert float(said.point - change_of_value) == pytest.approx(0, abs=float(DATES_POINT) / 1000)


def test_a_revision_that_is_replaced_no_longer_costs_upkeep() -> None:
    found = difference(right("dates", "new", 0.9), right("dates", "old", 0.1), 0.95)
    old = replace(MEMBER, served_name="dates-cccccccccccc", task="dates", quality=0.1)
    here = situation(State.EVALUATING, members=(MEMBER, old))
    assert delta(replace(here, replaces=old.served_name), found).point > delta(here, found).point


def test_where_retirement_is_automatic_the_route_that_loses_its_task_no_longer_costs_upkeep() -> None:
    old = replace(MEMBER, served_name="other-cccccccccccc", task="dates", quality=0.1, resident_bytes=GIB)
    here = situation(State.EVALUATING, members=(MEMBER, old))
    here = replace(here, evidence=replace(here.evidence, incumbent=right("dates", old.served_name, 0.1)))
    automatic = replace(here, policy=replace(POLICY, automatic_retirement=True))
    upkeep = 720 * Decimal("0.01")
    assert delta(automatic, exactly(0.2)).point - delta(here, exactly(0.2)).point == upkeep
    # The generalist stays whatever becomes of its tasks.
    alone = situation(State.EVALUATING)
    assert delta(replace(alone, policy=automatic.policy), exactly(0.2)) == delta(alone, exactly(0.2))


def test_a_replaced_revision_of_another_task_takes_its_gain_with_it() -> None:
    found = difference(right("dates", "new", 0.9), right("dates", "old", 0.1), 0.95)
    here = situation(State.EVALUATING)
    lost = delta(here, found).point - delta(replace(here, replaces=MEMBER.served_name), found).point
    assert float(lost) == pytest.approx(float(CRON_POINT) * 0.75, abs=0.1)


def test_a_candidate_for_a_task_that_is_not_traded_gains_nothing_by_being_better() -> None:
    here = situation(State.EVALUATING, claim=replace(CLAIM, task="everyday"))
    assert delta(here, exactly(0.9)).point == delta(here, exactly(0.0)).point < 0


def test_the_expected_gain_is_the_way_to_the_target() -> None:
    here = situation(State.PENDING, artifact=None)
    assert float(expected_gain(here)) == pytest.approx(float(DATES_POINT) * 0.5, abs=0.1)
    blank = replace(here, evidence=replace(here.evidence, incumbent=None))
    assert float(expected_gain(blank)) == pytest.approx(float(DATES_POINT) * 0.6, abs=0.1)


def test_a_candidate_before_it_exists_is_charged_the_largest_member_or_a_prior() -> None:
    here = situation(State.PENDING, artifact=None)
    assert expected_bytes(here) == MEMBER.resident_bytes
    alone = replace(here, members=())
    assert expected_bytes(alone) == 8 * BYTES_PER_RANK
    assert expected_bytes(replace(alone, claim=replace(CLAIM, rank=0))) == 16 * BYTES_PER_RANK
    assert delta(here, exactly(0.8)).point == delta(situation(State.PENDING), exactly(0.8)).point


def test_a_candidate_that_is_not_measured_is_as_dear_as_the_incumbent_and_the_prior() -> None:
    base = (replace(BASE["dates"], tokens=8.0, seconds=0.5), BASE["cron"])
    here = situation(State.EVALUATING, standing=Standing(base))
    ours = candidate(here, 0.7)
    # 100 answers of its task and 100 of the invariant that it could break, at half a second each.
    assert (ours.tokens, ours.seconds, ours.review) == (8.0, 0.5, Cost(cpu_seconds=Decimal(100)))
    assert (ours.served_name, ours.task, ours.quality) == (NAME, "dates", 0.7)
    known = member(NAME, "dates", 0.6, tokens=2.0)
    assert candidate(replace(here, standing=Standing(base, (), known)), 0.7).tokens == 2.0


def test_what_a_change_is_worth_is_bounded_by_the_paired_comparison_where_there_is_one() -> None:
    twin = Interval(0.35, 0.45, 0.95)
    ours = member("a", "dates", 0.5, low=0.3, high=0.7, over=GENERALIST, lead=twin)
    base = {"dates": member(GENERALIST, "dates", 0.1, low=0.05, high=0.2)}
    found = change(Population(base), Population(base, (ours,)), TASKS, POLICY)
    assert (found.low, found.point, found.high) == tuple(
        DATES_POINT * Decimal(x) for x in ("0.35", "0.4", "0.45")
    )
    back = change(Population(base, (ours,)), Population(base), TASKS, POLICY)
    assert (back.low, back.high) == (-found.high, -found.low)
    loose = replace(ours, lead=None)
    wide = change(Population(base), Population(base, (loose,)), TASKS, POLICY)
    assert (wide.low, wide.high) == (DATES_POINT * Decimal("0.1"), DATES_POINT * Decimal("0.65"))


def test_a_comparison_that_does_not_hold_the_means_is_widened_to_them() -> None:
    ours = member("a", "dates", 0.9, over=GENERALIST, lead=Interval(0.1, 0.2, 0.95))
    low, mean, high = lead(ours, BASE["dates"])
    assert (low, mean, high) == (Decimal("0.1"), Decimal("0.8"), Decimal("0.8"))


POPULATIONS = st.lists(
    st.tuples(st.sampled_from(("dates", "cron", "poems")), st.floats(0, 1), st.integers(0, GIB)),
    max_size=6,
).map(
    lambda rows: Population(
        BASE,
        tuple(
            member(f"m{k}", task, quality, size, low=max(0.0, quality - 0.1), high=min(1.0, quality + 0.1))
            for k, (task, quality, size) in enumerate(rows)
        ),
    )
)


@given(POPULATIONS, st.sampled_from((POLICY, DEAR)))
def test_each_member_is_worth_what_is_lost_without_it(population: Population, policy: Policy) -> None:
    found = leave_one_out(population, TASKS, policy)
    assert found.keys() == {m.served_name for m in population.members}
    whole = value(population, TASKS, policy)
    for name, worth in found.items():
        assert worth.low <= worth.point <= worth.high
        assert abs(worth.point - (whole - value(population.without(name), TASKS, policy))) < ROUNDING


@given(POPULATIONS)
def test_members_of_different_tasks_are_worth_together_what_each_is_worth(population: Population) -> None:
    one_each = {m.task: m for m in population.members}
    alone = replace(population, members=tuple(one_each.values()))
    together = value(alone, TASKS, POLICY) - value(Population(BASE), TASKS, POLICY)
    apart = sum((d.point for d in leave_one_out(alone, TASKS, POLICY).values()), Decimal(0))
    assert abs(together - apart) < ROUNDING


@given(POPULATIONS)
def test_the_members_are_worth_together_no_less_than_each_of_them_adds_at_the_end(
    population: Population,
) -> None:
    together = value(population, TASKS, POLICY) - value(Population(BASE), TASKS, POLICY)
    apart = sum((d.point for d in leave_one_out(population, TASKS, POLICY).values()), Decimal(0))
    assert together >= apart - ROUNDING


def test_of_two_that_are_alike_each_is_worth_its_upkeep_less_than_nothing() -> None:
    twins = Population(BASE, (member("a", "dates", 0.5, GIB), member("b", "dates", 0.5, GIB)))
    upkeep = 720 * Decimal("0.01")
    found = leave_one_out(twins, TASKS, POLICY)
    assert {d.point for d in found.values()} == {-upkeep}
    assert found["a"].high == -upkeep


def test_the_generalist_is_known_from_the_baseline_where_the_standing_does_not_say() -> None:
    here = situation(State.EVALUATING, evidence=evidence())
    assert today(here).generalist["cron"].quality == pytest.approx(0.05)
    told = replace(here, standing=Standing((member(GENERALIST, "cron", 0.07, tokens=4.0),)))
    assert (today(told).generalist["cron"].tokens, today(told).generalist["dates"].quality) == (4.0, 0.1)
    assert today(replace(here, evidence=Evidence())).generalist == {}


def test_a_task_without_traffic_changes_nothing() -> None:
    silent = SuiteTask("dates", Role.TASK, Scope.ADAPTER, 0.0, Decimal(1), 0.0)
    assert delta(situation(State.EVALUATING, tasks=(silent,)), exactly(0.5)).point < 0


def test_a_population_without_a_member_has_the_others() -> None:
    one, other = member("a", "dates", 0.5), member("b", "cron", 0.5)
    assert Population(BASE, (one, other)).without("a", "c").members == (other,)


def test_the_order_of_the_tasks_changes_no_bound() -> None:
    ours = member("a", "dates", 0.5, low=0.3, high=0.7)
    ends = Population(BASE), Population(BASE, (ours,))
    assert change(*ends, tuple(reversed(TASKS)), POLICY) == change(*ends, TASKS, POLICY)


def test_a_comparison_with_a_third_bounds_nothing_between_two() -> None:
    ours = member("a", "dates", 0.5, low=0.4, high=0.6)
    theirs = member("b", "dates", 0.3, low=0.2, high=0.35, over="c", lead=Interval(0.1, 0.2, 0.95))
    assert lead(ours, theirs) == (Decimal("0.05"), Decimal("0.2"), Decimal("0.4"))
    assert lead(ours, replace(theirs, over="a", lead=None)) == lead(ours, theirs)


def test_the_generalist_of_the_baseline_takes_no_room() -> None:
    assert today(situation(State.EVALUATING)).generalist["cron"] == Member(GENERALIST, "cron", 0.05, 0)


def test_a_candidate_has_the_name_the_task_and_the_size_of_its_revision() -> None:
    here = situation(State.EVALUATING)
    large = replace(here.artifact, resident_bytes=GIB) if here.artifact is not None else None
    known = member("before", "cron", 0.6, tokens=2.0)
    ours = candidate(replace(here, artifact=large, standing=Standing((), (), known)), 0.7)
    assert ours == member(NAME, "dates", 0.7, GIB, tokens=2.0)


def test_a_candidate_that_is_not_measured_takes_over_no_comparison_of_the_incumbent() -> None:
    lead_of_old = Interval(0.1, 0.2, 0.95)
    old = member("dates-cccccccccccc", "dates", 0.3, over=GENERALIST, lead=lead_of_old)
    here = situation(State.EVALUATING, members=(old,))
    scored = replace(here.evidence, incumbent=right("dates", old.served_name, 0.3))
    ours = candidate(replace(here, evidence=scored), 0.7)
    assert (ours.over, ours.lead) == ("", None)


def test_the_evaluation_of_a_candidate_is_charged_for_the_answers_that_it_gives() -> None:
    here = situation(State.EVALUATING)
    fewer = dict(here.evidence.baseline) | {"cron": right("cron", GENERALIST, 0.05, 20)}
    ours = candidate(replace(here, evidence=replace(here.evidence, baseline=fewer)), 0.7)
    assert ours.review == Cost(cpu_seconds=Decimal(100))  # 100 of its task, 100 of the invariant


def test_a_task_that_nobody_has_answered_is_worth_what_the_candidate_is_to_reach() -> None:
    here = situation(State.PENDING, artifact=None, policy=replace(POLICY, misrouting=0.25))
    blank = replace(here, evidence=replace(here.evidence, incumbent=None))
    upkeep = Decimal(MEMBER.resident_bytes) / GIB * 720 * Decimal("0.01")
    reached = DATES_POINT * (Decimal("0.75") * Decimal("0.6") + Decimal("0.25") * Decimal("0.1"))
    assert abs(expected_gain(blank) - (reached - upkeep)) < ROUNDING


def test_an_incumbent_that_the_population_does_not_list_serves_with_the_score_it_was_given() -> None:
    here = situation(State.EVALUATING, policy=replace(POLICY, misrouting=0.25))
    scored = Evidence(incumbent=right("dates", GENERALIST, 0.4))
    upkeep = Decimal(5 * 2**20) / GIB * 720 * Decimal("0.01")
    # A quarter of the requests goes astray, and there is nobody who would answer them.
    lost = DATES_POINT * Decimal("0.25") * Decimal("0.4")
    found = delta(replace(here, evidence=scored), exactly(0.0)).point
    assert abs(found - (-lost - upkeep)) < ROUNDING


def test_what_goes_astray_is_paid_for_as_the_generalists_answer() -> None:
    dear = replace(POLICY, misrouting=0.25, prices=replace(POLICY.prices, token_million=Decimal(10)))
    ours = (member("a", "dates", 0.5),)
    free, paid = (
        value(Population({"dates": member(GENERALIST, "dates", 0.1, tokens=t)}, ours), (TASKS[0],), dear)
        for t in (0.0, 20.0)
    )
    assert free - paid == REQUESTS * Decimal("0.3") * Decimal("0.25") * Decimal("0.0002")
