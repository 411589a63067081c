"""What a judgement of evaluations says of each thing that stops it, to the last word."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Disclosure, Outcome, State
from modelecology.governance.courses import life_of
from modelecology.governance.decide import decide
from modelecology.governance.facts import (
    GENERALIST,
    Check,
    Met,
    Scorecard,
    Situation,
    Verdict,
)
from modelecology.governance.judgement import course_of, look_of
from modelecology.governance.lifecycle import CheckName
from modelecology.governance.looks import BudgetSpent, Look, SuiteLife
from modelecology.governance.rules import EvidenceRules, Limits, Policy
from modelecology.governance.trial import Course, Stage

from .scenes import (
    ARTIFACT,
    FULL,
    NAME,
    POLICY,
    N,
    answered,
    evaluating,
    evidence,
    full,
    look,
    proving,
    right,
    verdict,
    wait,
)

MIB = 2**20


def limited(memory: int) -> Policy:
    return replace(POLICY, limits=Limits(memory=memory))


# Before any answer is looked at.


@pytest.mark.parametrize("here", [evaluating(), proving()], ids=["screen", "proof"])
def test_an_adapter_that_is_too_large_is_rejected_whatever_its_answers(here: Situation) -> None:
    broken = replace(evidence(), incumbent=None, baseline={}, screen={}, proof={})
    for told in (evidence(), broken):
        found = verdict(decide(replace(here, policy=limited(4 * MIB), evidence=told)))
        memory = "The adapter takes 5.0 MiB; policy.limits.memory allows 4.0 MiB."
        assert (found.transition.action, found.transition.target) == (Action.REJECT, State.REJECTED)
        assert (found.reason, found.outcome) == (Reason.HARD_INVARIANT_FAILURE, Outcome.FAIL)
        assert found.message == f"Hard invariant failure. {memory}"
        summary, check = found.checks
        assert (summary.name, summary.outcome, summary.observed) == (
            CheckName.INVARIANTS,
            Outcome.FAIL,
            "1 of 1 broken",
        )
        assert (check.outcome, check.message) == (Outcome.FAIL, memory)
        assert found.look is None


def test_an_adapter_as_large_as_the_limit_goes_on() -> None:
    assert ARTIFACT.resident_bytes == 5 * MIB
    assert verdict(decide(evaluating(policy=limited(5 * MIB)))).transition.action is Action.PROVE


def test_a_proof_against_a_route_that_is_gone_without_results_fails_and_is_no_wait() -> None:
    told = replace(evidence(), incumbent=None)
    gone = proving(look(incumbent="dates-cccccccccccc"), evidence=told)
    message = (
        "dates-cccccccccccc, with which the proof compares, is no longer live and has no results. Its retry "
        "begins with the screen."
    )
    found = verdict(decide(gone))
    assert (found.transition.action, found.transition.target) == (Action.FAIL, State.FAILED)
    assert (found.reason, found.outcome, found.message) == (Reason.EVIDENCE_ERROR, Outcome.ERROR, message)
    assert found.checks == (
        Check(CheckName.EVIDENCE, Outcome.ERROR, "broken", "none broken", message=message),
    )
    # As long as it serves, its results may come yet.
    member = replace(gone.members[0], served_name="dates-cccccccccccc")
    assert wait(decide(replace(gone, members=(member,)))).reason is Reason.BASELINE_RUNNING
    assert wait(decide(proving(evidence=told))).reason is Reason.BASELINE_RUNNING


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        (("everyday",), "everyday"),
        (("dates", "everyday"), "dates, everyday"),
        ((), "dates"),
    ],
)
def test_the_tasks_on_which_todays_route_is_not_evaluated_are_named(
    missing: tuple[str, ...], named: str
) -> None:
    baseline = {task: r for task, r in evidence().baseline.items() if task not in missing}
    found = wait(decide(evaluating(replace(evidence(), incumbent=None, baseline=baseline))))
    assert found.reason is Reason.BASELINE_RUNNING
    assert found.message == f"The route that serves today is being evaluated on {named}."


def test_the_course_is_the_screen_until_a_proof_is_open_and_under_full_there_is_none() -> None:
    screen = course_of(evaluating())
    assert isinstance(screen, Course)
    assert screen.stage is Stage.SCREEN
    proof = course_of(proving())
    assert isinstance(proof, Course)
    assert proof.stage is Stage.PROOF
    opened = course_of(evaluating(policy=FULL))
    assert isinstance(opened, Verdict)
    assert opened.transition.action is Action.PROVE
    assert look_of(proving()) == look()
    assert look_of(evaluating()) is None


# What opens a proof, or does not.


def test_a_gain_that_nothing_could_repay_is_shelved_with_whom_it_would_have_met() -> None:
    dear = replace(FULL, threshold=Decimal(10**6))
    found = verdict(decide(evaluating(policy=dear)))
    assert (found.transition.action, found.transition.target) == (Action.SHELVE, State.SHELVED)
    assert (found.reason, found.outcome) == (Reason.GAIN_DOES_NOT_REPAY, Outcome.FAIL)
    assert found.message == "The portfolio's gain would not repay its cost, however good the candidate is."
    assert found.scorecard == Scorecard("dates", 0.0, GENERALIST, 0.1, None, 0)
    assert found.checks == ()
    assert found.look is None


def test_a_screen_that_was_met_keeps_its_scorecard_where_no_proof_is_worth_it() -> None:
    dear = replace(POLICY, threshold=Decimal(10**6))
    found = verdict(decide(evaluating(policy=dear)))
    assert found.scorecard is not None
    assert found.scorecard.n > 0


def test_a_full_engine_says_what_can_be_done() -> None:
    found = wait(decide(evaluating(residents=4)))
    assert found.message == (
        "4 of 4 adapter slots are taken. The best set would leave out this candidate. "
        f"{Reason.CAPACITY_FULL.remedy}"
    )


def test_under_full_a_candidate_waits_for_anothers_proof_with_what_it_has_shown() -> None:
    here = evaluating(policy=FULL)
    busy = replace(here, life=life_of(here).opened("u2/b"))
    found = wait(decide(busy))
    assert (found.reason, found.checks) == (Reason.QUEUED, ())
    assert found.message == (
        "Another candidate's proof is under way; under disclosure Full no item is met twice."
    )
    # Where not all is told, several proofs may run side by side.
    several = evaluating()
    several = replace(several, life=life_of(several).opened("u2/b"))
    second = verdict(decide(several))
    assert second.transition.action is Action.PROVE
    assert "Its proof is look 2 of 200 at this suite" in second.message


def test_a_proof_without_a_screen_is_opened_with_nothing_said_of_one() -> None:
    found = verdict(decide(evaluating(policy=FULL)))
    assert found.message.startswith("Its proof is look 1 of 200 at this suite, with a chance of ")
    assert [c.name for c in found.checks] == [CheckName.CAPACITY]
    assert found.scorecard is None


# What closes it.


def test_a_proof_that_passed_says_where_it_ended_and_tells_no_more() -> None:
    found = verdict(decide(proving()))
    assert found.checks == (
        Check(
            CheckName.PROOF,
            Outcome.PASS,
            "round 4",
            f"all questions pass at {look().level:.2g}",
            message="The proof passed after round 4 of 4.",
        ),
    )
    assert found.outcome is Outcome.PASS
    assert found.scorecard == proving().record.scorecard
    assert found.look == look(passed=True, round=4, trial="t" * 64, met=())


def test_a_proof_that_did_not_pass_says_nothing_of_where() -> None:
    found = verdict(decide(proving(evidence=evidence(candidate=0.1))))
    (check,) = found.checks
    assert (check.outcome, check.observed) == (Outcome.INCONCLUSIVE, "not passed")
    assert check.limit == f"all questions pass at {look().level:.2g}"
    assert check.message == found.message
    assert found.look == look(trial="t" * 64, round=0)
    assert found.look is not None
    assert not found.look.passed


def test_a_rounded_proof_that_did_not_pass_names_its_disclosure_and_a_new_best_lead() -> None:
    rounded = replace(POLICY, evidence=EvidenceRules(disclosure=Disclosure.ROUNDED))
    told = answered(evidence(), right("dates", NAME, 0.3), right("everyday", NAME, 0.0))
    found = verdict(decide(proving(look(rounded), evidence=told, policy=rounded)))
    assert found.look is not None
    assert found.look.lead is not None
    assert found.message == (
        f"The proof did not pass. Its lead is at least {found.look.lead / 20:+.2f}, a new best. More is not "
        "told under policy.evidence.disclosure Rounded: the next candidate could be built from it."
    )


def test_under_full_a_proof_tells_its_checks_its_score_and_what_it_met() -> None:
    here = full(evidence())
    found = verdict(decide(here))
    assert found.transition.action is Action.ADMIT
    assert found.look is not None
    assert found.look.round > 0
    assert {met.task for met in found.look.met} == {"dates", "everyday"}
    assert all(isinstance(met, Met) and 0 < met.units <= N for met in found.look.met)
    assert found.scorecard is not None
    assert found.scorecard.incumbent == GENERALIST
    assert found.checks[-1].name == CheckName.PROOF
    assert CheckName.INVARIANTS in [c.name for c in found.checks]


def test_under_full_a_proof_that_left_a_question_open_says_so() -> None:
    found = verdict(decide(full(evidence(candidate=0.12))))
    assert found.look is not None
    assert not found.look.passed
    assert found.look.round > 0
    last = found.checks[-1]
    if found.reason is Reason.PROOF_NOT_PASSED:
        assert found.message == "The proof did not pass: a question stayed open to the last item."
    assert last.message == "The proof did not pass: a question stayed open to the last item."


# A budget that is spent.


def test_a_budget_that_is_spent_says_what_helps() -> None:
    life = SuiteLife(life_of(evaluating()).alpha, Disclosure.VERDICT, horizon=1)
    with pytest.raises(BudgetSpent) as no_look:
        life.after(Look(False)).opened("a")
    assert str(no_look.value) == "All 1 looks are spent. Give the suite fresh items, as a new suite."
    with pytest.raises(BudgetSpent) as no_slice:
        life.fresh_slice()
    assert str(no_slice.value) == "All 1 slices are used. Give the suite fresh items, as a new suite."
    assert not BudgetSpent.retry
