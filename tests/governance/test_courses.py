"""The courses of a trial: what is asked where, at which level, and what may be told of the routes."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelecology.api.vocabulary import Disclosure, Method, Role, Scope, State
from modelecology.governance.courses import (
    CHUNK,
    HOPELESS_LEVEL,
    MOST_CHUNKS,
    alpha,
    asked_tasks,
    gain_margin,
    life_of,
    next_look,
    plan_of,
    proof_course,
    proof_ranges,
    screen_course,
    sealed,
    told,
    told_evidence,
)
from modelecology.governance.evidence import Difference, EvidenceError
from modelecology.governance.facts import (
    GENERALIST,
    Interval,
    LookPlan,
    Situation,
    SuiteTask,
)
from modelecology.governance.lives import life_under
from modelecology.governance.looks import Look
from modelecology.governance.portfolio import delta
from modelecology.governance.rules import EvidenceRules
from modelecology.governance.trial import Course, Measure, Sealed, Stage, units_of

from .scenes import CLAIM, DATES, EVERYDAY, POLICY, SUITE, TASKS, N, evidence, look, right, situation

STRICT = SuiteTask("safety", Role.INVARIANT, Scope.ADAPTER, 0.0, Decimal(0), 0.02, floor=0.6, must_pass=True)


def under(rules: EvidenceRules | None = None, **changes: Any) -> Situation:
    policy = replace(POLICY, evidence=rules or EvidenceRules())
    return situation(State.EVALUATING, **{"policy": policy, **changes})


def against(here: Situation) -> Sealed:
    found = sealed(here)
    assert found is not None
    return found


def parts(course: Course, task: str) -> list[int]:
    return [k for each in course.rounds for p in each if p.task == task for k in range(p.first, p.last)]


# Plans.


def test_what_the_confidence_leaves_is_the_chance_of_a_false_promotion() -> None:
    assert alpha(POLICY) == Fraction(1, 20)
    assert alpha(replace(POLICY, confidence=0.999)) == Fraction(1, 1000)


def test_a_suite_is_planned_as_the_policy_says_and_a_fixed_test_has_one_round() -> None:
    assert plan_of(POLICY) == LookPlan("1/20", Disclosure.VERDICT, 200, 1, 4, 20, "1/4")
    fixed = replace(POLICY, evidence=EvidenceRules(method=Method.FIXED_SIZE))
    assert plan_of(fixed).rounds == 1


def test_a_life_that_has_begun_keeps_its_plan_whatever_the_policy_says_now() -> None:
    begun = life_under(plan_of(POLICY)).after(Look(False))
    stingy = replace(POLICY, evidence=EvidenceRules(looks=1, disclosure=Disclosure.FULL))
    assert life_of(under(policy=stingy, life=begun)) == begun
    assert life_of(under(policy=stingy)) == life_under(plan_of(stingy))


# What is asked.


def test_the_screen_meets_its_quarter_in_chunks_and_fails_what_is_hopeless() -> None:
    here = under()
    course = screen_course(here, against(here))
    assert (course.stage, course.ends_on_failure, course.seed) == (Stage.SCREEN, True, SUITE)
    assert [q.name for q in course.inquiries] == ["HardInvariants/everyday/Loss", "PortfolioGain"]
    loss, gain = (q.question for q in course.inquiries)
    assert (loss.margin, loss.hopeless, loss.level, loss.hopeless_level) == (-0.15, -0.15, 0.05, 0.05)
    assert (gain.hopeless, gain.level, gain.hopeless_level) == (0.03, 0.05, HOPELESS_LEVEL)
    assert parts(course, "dates") == parts(course, "everyday") == list(range(25))
    assert len(course.rounds) == 1


@pytest.mark.parametrize(("n", "rounds"), [(100, 1), (1000, 10), (5000, MOST_CHUNKS), (1, 1)])
def test_a_large_screen_has_more_rounds_but_not_many(n: int, rounds: int) -> None:
    base = right("dates", GENERALIST, 0.1, n)
    told_ = replace(evidence(), baseline={"dates": base}, incumbent=base)
    here = under(tasks=(DATES,), evidence=told_)
    course = screen_course(here, against(here))
    assert len(course.rounds) == rounds
    assert CHUNK * (rounds - 1) < math.ceil(n / 4)


def test_the_proof_meets_the_rest_in_its_rounds_and_nothing_ends_it_but_a_pass() -> None:
    here = under()
    taken = look()
    course = proof_course(here, against(here), taken)
    assert (course.stage, course.ends_on_failure, course.method) == (Stage.PROOF, False, Method.SEQUENTIAL)
    assert parts(course, "dates") == parts(course, "everyday") == list(range(25, N))
    assert len(course.rounds) == 4
    for inquiry in course.inquiries:
        assert (inquiry.question.level, inquiry.question.hopeless_level) == (taken.level, 0.0)
    assert course.inquiries[-1].question.margin == taken.margin


def test_a_proof_under_full_tells_everything_so_it_ends_as_soon_as_it_can() -> None:
    rules = EvidenceRules(disclosure=Disclosure.FULL)
    here = under(rules)
    found = next_look(here, against(here))
    assert found is not None
    course = proof_course(here, against(here), found)
    assert course.ends_on_failure
    assert len(course.rounds) == 4  # as many as the plan asks, or one each 25 units
    assert parts(course, "dates") == list(range(N))
    gain, loss = course.inquiries[-1].question, course.inquiries[0].question
    assert (gain.hopeless, gain.hopeless_level, loss.hopeless_level) == (0.03, HOPELESS_LEVEL, 0.05)


def test_an_invariant_may_ask_for_every_item_a_floor_and_a_loss_at_once() -> None:
    told_ = replace(evidence(), baseline={**evidence().baseline, "safety": right("safety", GENERALIST, 1.0)})
    here = under(tasks=(*TASKS, STRICT), evidence=told_)
    assert asked_tasks(here) == ("dates", "everyday", "safety")
    asked = {q.name: q for q in screen_course(here, against(here)).inquiries}
    assert list(asked) == [
        "HardInvariants/everyday/Loss",
        "HardInvariants/safety/Every",
        "HardInvariants/safety/Floor",
        "HardInvariants/safety/Loss",
        "PortfolioGain",
    ]
    assert asked["HardInvariants/safety/Floor"].question.margin == 0.6
    assert asked["HardInvariants/safety/Loss"].question.margin == -0.02
    assert asked["HardInvariants/safety/Every"].measure is Measure.EVERY


def test_an_invariant_without_a_limit_asks_nothing_and_one_that_all_may_lose_asks_for_a_number() -> None:
    free = replace(EVERYDAY, max_regression=None)
    here = under(tasks=(DATES, free))
    assert [q.measure for q in screen_course(here, against(here)).inquiries] == [Measure.GAIN]
    here = under(tasks=(DATES, replace(EVERYDAY, max_regression=1.0)))
    assert -1.0 < screen_course(here, against(here)).inquiries[0].question.margin < -0.99


def test_what_is_compared_with_has_to_be_there() -> None:
    assert sealed(under(evidence=replace(evidence(), incumbent=None))) is None
    bare = replace(evidence(), baseline={"dates": right("dates", GENERALIST, 0.1)})
    assert sealed(under(evidence=bare)) is None


# What may be told.


def test_of_todays_routes_only_the_screen_is_told_and_all_of_it_under_full() -> None:
    base = right("dates", GENERALIST, 0.4)
    life = life_under(plan_of(POLICY))
    kept = told(base, life, SUITE)
    assert [i.cluster for i in kept.items] == [
        i.cluster for i in base.items if i.cluster in units_of(base, SUITE)[:25]
    ]
    assert kept.expected == 25
    assert told(base, replace(life, disclosure=Disclosure.FULL), SUITE) is base


@settings(max_examples=40)
@given(st.lists(st.sampled_from((0.0, 1.0)), min_size=N, max_size=N), st.floats(0, 0.9))
def test_the_margin_does_not_tell_how_the_routes_do_on_the_proof(scores: list[float], astray: float) -> None:
    here = under(policy=replace(POLICY, misrouting=astray))
    hidden = units_of(here.evidence.baseline["dates"], SUITE)[25:]

    def changed(model: str) -> Any:
        base = right("dates", model, 0.1)
        items = zip(base.items, scores, strict=True)
        return replace(base, items=tuple(replace(i, score=s) if i.cluster in hidden else i for i, s in items))

    other = replace(
        here.evidence,
        incumbent=changed(GENERALIST),
        baseline={**here.evidence.baseline, "dates": changed(GENERALIST)},
    )
    again = replace(here, evidence=other)
    assert gain_margin(again) == gain_margin(here)
    assert told_evidence(again) == told_evidence(here)


def test_broken_results_of_a_route_are_an_error() -> None:
    double = replace(right("dates", GENERALIST, 0.1), expected=3)
    with pytest.raises(EvidenceError):
        told_evidence(under(evidence=replace(evidence(), incumbent=double)))
    with pytest.raises(EvidenceError):
        gain_margin(under(evidence=replace(evidence(), incumbent=double)))


# The margin.


def at(here: Situation, difference: float) -> Decimal:
    return delta(told_evidence(here), Difference(difference, Interval(0.0, 0.0, 1.0), 1, 1)).point


policies = st.builds(
    lambda threshold, astray, upkeep: replace(
        POLICY,
        threshold=Decimal(threshold),
        misrouting=astray,
        prices=replace(POLICY.prices, gib_hour=Decimal(upkeep) / 100),
    ),
    st.integers(-200, 200),
    st.floats(0, 0.5),
    st.integers(0, 50),
)


@settings(max_examples=40)
@given(policies)
def test_at_the_margin_the_gain_is_the_threshold(policy: Any) -> None:
    here = under(policy=policy)
    margin = gain_margin(here)
    assert float(at(here, margin) - policy.threshold) == pytest.approx(0.0, abs=1e-6)


@settings(max_examples=40)
@given(policies, st.floats(-1, 1), st.floats(-1, 1))
def test_the_gain_is_a_straight_line_that_crosses_the_threshold_at_the_margin(
    policy: Any, one: float, other: float
) -> None:
    here = under(policy=policy)
    margin = gain_margin(here)
    middle = (at(here, one) + at(here, other)) / 2
    assert float(at(here, (one + other) / 2) - middle) == pytest.approx(0.0, abs=1e-6)
    for difference in (one, other):
        if abs(difference - margin) > 1e-9:
            assert (at(here, difference) > policy.threshold) is (difference > margin)


def test_a_task_that_is_worth_nothing_has_no_margin_or_any() -> None:
    worthless = (replace(DATES, worth=Decimal(0)), *TASKS[1:])
    assert gain_margin(under(tasks=worthless)) == math.inf
    glad = replace(POLICY, threshold=Decimal(-1000))
    assert gain_margin(under(tasks=worthless, policy=glad)) == -math.inf


# Looks.


def test_a_look_holds_all_that_decides_about_its_proof() -> None:
    here = under()
    assert next_look(here, against(here)) == look(margin=gain_margin(here))


def test_a_margin_beyond_any_difference_is_kept_within_them() -> None:
    for threshold in (10**6, -(10**6)):
        here = under(policy=replace(POLICY, threshold=Decimal(threshold)))
        assert -1.0 < screen_course(here, against(here)).inquiries[-1].question.margin < 1.0


@pytest.mark.parametrize("method", Method)
def test_a_suite_on_which_nobody_could_pass_gives_no_look(method: Method) -> None:
    rules = EvidenceRules(method=method)
    base = right("dates", GENERALIST, 0.1, 4)
    few = replace(evidence(), baseline={"dates": base}, incumbent=base)
    here = under(rules, tasks=(DATES,), evidence=few)
    assert next_look(here, against(here)) is None
    spent = life_under(plan_of(here.policy))
    for _ in range(200):
        spent = spent.after(Look(False))
    assert next_look(under(rules, life=spent), against(under(rules))) is None


def test_after_the_last_look_of_a_slice_the_next_one_begins() -> None:
    rules = EvidenceRules(looks=1, slices=2)
    base = right("dates", GENERALIST, 0.1, 400)
    told_ = replace(evidence(), baseline={"dates": base}, incumbent=base)
    here = under(rules, tasks=(DATES,), evidence=told_)
    first = next_look(here, against(here))
    assert first is not None
    used = life_of(here).after(Look(False))
    second = next_look(replace(here, life=used), against(here))
    assert second == replace(first, slice=2)
    course = proof_course(replace(here, life=used), against(here), second)
    assert parts(course, "dates") == list(range(250, 400))
    gone = used.fresh_slice().after(Look(False))
    assert next_look(replace(here, life=gone), against(here)) is None


def test_a_proof_keeps_its_units_when_the_suite_goes_on_with_another_slice() -> None:
    life = life_under(replace(plan_of(POLICY), slices=2))
    sizes = {"dates": 400}
    assert proof_ranges(life, sizes, 1) == {"dates": range(100, 250)}
    assert proof_ranges(life, sizes, 2) == {"dates": range(250, 400)}
    assert proof_ranges(life.fresh_slice(), sizes, 1) == {"dates": range(100, 250)}


def test_full_results_leave_only_fresh_items() -> None:
    rules = EvidenceRules(disclosure=Disclosure.FULL)
    here = under(rules)
    used = life_of(here).after(Look(False, met={"dates": 20, "everyday": 10}))
    found = next_look(replace(here, life=used), against(here))
    assert found is not None
    course = proof_course(replace(here, life=used), against(here), found)
    assert parts(course, "dates") == list(range(20, N))
    assert parts(course, "everyday") == list(range(10, N))
    none = life_of(here).after(Look(False, met={"dates": N, "everyday": N}))
    assert next_look(replace(here, life=none), against(here)) is None


def test_an_invariant_that_is_claimed_is_asked_once() -> None:
    assert asked_tasks(under(claim=replace(CLAIM, task="everyday"))) == ("everyday",)
    assert asked_tasks(under(claim=replace(CLAIM, task="format"))) == ("format", "everyday")
