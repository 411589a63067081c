"""Evaluating: the screen sends away, the proof decides, and no more is said of it than may be told."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Disclosure, Method, Outcome, State
from modelecology.governance.courses import gain_margin, plan_of
from modelecology.governance.decide import decide
from modelecology.governance.facts import (
    GENERALIST,
    Evidence,
    Met,
    Verdict,
)
from modelecology.governance.judgement import course_of, look_of
from modelecology.governance.lives import life_under
from modelecology.governance.looks import Look
from modelecology.governance.rules import EvidenceRules
from modelecology.governance.trial import Course

from .scenes import (
    CLAIM,
    DATES,
    EVERYDAY,
    FULL,
    NAME,
    POLICY,
    TASKS,
    N,
    answered,
    evaluating,
    evidence,
    full,
    look,
    names,
    proving,
    right,
    scored,
    units_in_order,
    verdict,
    wait,
)

SCREEN = (
    "EvidenceComplete",
    "HardInvariants",
    "HardInvariants/everyday",
    "HardInvariants/format",
    "PortfolioGain",
)
STRICT = (DATES, replace(EVERYDAY, max_regression=None, must_pass=True))
FLOOR = (DATES, replace(EVERYDAY, max_regression=None, floor=0.5))


# The screen.


def test_a_candidate_that_the_screen_finds_nothing_against_gets_a_proof() -> None:
    found = verdict(decide(evaluating()))
    assert (found.transition.action, found.transition.target) == (Action.PROVE, State.EVALUATING)
    assert found.reason is Reason.SCREEN_SURVIVED
    assert found.outcome is Outcome.PASS
    assert names(found) == (*SCREEN, "CapacityFree")
    assert found.message == (
        "The screen found nothing against it. Its proof is look 1 of 200 at this suite, with a chance of "
        "0.013 of a false pass; the gain has to exceed +0.000."
    )
    assert found.look == look()
    card = found.scorecard
    assert card is not None
    assert (card.incumbent, card.n) == (GENERALIST, 25)
    assert card.score > card.incumbent_score


def test_what_is_not_proven_on_the_screen_is_left_to_the_proof() -> None:
    found = verdict(decide(evaluating(evidence(candidate=0.1, everyday=0.7))))
    assert found.transition.action is Action.PROVE
    assert [c.outcome for c in found.checks[1:5]] == [
        Outcome.INCONCLUSIVE,
        Outcome.INCONCLUSIVE,
        Outcome.PASS,
        Outcome.INCONCLUSIVE,
    ]


def test_a_broken_invariant_is_rejected_whatever_the_gain() -> None:
    found = verdict(decide(evaluating(evidence(candidate=1.0, everyday=0.02))))
    assert found.transition.action is Action.REJECT
    assert found.reason is Reason.HARD_INVARIANT_FAILURE
    assert found.outcome is Outcome.FAIL
    assert found.message.startswith("Hard invariant failure. everyday: 0.0")
    assert "asked: at most 0.15 lost; 25 items." in found.message
    assert names(found) == SCREEN
    assert found.checks[4].outcome is Outcome.PASS  # the gain is reported, and does not help
    assert found.look is None


def test_one_miss_on_what_must_pass_is_rejected_at_once() -> None:
    told = replace(
        evidence(), baseline={**evidence().baseline, "everyday": right("everyday", "generalist", 1)}
    )
    told = answered(told, right("everyday", NAME, 0.99))
    missed = next(i for i in range(N) if right("everyday", NAME, 0.99).items[i].score == 0.0)
    on_screen = any(i.score == 0.0 for i in told.screen["everyday"].items)
    found = verdict(decide(evaluating(told, tasks=STRICT)))
    assert missed == N - 1
    assert (found.transition.action is Action.REJECT) is on_screen
    proof = verdict(decide(proving(evidence=told, tasks=STRICT)))
    assert (proof.transition.action is Action.SHELVE) is not on_screen


@pytest.mark.parametrize("tasks", [STRICT, FLOOR])
def test_candidates_that_hold_what_is_asked_are_admitted(tasks: Any) -> None:
    told = answered(evidence(), right("everyday", NAME, 1.0))
    assert verdict(decide(evaluating(told, tasks=tasks))).transition.action is Action.PROVE
    assert verdict(decide(proving(evidence=told, tasks=tasks))).transition.action is Action.ADMIT


def test_a_score_below_the_floor_is_rejected() -> None:
    found = verdict(decide(evaluating(answered(evidence(), right("everyday", NAME, 0.1)), tasks=FLOOR)))
    assert found.reason is Reason.HARD_INVARIANT_FAILURE
    assert "asked: at least 0.50;" in found.message


def test_a_gain_that_is_too_small_is_shelved_with_its_numbers() -> None:
    dear = replace(POLICY, threshold=Decimal(250))
    found = verdict(decide(evaluating(evidence(candidate=0.1), policy=dear)))
    assert found.transition.action is Action.SHELVE
    assert found.reason is Reason.GAIN_DOES_NOT_REPAY
    assert found.outcome is Outcome.FAIL
    assert found.message.startswith(
        "The portfolio's gain does not repay its cost. dates: +0.00 against the generalist, between "
    )
    assert "; the portfolio gains -0.0" in found.message
    assert "more than 250.00 is asked; 25 items" in found.message
    assert names(found) == SCREEN


def test_a_task_that_is_worth_nothing_is_shelved_for_its_gain_and_not_for_the_suite() -> None:
    for disclosure in Disclosure:
        policy = replace(POLICY, threshold=Decimal(10**6), evidence=EvidenceRules(disclosure=disclosure))
        # Also on a suite that is spent.
        life = life_under(replace(plan_of(policy), looks=1)).after(Look(False))
        found = verdict(decide(evaluating(evidence(candidate=0.9), policy=policy, life=life)))
        assert found.transition.action is Action.SHELVE
        assert found.reason is Reason.GAIN_DOES_NOT_REPAY
    worthless = (replace(DATES, worth=Decimal(0)), *TASKS[1:])
    found = verdict(decide(evaluating(evidence(candidate=0.5), tasks=worthless)))
    assert found.reason is Reason.GAIN_DOES_NOT_REPAY


def test_a_full_engine_is_waited_for_before_the_proof_is_opened() -> None:
    found = wait(decide(evaluating(residents=4)))
    assert found.reason is Reason.CAPACITY_FULL
    assert found.message.startswith("4 of 4 adapter slots are taken.")
    assert tuple(str(c.name) for c in found.checks) == (*SCREEN, "CapacityFree")


def test_a_full_engine_does_not_keep_a_bad_candidate_waiting() -> None:
    found = verdict(decide(evaluating(evidence(everyday=0.0), residents=4)))
    assert found.transition.action is Action.REJECT


# The proof.


def test_a_candidate_that_passes_its_proof_is_admitted() -> None:
    found = verdict(decide(proving()))
    assert (found.transition.action, found.transition.target) == (Action.ADMIT, State.SHADOW)
    assert found.reason is Reason.GAIN_PROVEN
    assert names(found) == ("ProofPassed",)
    assert found.look == look(passed=True, round=4, trial="t" * 64)
    assert found.message == (
        "The proof passed after round 4 of 4. All hard invariants hold and the portfolio gains."
    )


@pytest.mark.parametrize(
    "told",
    [
        evidence(candidate=0.1),
        evidence(candidate=0.0),
        evidence(everyday=0.0),
        evidence(everyday=0.6),
        evidence(candidate=0.0, everyday=0.0),
    ],
)
def test_whatever_a_proof_lacks_one_that_does_not_pass_says_the_same(told: Evidence) -> None:
    found = verdict(decide(proving(evidence=told)))
    assert found.transition.action is Action.SHELVE
    assert found.reason is Reason.PROOF_NOT_PASSED
    assert found.outcome is Outcome.INCONCLUSIVE
    assert names(found) == ("ProofPassed",)
    assert found.message == (
        "The proof did not pass. More is not told under policy.evidence.disclosure Verdict: the next "
        "candidate could be built from it."
    )
    assert found.look == look(trial="t" * 64)


def test_a_proof_ends_when_all_questions_have_passed_and_says_after_which_round() -> None:
    easy = (DATES, replace(EVERYDAY, max_regression=0.6))
    told = evidence(candidate=1.0, incumbent=0.0)
    course = course_of(proving(evidence=told, tasks=easy))
    assert isinstance(course, Course)
    half = {p.task: p.last for each in course.rounds[:2] for p in each}
    assert half == {"dates": 62, "everyday": 62}
    two = first_rounds(told, course, 2)
    found = verdict(decide(proving(evidence=two, tasks=easy)))
    assert found.transition.action is Action.ADMIT
    assert found.look is not None
    assert (found.look.round, found.message[:38]) == (2, "The proof passed after round 2 of 4. A")


def first_rounds(told: Evidence, course: Course, rounds: int) -> Evidence:
    """The evidence of a proof that ended after so many rounds."""
    last = {p.task: p.last - 25 for each in course.rounds[:rounds] for p in each}
    kept = {}
    for task, results in told.proof.items():
        names = [c for c in units_in_order(results) if c][: last[task]]
        items = tuple(i for i in results.items if i.cluster in names)
        kept[task] = replace(results, items=items, expected=len(items))
    return replace(told, proof=kept)


def test_a_proof_goes_on_under_the_look_that_opened_it_whatever_the_policy_says_now() -> None:
    stingy = replace(POLICY, confidence=0.999, threshold=Decimal(10**6), adapters=1)
    assert verdict(decide(proving(policy=stingy))).transition.action is Action.ADMIT
    easy = replace(POLICY, confidence=0.6, evidence=EvidenceRules(disclosure=Disclosure.FULL))
    told = evidence(candidate=0.1)
    assert verdict(decide(proving(policy=easy, evidence=told))).reason is Reason.PROOF_NOT_PASSED


def test_a_proof_on_another_suite_says_nothing_about_this_one() -> None:
    here = proving(look(suite="sha256:old"), life=None)
    assert look_of(here) is None
    found = verdict(decide(here))
    assert found.transition.action is Action.PROVE
    assert found.look == look()


# What is told.

bits = st.lists(st.sampled_from((0.0, 0.5, 1.0)), min_size=N, max_size=N)


def redrawn(told: Evidence, scores: list[float], task: str) -> Evidence:
    """The same screen, and other answers on the proof."""
    results = told.proof[task]
    items = tuple(replace(i, score=s) for i, s in zip(results.items, scores, strict=False))
    return replace(told, proof={**told.proof, task: replace(results, items=items)})


@settings(max_examples=60)
@given(bits, bits, st.floats(0.5, 1.0))
def test_under_verdict_nothing_depends_on_the_proof_but_whether_it_passed_and_when(
    ours: list[float], kept: list[float], share: float
) -> None:
    base = evidence(candidate=share)
    one = verdict(decide(proving(evidence=base)))
    other = verdict(decide(proving(evidence=redrawn(redrawn(base, ours, "dates"), kept, "everyday"))))
    assert one.look is not None
    assert other.look is not None
    if (one.look.passed, one.look.round) == (other.look.passed, other.look.round):
        assert one == other
    assert (other.look.lead, other.look.met) == (None, ())
    assert other.look.round == 0 or other.look.passed


@settings(max_examples=40)
@given(bits, st.data())
def test_under_rounded_no_more_is_told_than_a_new_best_lead(ours: list[float], data: st.DataObject) -> None:
    policy = replace(POLICY, evidence=EvidenceRules(disclosure=Disclosure.ROUNDED, grid=4))
    mixed = data.draw(st.permutations(ours))
    base = evidence(candidate=0.1)
    one, other = (
        verdict(decide(proving(look(policy), policy=policy, evidence=redrawn(base, scores, "dates"))))
        for scores in (ours, mixed)
    )
    assert one.look is not None
    assert other.look is not None
    told = ("passed", "round", "lead")
    if all(getattr(one.look, n) == getattr(other.look, n) for n in told):
        assert one == other
    assert one.look.lead is None or 1 <= one.look.lead <= 4


def test_a_new_best_lead_is_told_and_only_then() -> None:
    policy = replace(POLICY, evidence=EvidenceRules(disclosure=Disclosure.ROUNDED))
    here = proving(look(policy), policy=policy, evidence=evidence(candidate=0.4, everyday=0.3))
    found = verdict(decide(here))
    assert found.look is not None
    assert found.look.lead is not None
    assert f"Its lead is at least {found.look.lead / 20:+.2f}, a new best." in found.message
    assert here.life is not None
    known = replace(here, life=replace(here.life, best=20))
    again = verdict(decide(known))
    assert again.look is not None
    assert again.look.lead is None
    assert "lead" not in again.message


# Everything told.


@pytest.mark.parametrize(
    ("told", "action", "reason"),
    [
        (evidence(), Action.ADMIT, Reason.GAIN_PROVEN),
        (evidence(everyday=0.0), Action.REJECT, Reason.HARD_INVARIANT_FAILURE),
        (evidence(candidate=0.0), Action.SHELVE, Reason.GAIN_DOES_NOT_REPAY),
        (evidence(candidate=0.12), Action.SHELVE, Reason.PROOF_NOT_PASSED),
    ],
)
def test_under_full_every_result_of_the_proof_is_told(told: Evidence, action: Action, reason: Reason) -> None:
    if action is Action.SHELVE and reason is Reason.GAIN_DOES_NOT_REPAY:
        told = replace(told, incumbent=right("dates", GENERALIST, 0.5))
        told = replace(told, baseline={**told.baseline, "dates": right("dates", GENERALIST, 0.5)})
    found = verdict(decide(full(told)))
    assert (found.transition.action, found.reason) == (action, reason)
    assert names(found) == (*SCREEN, "ProofPassed")
    assert found.scorecard is not None
    assert found.look is not None
    assert found.look.met == (Met("dates", N), Met("everyday", N))
    assert found.look.round == 4


def test_under_full_the_proof_is_opened_without_a_screen_and_one_after_the_other() -> None:
    here = evaluating(replace(evidence(), screen={}), policy=FULL)
    found = verdict(decide(here))
    assert names(found) == ("CapacityFree",)
    assert found.message.startswith("Its proof is look 1 of 200 at this suite,")
    busy = replace(here, life=life_under(plan_of(FULL)).opened("u2/b"))
    waiting = wait(decide(busy))
    assert waiting.reason is Reason.QUEUED
    assert waiting.message == (
        "Another candidate's proof is under way; under disclosure Full no item is met twice."
    )


@pytest.mark.parametrize("told", [evidence(), evidence(candidate=0.1)])
def test_a_fixed_test_decides_once_over_all_items(told: Evidence) -> None:
    fixed = replace(POLICY, evidence=EvidenceRules(method=Method.FIXED_SIZE))
    taken = look(fixed)
    assert taken.plan.rounds == 1
    found = verdict(decide(proving(taken, policy=fixed, evidence=told)))
    better = told.proof["dates"].mean > 0.5
    assert found.transition.action is (Action.ADMIT if better else Action.SHELVE)


# A broken judge.


# What is waited for.


def test_results_that_are_not_in_are_waited_for_with_what_is_asked() -> None:
    found = wait(decide(evaluating(replace(evidence(), screen={}))))
    assert found.reason is Reason.EVALUATING
    assert found.message == "The screen asks at most 25 of dates, 25 of everyday."
    found = wait(decide(proving(evidence=replace(evidence(), proof={}))))
    assert found.message == "The proof asks at most 75 of dates, 75 of everyday."


def test_the_routes_of_today_are_waited_for() -> None:
    for lacking in (replace(evidence(), incumbent=None), replace(evidence(), baseline={})):
        for here in (evaluating(lacking), proving(evidence=lacking)):
            found = wait(decide(here))
            assert found.reason is Reason.BASELINE_RUNNING
            assert "dates" in found.message


def test_a_suite_that_lost_the_task_is_waited_for() -> None:
    for here in (evaluating(tasks=(EVERYDAY,)), proving(tasks=(EVERYDAY,))):
        assert wait(decide(here)).reason is Reason.TASK_NOT_IN_SUITE


def test_an_invariant_that_is_the_claimed_task_is_asked_once() -> None:
    claimed = replace(CLAIM, task="everyday")
    told = replace(evidence(), screen={}, incumbent=right("everyday", GENERALIST, 0.75))
    found = wait(decide(evaluating(told, claim=claimed)))
    assert found.message == "The screen asks at most 25 of everyday."


# Levels.


@settings(max_examples=12)
@given(st.lists(st.booleans(), max_size=4))
def test_the_next_proof_is_given_what_the_suites_life_leaves(ends: list[bool]) -> None:
    life = life_under(plan_of(POLICY))
    for end in ends:
        life = life.after(Look(end))
    found = decide(evaluating(life=life))
    if isinstance(found, Verdict):
        assert found.look is not None
        assert found.look.level == float(life.next_level())
        assert found.message.startswith(
            f"The screen found nothing against it. Its proof is look {len(ends) + 1} of 200"
        )
    else:
        assert found.reason is Reason.SUITE_EXHAUSTED
        assert True in ends


@settings(max_examples=30)
@given(st.floats(0.5, 0.999), st.floats(0, 1))
def test_a_lower_level_never_passes_more(level: float, share: float) -> None:
    strict, lenient = look(level=(1 - level) / 10), look(level=1 - level)
    told = evidence(candidate=share)
    if verdict(decide(proving(strict, evidence=told))).transition.action is Action.ADMIT:
        assert verdict(decide(proving(lenient, evidence=told))).transition.action is Action.ADMIT


def test_clusters_are_the_units_of_a_course() -> None:
    clusters = [f"c{k // 2}" for k in range(N)]
    base = scored("dates", GENERALIST, [0.0] * N, clusters)
    told = replace(evidence(), baseline={"dates": base}, incumbent=base)
    asked = wait(decide(evaluating(replace(told, screen={}), tasks=(DATES,))))
    assert asked.message == "The screen asks at most 13 of dates."
    told = answered(told, scored("dates", NAME, [1.0] * N, clusters))
    told = replace(told, screen={"dates": told.screen["dates"]}, proof={"dates": told.proof["dates"]})
    assert verdict(decide(evaluating(told, tasks=(DATES,)))).transition.action is Action.PROVE
    taken = look(margin=gain_margin(evaluating(told, tasks=(DATES,))))
    assert verdict(decide(proving(taken, evidence=told, tasks=(DATES,)))).transition.action is Action.ADMIT
