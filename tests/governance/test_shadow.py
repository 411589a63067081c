"""Shadow: proved on every replica, scored through the endpoint, judged with the members of the day."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Outcome, State, Target
from modelecology.governance.courses import gain_margin
from modelecology.governance.decide import decide
from modelecology.governance.facts import (
    Cost,
    Evidence,
    JobFailure,
    Residency,
    Scorecard,
    Situation,
    Wait,
)
from modelecology.governance.lifecycle import PROMOTION
from modelecology.governance.promotion import check_still_repays

from .scenes import (
    CLAIM,
    EVERYDAY,
    HOUR,
    NAME,
    NOW,
    POLICY,
    PROVED,
    evidence,
    look,
    record,
    right,
    situation,
    verdict,
    wait,
)


def shadow(told: Evidence | None = None, **changes: object) -> Situation:
    return situation(State.SHADOW, evidence=told or evidence(), **changes)


def test_a_candidate_that_serves_as_it_was_judged_is_promoted() -> None:
    found = verdict(decide(shadow()))
    assert found.transition.action is Action.PROMOTE
    assert found.reason is Reason.SERVED_SCORE_CONFIRMED
    assert tuple(c.name for c in found.checks) == PROMOTION
    assert found.message.startswith(
        "dates, through the endpoint: 0.90 against the generalist's 0.10, +0.80, between +0.68 and +0.88 "
        "with 95 % confidence; 40 items. dates: a gain of more than +0.000 was proven; today +0.000 repays."
    )
    assert found.look is None


def test_a_candidate_that_is_to_stay_in_shadow_is_held_there() -> None:
    found = wait(decide(shadow(claim=replace(CLAIM, wanted=Target.SHADOW))))
    assert found.reason is Reason.SHADOW_HELD
    assert tuple(c.name for c in found.checks) == PROMOTION


@pytest.mark.parametrize(
    ("residency", "reason"),
    [
        (None, Reason.PROVING),
        (Residency(0, 0, 0, 0), Reason.PROVING),
        (Residency(2, 1, 0, 0), Reason.PROVING),
        (Residency(2, 1, 0, 1, "connection refused"), Reason.ENGINE_UNREACHABLE),
    ],
)
@pytest.mark.parametrize("state", [State.SHADOW, State.LIVE])
def test_every_replica_must_be_proved_first(
    state: State, residency: Residency | None, reason: Reason
) -> None:
    assert wait(decide(situation(state, residency=residency))).reason is reason


@pytest.mark.parametrize("state", [State.SHADOW, State.LIVE])
def test_an_engine_that_answers_with_other_weights_is_quarantine_even_if_another_is_away(
    state: State,
) -> None:
    found = verdict(decide(situation(state, residency=Residency(3, 1, 1, 1, "replica 2"))))
    assert found.transition.target is State.QUARANTINED
    assert found.reason is Reason.FINGERPRINT_MISMATCH
    assert found.message == (
        f"{NAME}: 1 of 3 replicas do not answer as the evaluated adapter does. "
        "It takes no more requests. replica 2"
    )


def test_the_score_through_the_endpoint_is_waited_for() -> None:
    for lacking in (replace(evidence(), shadow=None), replace(evidence(), shadow_incumbent=None)):
        found = wait(decide(shadow(lacking)))
        assert found.reason is Reason.SHADOWING
        assert found.until == NOW + 23 * HOUR


def test_the_incumbent_of_the_day_is_waited_for() -> None:
    # Its results come with those of the incumbent through the endpoint.
    lacking = replace(evidence(), incumbent=None, shadow_incumbent=None)
    assert wait(decide(shadow(lacking))).reason is Reason.SHADOWING


def test_a_score_that_does_not_come_in_time_is_shelved() -> None:
    late = record(State.SHADOW, entered=NOW - 25 * HOUR)
    found = verdict(decide(shadow(replace(evidence(), shadow=None), record=late)))
    assert found.transition.action is Action.SHELVE
    assert found.reason is Reason.INSUFFICIENT_EVIDENCE
    assert found.message == "Insufficient evidence: no score through the endpoint within 24 h."
    assert {str(c.name): c.outcome for c in found.checks} == {
        "ServedFingerprint": Outcome.PASS,
        "ShadowScored": Outcome.INCONCLUSIVE,
        "HardInvariants": Outcome.PASS,
        "ServedGain": Outcome.INCONCLUSIVE,
        "PortfolioGain": Outcome.PASS,
    }


def test_a_failure_that_ends_by_itself_is_judged_before_the_time_is() -> None:
    late = record(State.SHADOW, entered=NOW - 25 * HOUR)
    for failed, action in (
        (JobFailure("InternalError", "out of memory", retry=True), Action.RETRY),
        (JobFailure("EngineRefused", "status 401", retry=False), Action.FAIL),
    ):
        found = verdict(decide(shadow(replace(evidence(), shadow=None), record=late, failure=failed)))
        assert found.transition.action is action


@pytest.mark.parametrize("since", [NOW - HOUR, NOW - timedelta(seconds=1)])
def test_an_outage_does_not_lengthen_the_time_in_shadow(since: datetime) -> None:
    late = record(State.SHADOW, entered=NOW - 25 * HOUR, since=since, attempts=9, excused=9)
    lost = Cost(cpu_seconds=Decimal(7))
    away = JobFailure("EngineUnreachable", "no answer", retry=True, cost=lost)
    found = verdict(decide(shadow(replace(evidence(), shadow=None), record=late, failure=away)))
    assert found.transition.action is Action.SHELVE
    assert found.reason is Reason.INSUFFICIENT_EVIDENCE
    assert found.message.startswith("Insufficient evidence: no score through the endpoint within 24 h.")
    # In the pause after a retry the failure is that of the try before, which was told and charged already.
    fresh = since < NOW - timedelta(minutes=5)
    assert ("EngineUnreachable: no answer" in found.message) is fresh
    assert found.cost == (lost if fresh else Cost())


@pytest.mark.parametrize(
    "residency",
    [None, Residency(2, 1, 0, 0), Residency(2, 1, 0, 1, "connection refused")],
)
@pytest.mark.parametrize("told", [evidence(), replace(evidence(), shadow=None)])
def test_a_candidate_that_is_not_proved_in_time_is_shelved(
    residency: Residency | None, told: Evidence
) -> None:
    late = record(State.SHADOW, entered=NOW - 25 * HOUR)
    found = verdict(decide(shadow(told, record=late, residency=residency)))
    assert found.transition.action is Action.SHELVE
    assert found.reason is Reason.INSUFFICIENT_EVIDENCE
    assert found.message.startswith("Insufficient evidence: not every replica was proved within 24 h. ")
    assert tuple(c.name for c in found.checks) == PROMOTION
    assert found.checks[0].outcome is Outcome.INCONCLUSIVE
    just = record(State.SHADOW, entered=NOW - 24 * HOUR)
    assert isinstance(decide(shadow(told, record=just, residency=residency)), Wait)


def test_other_weights_are_quarantine_however_late_it_is() -> None:
    late = record(State.SHADOW, entered=NOW - 25 * HOUR)
    found = verdict(decide(shadow(record=late, residency=Residency(2, 1, 1, 0))))
    assert found.transition.action is Action.QUARANTINE


def test_what_is_scored_and_held_in_shadow_outlives_a_restart_of_its_engine() -> None:
    late = record(State.SHADOW, entered=NOW - 25 * HOUR)
    held = replace(CLAIM, wanted=Target.SHADOW)
    assert wait(decide(shadow(claim=held, record=late, residency=None))).reason is Reason.PROVING


def test_too_few_answers_are_shelved_and_the_message_names_both_numbers() -> None:
    few = replace(
        evidence(),
        shadow=right("dates", NAME, 1.0, 12),
        shadow_incumbent=right("dates", "generalist", 0.0, 12),
    )
    found = verdict(decide(shadow(few)))
    assert found.transition.action is Action.SHELVE
    assert found.reason is Reason.INSUFFICIENT_EVIDENCE
    assert found.message == (
        "Insufficient evidence through the endpoint. 12 answers were scored through the endpoint; "
        "policy.shadow.minimumScored asks for 30, and the suite's shadow split of dates has 12 items. "
        "Give the suite more items, or lower minimumScored."
    )


def test_an_empty_shadow_split_is_too_few_answers() -> None:
    none = replace(right("dates", NAME, 0.0, 0), expected=None)
    found = verdict(decide(shadow(replace(evidence(), shadow=none, shadow_incumbent=none))))
    assert found.reason is Reason.INSUFFICIENT_EVIDENCE


@pytest.mark.parametrize(
    ("served", "action", "reason"),
    [
        (0.0, Action.REJECT, Reason.SERVED_SCORE_REFUTED),
        (0.1, Action.SHELVE, Reason.INSUFFICIENT_EVIDENCE),
        (0.125, Action.SHELVE, Reason.INSUFFICIENT_EVIDENCE),
        (0.3, Action.PROMOTE, Reason.SERVED_SCORE_CONFIRMED),
    ],
)
def test_the_served_score_decides_with_confidence(served: float, action: Action, reason: Reason) -> None:
    found = verdict(decide(shadow(evidence(served=served))))
    assert (found.transition.action, found.reason) == (action, reason)
    assert tuple(c.name for c in found.checks) == PROMOTION


def test_a_gain_that_no_longer_repays_is_shelved() -> None:
    found = verdict(decide(shadow(policy=replace(POLICY, threshold=Decimal(10)))))
    assert found.transition.action is Action.SHELVE
    assert found.reason is Reason.GAIN_DOES_NOT_REPAY
    assert found.message == (
        "The portfolio's gain does not repay its cost. dates: a gain of more than +0.000 was proven; "
        "today +0.028 repays."
    )
    gain = found.checks[-1]
    assert (gain.outcome, gain.observed, gain.limit) == (
        Outcome.INCONCLUSIVE,
        "more than +0.000",
        "more than +0.028",
    )


def test_the_gain_is_not_weighed_again_on_the_items_of_the_proof() -> None:
    without = replace(evidence(), screen={}, proof={})
    assert decide(shadow(without)) == decide(shadow())
    # A larger gain than today's was proven, or the very same one.
    for margin in (0.5, gain_margin(shadow())):
        sure = record(State.SHADOW, proven=look(passed=True, margin=margin))
        assert verdict(decide(shadow(record=sure))).transition.action is Action.PROMOTE


@settings(max_examples=40)
@given(st.integers(-300, 300), st.integers(-300, 300))
def test_what_was_proven_repays_as_long_as_no_more_is_asked_today(then: int, now: int) -> None:
    before, today = (shadow(policy=replace(POLICY, threshold=Decimal(t))) for t in (then, now))
    known = record(State.SHADOW, proven=look(passed=True, margin=gain_margin(before)))
    check = check_still_repays(replace(today, record=known))
    assert (check.outcome is Outcome.PASS) is (now <= then)


def test_nothing_was_proven_where_there_is_no_proof() -> None:
    bare = shadow(record=record(State.SHADOW, proven=None))
    assert check_still_repays(bare).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"record": record(State.SHADOW, proven=None)}, "suite"),
        ({"record": record(State.SHADOW, proven=look(suite="sha256:old", passed=True))}, "suite"),
        ({"suite_digest": "sha256:new"}, "suite"),
        (
            {"record": record(State.SHADOW, scorecard=Scorecard("dates", 0.9, "dates-old", 0.5, None, 25))},
            "incumbent",
        ),
    ],
)
@pytest.mark.parametrize("residency", [None, PROVED])
def test_a_proof_against_something_else_is_made_again(
    changes: dict[str, Any], what: str, residency: Residency | None
) -> None:
    found = verdict(decide(shadow(residency=residency, **changes)))
    assert (found.transition.action, found.transition.target) == (Action.RECONSIDER, State.EVALUATING)
    assert found.message == (
        f"The {what} changed while it was in shadow; the verdict that led here is taken again."
    )


def test_another_policy_alone_does_not_undo_a_proof() -> None:
    assert verdict(decide(shadow(policy_digest="sha256:new"))).transition.action is Action.PROMOTE


SHORT = right("dates", NAME, 1.0, 39)
DOUBLE = replace(right("dates", "generalist", 0.1), items=right("dates", "generalist", 0.1).items * 2)


@pytest.mark.parametrize(
    "told",
    [
        replace(evidence(), shadow=SHORT),
        replace(evidence(), incumbent=DOUBLE),
        replace(evidence(), baseline={**evidence().baseline, "cron": DOUBLE}),
    ],
)
def test_broken_evidence_fails_and_never_promotes(told: Evidence) -> None:
    found = verdict(decide(shadow(told)))
    assert found.transition.action is Action.FAIL
    assert found.reason is Reason.EVIDENCE_ERROR


def test_a_suite_that_lost_the_task_is_waited_for() -> None:
    assert wait(decide(shadow(tasks=(EVERYDAY,)))).reason is Reason.TASK_NOT_IN_SUITE
