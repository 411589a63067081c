"""Live, Retired, Deleted and the states that wait for a person or for other premises."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Outcome, State, Target
from modelecology.governance.decide import decide
from modelecology.governance.facts import Claim, Scorecard
from modelecology.governance.lifecycle import STICKY, STOPPED
from modelecology.governance.retirement import RETIRABLE

from .scenes import CLAIM, HOUR, NAME, NOW, evidence, record, situation, verdict, wait

GONE = replace(CLAIM, wanted=Target.RETIRED)
LEFT_LIVE = record(State.RETIRED, was_live=True, previous=State.LIVE)
LONG_AGO = replace(LEFT_LIVE, entered=NOW - 169 * HOUR)


def test_a_live_revision_serves() -> None:
    found = wait(decide(situation(State.LIVE)))
    assert (found.reason, found.message) == (Reason.SERVING, f"{NAME} is live on 2 of 2 replicas.")
    held = wait(decide(situation(State.LIVE, claim=replace(CLAIM, wanted=Target.SHADOW))))
    assert "Retired takes a live revision out" in held.message


@pytest.mark.parametrize("state", sorted(RETIRABLE))
def test_every_state_can_be_retired_by_its_owner(state: State) -> None:
    found = verdict(decide(situation(state, claim=GONE)))
    assert found.transition.target is State.RETIRED
    assert found.reason is Reason.RETIREMENT_REQUESTED


def test_retirement_says_until_when_it_can_be_undone() -> None:
    assert verdict(decide(situation(State.LIVE, claim=GONE))).message == (
        "lifecycle.target is Retired. It is unloaded and archived; "
        "it can be restored until 2026-03-08 12:00:00 UTC."
    )
    assert verdict(decide(situation(State.PENDING, claim=GONE))).message == (
        "lifecycle.target is Retired. It was Pending and served nobody; its files are kept for 168 h."
    )


def test_a_retired_revision_waits_for_the_end_of_its_window() -> None:
    found = wait(decide(situation(State.RETIRED, record=LEFT_LIVE, claim=GONE)))
    assert found.reason is Reason.RETIRED
    assert found.until == NOW + 167 * HOUR


def test_a_retired_revision_is_deleted_after_its_window() -> None:
    found = verdict(decide(situation(State.RETIRED, record=LONG_AGO, claim=GONE)))
    assert found.transition.target is State.DELETED
    assert found.reason is Reason.UNDO_WINDOW_CLOSED


def test_a_revision_that_left_live_is_restored_to_live_within_its_window() -> None:
    found = verdict(decide(situation(State.RETIRED, record=LEFT_LIVE)))
    assert found.transition.target is State.LIVE
    assert found.reason is Reason.RESTORED
    assert tuple(c.name for c in found.checks) == found.transition.chain
    last = replace(LEFT_LIVE, entered=NOW - 168 * HOUR + timedelta(seconds=1))
    assert verdict(decide(situation(State.RETIRED, record=last))).transition.target is State.LIVE
    over = replace(LEFT_LIVE, entered=NOW - 168 * HOUR)
    assert verdict(decide(situation(State.RETIRED, record=over))).transition.target is State.DELETED


def test_a_restoration_waits_for_a_free_slot() -> None:
    found = wait(decide(situation(State.RETIRED, record=LEFT_LIVE, residents=4)))
    assert found.reason is Reason.CAPACITY_FULL
    assert [c.outcome for c in found.checks] == [Outcome.PASS, Outcome.FAIL]


@pytest.mark.parametrize(
    ("left", "wanted"),
    [
        (record(State.RETIRED), Target.LIVE),
        (replace(LEFT_LIVE, previous=State.QUARANTINED), Target.LIVE),
        (LEFT_LIVE, Target.SHADOW),
    ],
    ids=["never live", "was quarantined", "wanted in shadow"],
)
def test_what_may_not_go_straight_back_earns_its_place_again(left: object, wanted: Target) -> None:
    claim: Claim = replace(CLAIM, wanted=wanted)
    found = verdict(decide(situation(State.RETIRED, record=left, claim=claim)))
    assert (found.transition.action, found.transition.target) == (Action.RESTORE, State.PENDING)


def test_a_revision_that_is_wanted_too_late_is_deleted_and_then_starts_again() -> None:
    assert verdict(decide(situation(State.RETIRED, record=LONG_AGO))).transition.target is State.DELETED
    found = verdict(decide(situation(State.DELETED)))
    assert (found.transition.action, found.transition.target) == (Action.RESTORE, State.PENDING)


def test_a_deleted_revision_that_nobody_wants_stays_deleted() -> None:
    assert wait(decide(situation(State.DELETED, claim=GONE))).reason is Reason.RETIRED


@pytest.mark.parametrize("state", [State.RETIRED, State.DELETED])
def test_a_revision_that_the_spec_no_longer_names_is_not_brought_back(state: State) -> None:
    newer = replace(CLAIM, revision="b" * 12)
    old = replace(LEFT_LIVE, state=state)
    assert wait(decide(situation(state, record=old, claim=newer))).reason is Reason.RETIRED


@pytest.mark.parametrize("state", STICKY)
@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"policy_digest": "sha256:new"}, "policy"),
        ({"suite_digest": "sha256:new"}, "suite"),
        ({"policy_digest": "sha256:new", "suite_digest": "sha256:new"}, "policy and the suite"),
    ],
)
def test_a_sticky_verdict_is_taken_again_under_other_premises(
    state: State, changes: dict[str, str], what: str
) -> None:
    found = verdict(decide(situation(state, **changes)))
    assert found.transition.target is State.EVALUATING
    assert found.reason is Reason.PREMISES_CHANGED
    assert found.message == f"The {what} changed since it was {state}; the verdict is taken again."


CARD = Scorecard("dates", 0.3, "dates-of-old", 0.5, None, 100)


def test_what_is_shelved_is_judged_again_when_another_serves_the_task() -> None:
    shelved = record(State.SHELVED, reason="PortfolioGainDoesNotRepayCost", scorecard=CARD)
    found = verdict(decide(situation(State.SHELVED, record=shelved)))
    assert (found.transition.target, found.reason) == (State.EVALUATING, Reason.PREMISES_CHANGED)
    assert found.message == "The incumbent changed since it was Shelved; the verdict is taken again."
    both = verdict(decide(situation(State.SHELVED, record=shelved, suite_digest="sha256:new")))
    assert both.message.startswith("The suite and the incumbent changed")


@pytest.mark.parametrize(
    "changes",
    [
        {"record": record(State.SHELVED, reason="Queued", scorecard=replace(CARD, incumbent="generalist"))},
        {"record": record(State.SHELVED, reason="Queued")},
        {
            "record": record(State.SHELVED, reason="Queued", scorecard=CARD),
            "evidence": replace(evidence(), incumbent=None),
        },
        {"record": record(State.REJECTED, reason="Queued", scorecard=CARD)},
    ],
    ids=["the same incumbent", "never compared", "not known yet", "rejected"],
)
def test_a_verdict_stays_where_no_other_incumbent_bears_on_it(changes: dict[str, Any]) -> None:
    found = wait(decide(situation(changes["record"].state, **changes)))
    assert found.reason is Reason.QUEUED


@pytest.mark.parametrize("state", STOPPED)
def test_a_stopped_revision_keeps_the_reason_of_its_verdict(state: State) -> None:
    stopped = record(state, reason="DataInvalid")
    found = wait(decide(situation(state, record=stopped)))
    assert found.reason is Reason.DATA_INVALID
    assert found.message == f"It is {state}: DataInvalid. {Reason.DATA_INVALID.remedy}"
    unknown = wait(decide(situation(state, record=record(state, reason="FromTheFuture"))))
    assert unknown.reason is Reason.INTERNAL_ERROR
    assert "FromTheFuture" in unknown.message


@pytest.mark.parametrize("state", [State.FAILED, State.QUARANTINED])
def test_a_failure_and_a_quarantine_wait_for_a_person_whatever_the_premises(state: State) -> None:
    changed = situation(state, record=record(state, reason="InternalError"), policy_digest="sha256:new")
    assert wait(decide(changed)).reason is Reason.INTERNAL_ERROR


def test_a_verdict_without_recorded_premises_is_not_taken_again_for_ever() -> None:
    blank = record(State.REJECTED, reason="HardInvariantFailure", policy=None, suite=None)
    assert wait(decide(situation(State.REJECTED, record=blank))).reason is Reason.HARD_INVARIANT_FAILURE
