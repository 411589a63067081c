"""Evaluating: the judgement, in its order, with every check reported."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Outcome, State
from modelecology.governance.decide import decide
from modelecology.governance.facts import Evidence, Situation
from modelecology.governance.judgement import check_gain, compare, incumbent_name, scorecard

from .scenes import CLAIM, EVERYDAY, NAME, POLICY, evidence, right, situation, verdict, wait

CHECKS = (
    "EvidenceComplete",
    "HardInvariants",
    "HardInvariants/everyday",
    "HardInvariants/format",
    "PortfolioGain",
    "CapacityFree",
)


def evaluating(told: Evidence | None = None, **changes: object) -> Situation:
    return situation(State.EVALUATING, evidence=told or evidence(), **changes)


def test_a_better_candidate_that_breaks_nothing_is_admitted() -> None:
    found = verdict(decide(evaluating()))
    assert found.transition.action is Action.ADMIT
    assert found.reason is Reason.GAIN_PROVEN
    assert found.outcome is Outcome.PASS
    assert tuple(c.name for c in found.checks) == CHECKS
    assert found.message == (
        "All hard invariants hold. dates: +0.80 against the generalist, at least +0.73; "
        "the portfolio gains 287.96 over 720 h, at least 261.58 with 95 % confidence; "
        "more than 0.00 is asked; 100 items, exact McNemar p = 2e-24."
    )
    card = found.scorecard
    assert card is not None
    assert (card.score, card.incumbent, card.incumbent_score, card.n) == (0.9, "generalist", 0.1, 100)


def test_a_broken_invariant_is_rejected_whatever_the_gain() -> None:
    found = verdict(decide(evaluating(evidence(candidate=1.0, everyday=0.02))))
    assert found.transition.action is Action.REJECT
    assert found.reason is Reason.HARD_INVARIANT_FAILURE
    assert found.outcome is Outcome.FAIL
    assert found.message == (
        "Hard invariant failure. "
        "everyday: 0.02 against the generalist's 0.75; at most 0.10 may be lost; 100 items."
    )
    assert tuple(c.name for c in found.checks) == CHECKS
    assert found.checks[4].outcome is Outcome.PASS  # the gain is reported, and does not help


def test_an_invariant_that_is_not_proven_to_hold_is_shelved() -> None:
    found = verdict(decide(evaluating(evidence(everyday=0.69))))
    assert found.transition.action is Action.SHELVE
    assert found.reason is Reason.INSUFFICIENT_EVIDENCE
    assert found.outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("candidate", "outcome"),
    [(0.02, Outcome.FAIL), (0.1, Outcome.INCONCLUSIVE), (0.11, Outcome.INCONCLUSIVE)],
)
def test_a_gain_that_is_not_certain_is_shelved(candidate: float, outcome: Outcome) -> None:
    found = verdict(decide(evaluating(evidence(candidate=candidate))))
    assert found.transition.action is Action.SHELVE
    assert found.reason is Reason.GAIN_DOES_NOT_REPAY
    assert found.outcome is outcome


def test_a_small_win_that_does_not_repay_is_shelved_with_its_numbers() -> None:
    dear = replace(POLICY, threshold=Decimal(100))
    found = verdict(decide(evaluating(evidence(candidate=0.3), policy=dear)))
    assert found.reason is Reason.GAIN_DOES_NOT_REPAY
    assert found.message == (
        "The portfolio's gain does not repay its cost. dates: +0.20 against the generalist, at least +0.14; "
        "the portfolio gains 71.96 over 720 h, at least 51.27 with 95 % confidence; "
        "more than 100.00 is asked; 100 items, exact McNemar p = 2e-06."
    )


def test_a_full_engine_is_waited_for_after_a_good_judgement() -> None:
    found = wait(decide(evaluating(residents=4)))
    assert found.reason is Reason.CAPACITY_FULL
    assert found.message.startswith("4 of 4 adapter slots are taken.")
    assert tuple(c.name for c in found.checks) == CHECKS


def test_a_full_engine_does_not_keep_a_bad_candidate_waiting() -> None:
    found = verdict(decide(evaluating(evidence(everyday=0.0), residents=4)))
    assert found.transition.action is Action.REJECT


@pytest.mark.parametrize("broken", ["dates", "everyday"])
def test_evidence_that_cannot_be_compared_fails_and_never_passes(broken: str) -> None:
    short = right(broken, NAME, 1.0, 99)
    told = evidence()
    told = replace(told, candidate={**told.candidate, broken: short})
    found = verdict(decide(evaluating(told)))
    assert found.transition.action is Action.FAIL
    assert found.reason is Reason.EVIDENCE_ERROR
    assert found.outcome is Outcome.ERROR
    assert "1 missing" in found.message
    assert tuple(c.name for c in found.checks) == CHECKS
    assert (found.scorecard is None) == (broken == "dates")


def test_broken_evidence_comes_before_a_broken_invariant() -> None:
    told = evidence(everyday=0.0)
    told = replace(told, candidate={**told.candidate, "dates": right("dates", NAME, 1.0, 99)})
    assert verdict(decide(evaluating(told))).reason is Reason.EVIDENCE_ERROR


def test_results_that_are_not_in_are_waited_for_by_name() -> None:
    told = replace(evidence(), candidate={"dates": right("dates", NAME, 0.9)})
    found = wait(decide(evaluating(told)))
    assert found.reason is Reason.EVALUATING
    assert found.message == "1 of 2 results are in; to come: everyday."


def test_the_routes_of_today_are_waited_for() -> None:
    for lacking in (replace(evidence(), incumbent=None), replace(evidence(), baseline={})):
        assert wait(decide(evaluating(lacking))).reason is Reason.BASELINE_RUNNING


def test_a_suite_that_lost_the_task_is_waited_for() -> None:
    assert wait(decide(evaluating(tasks=(EVERYDAY,)))).reason is Reason.TASK_NOT_IN_SUITE


def test_an_invariant_that_is_the_claimed_task_is_needed_once() -> None:
    claimed = replace(CLAIM, task="everyday")
    told = replace(evidence(), candidate={})
    found = wait(decide(evaluating(told, claim=claimed)))
    assert found.message == "0 of 1 results are in; to come: everyday."


def test_comparisons_without_results_say_so() -> None:
    bare = evaluating(replace(evidence(), incumbent=None))
    words = compare(None, None, 0.95)
    assert words == "The results are not there."
    assert check_gain(bare, words).outcome is Outcome.ERROR
    assert scorecard(bare, words) is None
    assert incumbent_name(bare) == "the route of today"
