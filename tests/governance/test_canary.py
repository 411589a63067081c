"""Canary: step by step, for as long as what users get bears it, and back as soon as it does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Outcome, State, Target
from modelecology.governance.canary import step_of
from modelecology.governance.decide import decide
from modelecology.governance.facts import (
    Approval,
    Check,
    Live,
    Residency,
    Situation,
    Wait,
)
from modelecology.governance.lifecycle import CANARY as CHAIN
from modelecology.governance.lifecycle import PROMOTION, CheckName
from modelecology.governance.rules import CanaryStep, Limits, LiveShadow

from .scenes import CANARY, CLAIM, HOUR, NOW, POLICY, REVISION, evidence, record, situation, verdict, wait

STEPWISE = replace(POLICY, canary=CANARY)
GOOD = Live((0.0,) * 400, in_step=60, answered=400)
BAD = Live((-1.0, 0.0) * 20, in_step=40, answered=40)
ADA = Approval(REVISION, "ada@2026-03-01T11:00:00Z")


def canary(live: Live | None = GOOD, step: int = 0, **changes: object) -> Situation:
    given = {"policy": STEPWISE, "record": record(State.CANARY, step=step)} | changes
    return situation(State.CANARY, evidence=replace(evidence(), live=live), **given)


def test_a_shadow_that_would_be_promoted_becomes_a_canary_where_the_policy_has_steps() -> None:
    found = verdict(decide(situation(State.SHADOW, policy=STEPWISE)))
    assert (found.transition.action, found.transition.target) == (Action.START_CANARY, State.CANARY)
    assert found.reason is Reason.SERVED_SCORE_CONFIRMED
    assert found.message.startswith("5 % of the users come first. dates, through the endpoint")
    assert tuple(c.name for c in found.checks) == PROMOTION


def test_a_step_that_is_passed_lets_more_users_on() -> None:
    found = verdict(decide(canary()))
    assert (found.transition.action, found.transition.target) == (Action.ADVANCE, State.CANARY)
    assert found.reason is Reason.STEP_PASSED
    assert tuple(c.name for c in found.checks) == CHAIN
    assert found.message.startswith("25 % of the users come next. On live requests: +0.00")


def test_the_last_step_asks_the_person_it_names_and_then_lets_all_users_on() -> None:
    asked = wait(decide(canary(step=1)))
    assert asked.reason is Reason.AWAITING_APPROVAL
    found = verdict(decide(canary(step=1, approval=ADA)))
    assert (found.transition.action, found.transition.target) == (Action.PROMOTE, State.LIVE)
    assert found.actor == ADA.by
    assert tuple(c.name for c in found.checks) == (*CHAIN, CheckName.APPROVED)
    assert wait(decide(canary(step=1, approval=replace(ADA, used=True)))).reason is Reason.AWAITING_APPROVAL


@pytest.mark.parametrize(
    "changes", [{"live": replace(GOOD, in_step=49)}, {"record": record(State.CANARY, since=NOW - HOUR / 2)}]
)
def test_a_person_ends_a_step_whose_time_and_number_are_not_full(changes: dict[str, object]) -> None:
    found = verdict(decide(canary(promoting=ADA, **changes)))  # type: ignore[arg-type]  # one is the evidence
    assert (found.transition.action, found.transition.target) == (Action.ADVANCE, State.CANARY)
    assert (found.reason, found.outcome, found.actor) == (Reason.STEP_SKIPPED, Outcome.PASS, ADA.by)
    assert found.message.startswith(f"{ADA.by} ended the step. 25 % of the users come next.")
    for word in (replace(ADA, used=True), replace(ADA, revision="b" * 12)):
        again = canary(promoting=word, **changes)  # type: ignore[arg-type]  # one is the evidence
        assert wait(decide(again)).reason is Reason.CANARY_RUNNING


@pytest.mark.parametrize("live", [None, Live((0.0,) * 12, 12, 12)])
def test_a_person_overrides_no_evidence(live: Live | None) -> None:
    assert wait(decide(canary(live, promoting=ADA))).reason is Reason.CANARY_RUNNING


def test_a_person_who_ends_the_last_step_has_approved_it_too() -> None:
    found = verdict(decide(canary(step=1, promoting=ADA)))
    assert (found.transition.action, found.reason, found.actor) == (
        Action.PROMOTE,
        Reason.STEP_PASSED,
        ADA.by,
    )
    found = verdict(decide(canary(replace(GOOD, in_step=20), step=1, promoting=ADA)))
    assert (found.transition.target, found.reason) == (State.LIVE, Reason.STEP_SKIPPED)


@pytest.mark.parametrize("live", [BAD, replace(GOOD, failed=80)])
def test_nobody_ends_a_step_in_which_users_were_worse_off(live: Live) -> None:
    assert verdict(decide(canary(live, promoting=ADA))).transition.target is State.REJECTED


def test_nobody_looks_past_a_broken_judge_or_an_engine_that_proves_nothing() -> None:
    broken = Live((2.0,) * 60, in_step=60, answered=60)
    assert wait(decide(canary(broken, promoting=ADA))).reason is Reason.CANARY_RUNNING
    assert isinstance(decide(canary(promoting=ADA, residency=Residency(2, 1, 0, 0))), Wait)


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"live": None}, CheckName.LIVE_ERRORS),
        ({"live": Live((0.0,) * 12, 12, 12)}, CheckName.LIVE_GAIN),
        ({"live": replace(GOOD, in_step=49)}, CheckName.STEP),
        ({"record": record(State.CANARY, since=NOW - HOUR / 2)}, CheckName.STEP),
    ],
)
def test_it_waits_while_anything_is_open(changes: dict[str, object], check: CheckName) -> None:
    found = wait(decide(canary(**changes)))  # type: ignore[arg-type]  # one of them is the evidence
    assert found.reason is Reason.CANARY_RUNNING
    assert found.message.startswith("Step 1 of 2, 5 % of the users")
    assert found.message.count("Step 1") == 1
    assert next(c.name for c in found.checks if c.outcome is not Outcome.PASS) == check


@pytest.mark.parametrize(
    ("live", "reason"),
    [
        (BAD, Reason.LIVE_SCORE_REFUTED),
        (replace(GOOD, failed=80), Reason.LIVE_LIMIT_BROKEN),
    ],
)
@pytest.mark.parametrize("residency", [Residency(2, 2, 0, 0), Residency(2, 1, 0, 1), None])
@pytest.mark.parametrize("step", [0, 1])
def test_a_loss_of_users_aborts_it_in_every_step_and_whatever_engines_do(
    live: Live, reason: Reason, residency: Residency | None, step: int
) -> None:
    found = verdict(decide(canary(live, step, residency=residency)))
    assert (found.transition.action, found.transition.target) == (Action.REJECT, State.REJECTED)
    assert (found.reason, found.outcome) == (reason, Outcome.FAIL)
    assert "who served before serves all again" in found.message


def test_an_engine_that_answers_as_another_adapter_quarantines_it() -> None:
    found = verdict(decide(canary(residency=Residency(2, 1, 1, 0))))
    assert (found.transition.action, found.reason) == (Action.QUARANTINE, Reason.FINGERPRINT_MISMATCH)


def test_it_is_tried_again_when_what_its_proof_rests_on_is_another() -> None:
    found = verdict(decide(canary(suite_digest="sha256:other")))
    assert (found.transition.action, found.reason) == (Action.RECONSIDER, Reason.PREMISES_CHANGED)


@pytest.mark.parametrize(
    "changes", [{"claim": replace(CLAIM, wanted=Target.SHADOW)}, {"policy": POLICY}], ids=["owner", "policy"]
)
def test_it_goes_back_to_shadow_when_the_owner_or_the_policy_wants_no_canary(
    changes: dict[str, object],
) -> None:
    found = verdict(decide(canary(**changes)))  # type: ignore[arg-type]  # none of them is the evidence
    assert (found.transition.action, found.transition.target) == (Action.HOLD, State.SHADOW)
    assert found.reason is Reason.SHADOW_HELD


@pytest.mark.parametrize("reject", [True, False])
def test_when_its_time_is_over_the_policy_says_what_becomes_of_it(reject: bool) -> None:
    policy = replace(POLICY, canary=replace(CANARY, reject_late=reject))
    known = record(State.CANARY, entered=NOW - timedelta(days=8))
    said = decide(canary(None, policy=policy, record=known))
    if reject:
        found = verdict(said)
        assert (found.transition.action, found.reason) == (Action.SHELVE, Reason.INSUFFICIENT_EVIDENCE)
    else:
        assert wait(said).reason is Reason.CANARY_RUNNING


def test_a_step_that_the_policy_does_not_have_is_the_last_one() -> None:
    assert [step_of(CANARY, n).percent for n in (0, 1, 2, 9)] == [5, 25, 25, 25]
    assert step_of(replace(CANARY, steps=(CanaryStep(1, 1, HOUR, approval=False),)), 3).percent == 1


LIVE = LiveShadow(minimum_scored=50, minimum_gain=0.0, reject_late=False)
AHEAD = Live((1.0, 0.0) * 30, 60, 60)


@pytest.mark.parametrize(
    ("live", "action", "reason"),
    [
        (AHEAD, Action.PROMOTE, Reason.SERVED_SCORE_CONFIRMED),
        (BAD, Action.REJECT, Reason.LIVE_SCORE_REFUTED),
        (Live((7.0,) * 60, 60, 60), Action.FAIL, Reason.EVIDENCE_ERROR),
        (Live((0.0,) * 60, 60, 60), None, Reason.LIVE_SCORING),
        (Live((1.0,) * 20, 20, 20), None, Reason.LIVE_SCORING),
        (None, None, Reason.LIVE_SCORING),
    ],
)
def test_a_shadow_is_judged_by_live_requests_where_the_policy_asks_for_them(
    live: Live | None, action: Action | None, reason: Reason
) -> None:
    policy = replace(POLICY, live_shadow=LIVE)
    said = decide(situation(State.SHADOW, policy=policy, evidence=replace(evidence(), live=live)))
    if action is None:
        assert wait(said).reason is reason
        return
    found = verdict(said)
    assert (found.transition.action, found.reason) == (action, reason)
    assert tuple(c.name for c in found.checks) == (*PROMOTION, CheckName.LIVE_GAIN)


@pytest.mark.parametrize("reject", [True, False])
def test_a_shadow_whose_time_is_over_is_shelved_or_goes_on_as_the_policy_says(reject: bool) -> None:
    policy = replace(POLICY, live_shadow=replace(LIVE, reject_late=reject))
    known = record(State.SHADOW, entered=NOW - timedelta(days=2))
    said = decide(situation(State.SHADOW, policy=policy, record=known))
    if reject:
        assert verdict(said).reason is Reason.INSUFFICIENT_EVIDENCE
    else:
        assert wait(said).reason is Reason.LIVE_SCORING


def step_check(here: Situation) -> Check:
    found = decide(here)
    return next(c for c in found.checks if c.name == CheckName.STEP)


def test_a_step_is_full_with_as_many_scores_as_it_asks_for_and_after_its_time() -> None:
    first = CANARY.steps[0]
    asked = f"{first.minimum_scored} scored, 1 h"
    for scored, outcome in (
        (first.minimum_scored, Outcome.PASS),
        (first.minimum_scored - 1, Outcome.INCONCLUSIVE),
    ):
        assert step_check(canary(replace(GOOD, in_step=scored))) == Check(
            CheckName.STEP,
            outcome,
            f"{scored} scored",
            asked,
            n=scored,
            message=f"Step 1 of 2, 5 % of the users: {scored} scored; asked: {asked}.",
        )


def test_what_holds_it_in_shadow_is_said() -> None:
    held = verdict(decide(canary(claim=replace(CLAIM, wanted=Target.SHADOW))))
    assert held.message.startswith("lifecycle.target holds it in shadow.")
    gone = verdict(decide(canary(policy=POLICY)))
    assert gone.message.startswith("policy.promotion has no steps any more.")


def test_an_abort_and_a_late_end_keep_all_their_checks() -> None:
    assert tuple(c.name for c in verdict(decide(canary(BAD))).checks) == CHAIN
    late = replace(STEPWISE, canary=replace(CANARY, reject_late=True))
    end = NOW - CANARY.maximum
    few = Live((0.0,) * 12, 12, 12)
    here = canary(few, policy=late, record=record(State.CANARY, entered=end))
    assert wait(decide(here)).reason is Reason.CANARY_RUNNING
    over = verdict(decide(replace(here, now=NOW + timedelta(seconds=1))))
    assert (over.transition.action, over.outcome) == (Action.SHELVE, Outcome.INCONCLUSIVE)
    assert tuple(c.name for c in over.checks) == CHAIN
    assert over.message.startswith("Insufficient evidence within ")


def test_the_end_of_the_last_step_is_told_with_what_users_got() -> None:
    found = verdict(decide(canary(step=1, approval=ADA)))
    assert found.message.startswith("All users come next. On live requests: +0.00")
    assert found.message.endswith("; asked: 50 scored.")
    asked = wait(decide(canary(step=1)))
    assert "On live requests: +0.00" in asked.message
    assert verdict(decide(canary())).actor == ""


def test_what_users_waited_for_aborts_it_too() -> None:
    limited = replace(STEPWISE, limits=Limits(latency=1.0))
    found = verdict(decide(canary(replace(GOOD, late=200), policy=limited)))
    assert found.reason is Reason.LIVE_LIMIT_BROKEN
    assert "took longer than 1 s" in found.message
