"""The last word of a person: it is asked after the evidence, for one revision, and it overrides nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Outcome, State, Target
from modelecology.governance.approval import check_approval
from modelecology.governance.decide import decide
from modelecology.governance.facts import Approval, Evidence, Residency, Situation, Verdict
from modelecology.governance.lifecycle import PROMOTION, CheckName

from .scenes import CLAIM, HOUR, NOW, POLICY, REVISION, evidence, look, record, situation, verdict, wait
from .test_properties import told

MANUAL = replace(POLICY, manual=True)
ADA = Approval(REVISION, "ada@2026-03-01T11:00:00Z")


def shadow(approval: Approval | None = None, **changes: object) -> Situation:
    return situation(State.SHADOW, **({"policy": MANUAL, "approval": approval} | changes))


def test_what_has_passed_every_check_waits_for_a_person_and_says_what_it_has_shown() -> None:
    found = wait(decide(shadow()))
    assert found.reason is Reason.AWAITING_APPROVAL
    assert found.until is None
    assert found.message.startswith(
        f"Revision {REVISION} passed every check. "
        "It goes live when a person approves it: kubectl ecology approve dates. dates, through the endpoint: "
        "0.90 against the generalist's 0.10"
    )
    assert [c.name for c in found.checks] == [*PROMOTION, CheckName.APPROVED]
    assert (found.checks[-1].outcome, found.checks[-1].observed) == (Outcome.INCONCLUSIVE, "not given")


def test_an_approval_of_this_revision_promotes_it_in_the_name_of_the_person() -> None:
    found = verdict(decide(shadow(ADA)))
    assert (found.transition.action, found.reason) == (Action.PROMOTE, Reason.SERVED_SCORE_CONFIRMED)
    assert found.actor == ADA.by
    assert [c.name for c in found.checks] == [*PROMOTION, CheckName.APPROVED]
    assert (found.checks[-1].outcome, found.checks[-1].observed) == (Outcome.PASS, ADA.by)
    assert found.message.startswith(f"{ADA.by} approved revision {REVISION}. dates, through the endpoint: ")


def test_without_manual_promotion_nobody_is_asked_or_named() -> None:
    found = verdict(decide(shadow(ADA, policy=POLICY)))
    assert (found.actor, tuple(c.name for c in found.checks)) == ("", PROMOTION)


@pytest.mark.parametrize(
    ("approval", "observed", "said"),
    [
        (Approval("b" * 12, "ada@noon"), f"revision {'b' * 12}", f"ada@noon approved revision {'b' * 12}"),
        (Approval("", "yes"), "not readable", "takes <revision>/<actor>@<time>, not 'yes'"),
        (replace(ADA, used=True), "used before", "was for an earlier promotion"),
    ],
)
def test_any_other_approval_counts_for_nothing_and_is_told(
    approval: Approval, observed: str, said: str
) -> None:
    found = wait(decide(shadow(approval)))
    assert found.reason is Reason.AWAITING_APPROVAL
    assert found.checks[-1].observed == observed
    assert said in found.message


@pytest.mark.parametrize(
    ("changes", "action"),
    [
        ({"evidence": evidence(served=0.0)}, Action.REJECT),
        ({"evidence": evidence(served=0.1)}, Action.SHELVE),
        ({"record": record(State.SHADOW, proven=look(passed=True, margin=-0.5))}, Action.SHELVE),
        ({"residency": Residency(2, 1, 1, 0)}, Action.QUARANTINE),
        ({"suite_digest": "sha256:other"}, Action.RECONSIDER),
    ],
)
def test_an_approval_overrides_no_check(changes: dict[str, object], action: Action) -> None:
    found = verdict(decide(shadow(ADA, **changes)))
    assert found.transition.action is action
    assert found.actor == ""


def test_what_is_to_stay_in_shadow_stays_there_also_when_it_is_approved() -> None:
    held = wait(decide(shadow(ADA, claim=replace(CLAIM, wanted=Target.SHADOW))))
    assert held.reason is Reason.SHADOW_HELD


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, Reason.AWAITING_APPROVAL),
        ({"residency": Residency(2, 1, 0, 1)}, Reason.ENGINE_UNREACHABLE),
        ({"residency": None}, Reason.PROVING),
        ({"evidence": replace(evidence(), shadow_incumbent=None)}, Reason.SHADOWING),
    ],
)
def test_what_is_scored_has_done_its_part_however_long_it_waits(
    changes: dict[str, object], reason: Reason
) -> None:
    late = record(State.SHADOW, entered=NOW - 1000 * HOUR)
    found = wait(decide(shadow(None, record=late, **changes)))
    assert (found.reason, found.until) == (reason, None)


def test_what_is_not_scored_in_time_is_shelved_also_where_a_person_would_be_asked() -> None:
    late = record(State.SHADOW, entered=NOW - 25 * HOUR)
    for lacking in ({"evidence": replace(evidence(), shadow=None)}, {"residency": None}):
        changes = {"evidence": replace(evidence(), shadow=None)} | lacking
        assert verdict(decide(shadow(ADA, record=late, **changes))).transition.action is Action.SHELVE


@settings(max_examples=40)
@given(told(), st.sampled_from((ADA, Approval("b" * 12, "x@y"), Approval("", "?"), None)))
def test_an_approval_promotes_only_what_the_evidence_promotes(
    found: Evidence, approval: Approval | None
) -> None:
    asked = decide(shadow(approval, evidence=found))
    unasked = decide(situation(State.SHADOW, evidence=found))
    promoted = isinstance(unasked, Verdict) and unasked.transition.action is Action.PROMOTE
    if not promoted:
        assert asked == unasked
    elif approval is ADA:
        assert isinstance(asked, Verdict)
        assert asked.transition.action is Action.PROMOTE
        assert check_approval(shadow(approval)).outcome is Outcome.PASS
    else:
        assert wait(asked).reason is Reason.AWAITING_APPROVAL
