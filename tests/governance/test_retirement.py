"""Retirement by evidence: proposed, held for the grace, accepted or automatic, and taken back by a person."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Outcome, State, Target
from modelecology.governance.facts import GENERALIST, Approval, Interval, Member, Situation, Standing
from modelecology.governance.lifecycle import CAUSES, CheckName
from modelecology.governance.residence import decide_live
from modelecology.governance.retirement import decide_deleted, decide_retired, goes_at, proposed, retire

from .scenes import CLAIM, HOUR, MEMBER, NAME, NOW, POLICY, PROVED, REVISION, record, situation, verdict, wait

BASE = (Member(GENERALIST, "dates", 0.1, 0, 0.05, 0.2), Member(GENERALIST, "cron", 0.05, 0, 0.0, 0.1))
GOOD = Member(NAME, "dates", 0.8, 2**20, 0.7, 0.9)
WORTHLESS = replace(GOOD, quality=0.12, low=0.1, high=0.14, resident_bytes=2**36)
AUTOMATIC = replace(POLICY, automatic_retirement=True, retirement_grace=24 * HOUR)
WORD = Approval(REVISION, "ada@2026-03-01T11:59:00Z")
EVIDENCED = record(State.RETIRED, was_live=True, previous=State.LIVE, retired_for=Reason.NEGATIVE_VALUE)


def live(own: Member, *, reason: str = "ServedScoreConfirmed", **changes: Any) -> Situation:
    since = changes.pop("since", NOW - HOUR)
    known = record(State.LIVE, reason=reason, since=since, was_live=True)
    return situation(State.LIVE, record=known, standing=Standing(BASE, (own, MEMBER)), **changes)


def test_a_member_that_pays_serves_on() -> None:
    found = wait(decide_live(live(GOOD)))
    assert (found.reason, found.until) == (Reason.SERVING, None)


def test_a_cause_is_recorded_once_as_a_proposal_that_changes_nothing() -> None:
    found = verdict(decide_live(live(WORTHLESS)))
    edge = found.transition
    assert (edge.action, edge.source, edge.target) == (Action.HOLD, State.LIVE, State.LIVE)
    assert (found.reason, found.outcome) == (Reason.NEGATIVE_VALUE, Outcome.FAIL)
    assert [c.name for c in found.checks] == [CheckName.VIABLE]
    assert found.message.endswith("Accept it by: kubectl ecology retire dates.")
    again = wait(decide_live(live(WORTHLESS, reason=Reason.NEGATIVE_VALUE)))
    assert again.reason is Reason.SERVING


def test_another_cause_is_recorded_anew_so_that_its_own_grace_begins() -> None:
    drifted = replace(GOOD, live_quality=Interval(0.1, 0.2, 0.95))
    found = verdict(decide_live(live(drifted, reason=Reason.DOMINATED, policy=AUTOMATIC)))
    assert (found.transition.action, found.reason) == (Action.HOLD, Reason.QUALITY_DRIFTED)


def test_a_cause_that_is_gone_is_recorded_too_and_ends_the_grace() -> None:
    found = verdict(decide_live(live(GOOD, reason=Reason.DOMINATED)))
    assert (found.transition.action, found.reason) == (Action.HOLD, Reason.STILL_VIABLE)
    assert found.message.startswith("It stays: the cause Dominated is gone. dates: it is worth")
    assert wait(decide_live(live(GOOD, reason=Reason.STILL_VIABLE))).reason is Reason.SERVING


@pytest.mark.parametrize("reason", ["ServedScoreConfirmed", Reason.DOMINATED])
def test_while_nobody_can_tell_nothing_begins_and_nothing_ends(reason: str) -> None:
    unknown = replace(WORTHLESS, low=0.0, high=1.0)
    for here in (live(unknown, reason=reason), replace(live(GOOD, reason=reason), standing=None)):
        assert wait(decide_live(replace(here, policy=AUTOMATIC))).reason is Reason.SERVING


def test_proposed_is_retired_by_a_persons_word_alone() -> None:
    long_ago = NOW - timedelta(days=300)
    held = live(WORTHLESS, reason=Reason.NEGATIVE_VALUE, since=long_ago)
    assert wait(decide_live(held)).reason is Reason.SERVING
    found = verdict(decide_live(replace(held, acceptance=WORD)))
    edge = found.transition
    assert (edge.action, edge.source, edge.target) == (Action.RETIRE, State.LIVE, State.RETIRED)
    assert (found.reason, found.actor) == (Reason.NEGATIVE_VALUE, WORD.by)
    assert found.message.startswith(f"{WORD.by} accepted its retirement. dates: without it")


@pytest.mark.parametrize(
    "word",
    [Approval("b" * 12, WORD.by), Approval("", "yes"), replace(WORD, used=True), None],
)
def test_a_word_about_something_else_retires_nobody(word: Approval | None) -> None:
    held = live(WORTHLESS, reason=Reason.NEGATIVE_VALUE, acceptance=word)
    assert wait(decide_live(held)).reason is Reason.SERVING


def test_a_word_without_a_cause_retires_nobody() -> None:
    assert wait(decide_live(live(GOOD, acceptance=WORD))).reason is Reason.SERVING


@pytest.mark.parametrize(("held", "action"), [(23, None), (24, Action.RETIRE), (25, Action.RETIRE)])
def test_automatic_retires_what_had_a_cause_for_the_whole_grace(held: int, action: Action | None) -> None:
    since = NOW - held * HOUR
    here = live(WORTHLESS, reason=Reason.NEGATIVE_VALUE, since=since, policy=AUTOMATIC)
    found = decide_live(here)
    if action is None:
        assert wait(found).until == since + 24 * HOUR
    else:
        assert (verdict(found).transition.action, verdict(found).actor) == (action, "")
        assert "has held since" in verdict(found).message


def test_without_a_grace_it_goes_as_soon_as_the_cause_is_recorded() -> None:
    at_once = replace(AUTOMATIC, retirement_grace=timedelta(0))
    first = verdict(decide_live(live(WORTHLESS, policy=at_once)))
    assert first.transition.action is Action.HOLD
    assert first.message.endswith("the cause holds for 0 s. Accept it by: kubectl ecology retire dates.")
    second = live(WORTHLESS, reason=Reason.NEGATIVE_VALUE, since=NOW, policy=at_once)
    assert verdict(decide_live(second)).transition.action is Action.RETIRE


def test_an_engine_that_does_not_answer_does_not_keep_what_should_go() -> None:
    away = replace(PROVED, proved=1, unreachable=1)
    assert verdict(decide_live(live(WORTHLESS, residency=away))).reason is Reason.NEGATIVE_VALUE
    assert wait(decide_live(live(GOOD, residency=away))).reason is Reason.ENGINE_UNREACHABLE


def test_other_weights_come_before_all_else() -> None:
    wrong = replace(PROVED, mismatched=1)
    assert verdict(decide_live(live(WORTHLESS, residency=wrong))).transition.action is Action.QUARANTINE


def test_a_proposal_is_read_from_the_record_and_says_when_it_goes() -> None:
    assert proposed(live(GOOD)) is None
    assert proposed(live(GOOD, reason=Reason.UNUSED)) is Reason.UNUSED
    assert goes_at(live(GOOD, reason=Reason.UNUSED)) is None
    assert goes_at(live(GOOD, reason=Reason.UNUSED, policy=AUTOMATIC)) == NOW + 23 * HOUR
    over = live(GOOD, reason=Reason.UNUSED, policy=AUTOMATIC, since=NOW - 48 * HOUR)
    assert goes_at(over) is None


def test_what_evidence_retired_stays_retired_though_the_spec_wants_it() -> None:
    found = wait(decide_retired(situation(State.RETIRED, record=EVIDENCED)))
    assert found.reason is Reason.RETIRED
    assert found.message == (
        "It was retired: NegativeValue. Until 2026-03-08 11:00:00 UTC it can be taken back: "
        "kubectl ecology undo dates."
    )
    gone = replace(EVIDENCED, state=State.DELETED, was_live=False, previous=State.RETIRED)
    assert wait(decide_deleted(situation(State.DELETED, record=gone))).reason is Reason.RETIRED


def test_what_the_owner_retired_comes_back_by_the_spec_as_before() -> None:
    asked = replace(EVIDENCED, retired_for=Reason.RETIREMENT_REQUESTED)
    found = verdict(decide_retired(situation(State.RETIRED, record=asked)))
    assert (found.transition.target, found.actor) == (State.LIVE, "")


def test_who_asks_for_what_the_spec_says_is_named_both_ways() -> None:
    wanted = situation(State.LIVE, record=record(State.LIVE), acceptance=WORD)
    assert retire(wanted).actor == WORD.by
    assert retire(replace(wanted, acceptance=None)).actor == ""
    asked = replace(EVIDENCED, retired_for=Reason.RETIREMENT_REQUESTED)
    assert verdict(decide_retired(situation(State.RETIRED, record=asked, undoing=WORD))).actor == WORD.by


def test_a_person_takes_a_retirement_back_within_the_window_and_is_named() -> None:
    found = verdict(decide_retired(situation(State.RETIRED, record=EVIDENCED, undoing=WORD)))
    assert (found.transition.action, found.transition.target) == (Action.RESTORE, State.LIVE)
    assert (found.reason, found.actor) == (Reason.RESTORED, WORD.by)


def test_a_retirement_is_taken_back_only_into_a_free_slot() -> None:
    full = situation(State.RETIRED, record=EVIDENCED, undoing=WORD, residents=POLICY.adapters)
    assert wait(decide_retired(full)).reason is Reason.CAPACITY_FULL


def test_a_word_after_the_files_are_gone_starts_from_the_beginning() -> None:
    gone = replace(EVIDENCED, state=State.DELETED, was_live=False, previous=State.RETIRED)
    found = verdict(decide_deleted(situation(State.DELETED, record=gone, undoing=WORD)))
    assert (found.transition.target, found.actor) == (State.PENDING, WORD.by)
    assert found.message == f"{WORD.by} took its retirement back. Its files are deleted, so it starts again."


@pytest.mark.parametrize("word", [Approval("b" * 12, WORD.by), replace(WORD, used=True), Approval("", "yes")])
def test_a_word_about_something_else_brings_nothing_back(word: Approval) -> None:
    here = situation(State.RETIRED, record=EVIDENCED, undoing=word)
    assert wait(decide_retired(here)).reason is Reason.RETIRED


def test_a_person_cannot_bring_back_what_the_owner_wants_retired() -> None:
    gone = replace(CLAIM, wanted=Target.RETIRED)
    here = situation(State.RETIRED, record=EVIDENCED, claim=gone, undoing=WORD)
    assert wait(decide_retired(here)).reason is Reason.RETIRED


def test_after_the_window_it_is_deleted_whatever_the_cause() -> None:
    late = replace(EVIDENCED, entered=NOW - 169 * HOUR)
    found = verdict(decide_retired(situation(State.RETIRED, record=late)))
    assert (found.transition.action, found.reason) == (Action.DELETE, Reason.UNDO_WINDOW_CLOSED)


def test_every_cause_tells_a_person_how_to_accept_it() -> None:
    assert all("kubectl ecology retire NAME" in cause.remedy for cause in CAUSES)
