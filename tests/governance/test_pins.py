"""Pinned revisions stay beside the one that serves, come back, and take over from what falls."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Outcome, State, Target
from modelecology.governance.facts import Member, RevisionRecord
from modelecology.governance.isolation import rollback
from modelecology.governance.log import LogState, SpecialistRecord
from modelecology.governance.pins import beside, missing, waits
from modelecology.governance.portfolio import expected_gain
from modelecology.governance.situations import Pin, Rollback, Succession
from modelecology.governance.succession import placed, succession

from .scenes import HOUR, NOW, evaluating, record, situation
from .test_log import FIRST, SECOND, TO_LIVE, through

MIB = 2**20
OLD, NEW, THIRD = "a" * 12, "b" * 12, "c" * 12
WINDOW = 168 * HOUR


def revision(name: str, state: State, at: datetime = NOW - HOUR, **more: Any) -> RevisionRecord:
    changes: dict[str, Any] = {"revision": name, "served_name": f"dates-{name}"} | more
    changes |= {"entered": at, "since": at}
    return replace(record(state), **changes)


def replaced(at: datetime = NOW - HOUR, **more: Any) -> RevisionRecord:
    """What served until a newer revision was live."""
    changes: dict[str, Any] = {"previous": State.LIVE, "retired_for": Reason.SUPERSEDED} | more
    return revision(OLD, State.RETIRED, at, **changes)


def seen(*revisions: RevisionRecord, live: str | None = NEW, **more: Any) -> Succession:
    """What is decided on while NEW is what the spec asks for, and OLD is pinned."""
    known = SpecialistRecord("dates", "u1", {r.revision: r for r in revisions}, live)
    return replace(Succession(known, NEW, NOW, WINDOW, pins=(Pin(OLD),), taken=1, slots=4), **more)


def what(found: tuple[RevisionRecord, Any] | None) -> tuple[str, Action, Reason] | None:
    return None if found is None else (found[0].revision, found[1].transition.action, found[1].reason)


def asked() -> RevisionRecord:
    """What the spec asks for, retired as its owner wished, and to come back."""
    gone: dict[str, Any] = {"previous": State.LIVE, "retired_for": Reason.RETIREMENT_REQUESTED}
    return revision(NEW, State.RETIRED, **gone)


BOTH = (revision(OLD, State.LIVE), revision(NEW, State.LIVE))
GOES = (OLD, Action.RETIRE, Reason.SUPERSEDED)
COMES_BACK = (OLD, Action.RESTORE, Reason.PINNED)


def test_a_pinned_revision_stays_beside_the_newer_one_and_an_unpinned_one_gives_way() -> None:
    assert succession(seen(*BOTH)) is None
    assert what(succession(seen(*BOTH, pins=()))) == GOES
    assert what(succession(seen(*BOTH, pins=(Pin(THIRD),)))) == GOES


@pytest.mark.parametrize("live", [OLD, None])
def test_what_the_spec_asks_for_takes_over_where_it_is_live_already(live: str | None) -> None:
    found = succession(seen(*BOTH, live=live, pins=()))
    assert what(found) == (NEW, Action.RESTORE, Reason.RESTORED)
    assert found is not None
    assert found[1].transition.target is State.LIVE


def test_under_target_shadow_nothing_takes_over() -> None:
    assert succession(seen(*BOTH, live=OLD, wanted=Target.SHADOW, pins=(Pin(NEW),))) is None


def test_what_stands_beside_goes_with_its_pin_though_nothing_else_is_live() -> None:
    alone = seen(BOTH[0], revision(NEW, State.RETIRED), live=None)
    assert succession(alone) is None
    assert what(succession(replace(alone, pins=()))) == GOES


def test_a_specialist_that_is_retired_takes_what_it_pins_along() -> None:
    found = succession(seen(*BOTH, wanted=Target.RETIRED))
    assert what(found) == (OLD, Action.RETIRE, Reason.RETIREMENT_REQUESTED)
    assert succession(seen(replaced(), BOTH[1], wanted=Target.RETIRED)) is None


def test_a_pinned_revision_that_was_replaced_comes_back_with_its_checks() -> None:
    found = succession(seen(replaced(), BOTH[1]))
    assert found is not None
    assert what(found) == COMES_BACK
    assert found[1].transition.target is State.LIVE
    assert [c.outcome for c in found[1].checks] == [Outcome.PASS, Outcome.PASS]
    assert found[1].message.endswith("by that name.")


@pytest.mark.parametrize(
    "here",
    [
        seen(replaced(), BOTH[1], taken=4),
        seen(replaced(), BOTH[1], pins=(Pin(OLD, 2 * MIB),), taken_bytes=3 * MIB, memory=4 * MIB),
        seen(replaced(), BOTH[1], taken_bytes=3 * MIB, memory=4 * MIB),
        seen(replaced(), BOTH[1], pins=()),
        seen(
            replaced(),
            revision(NEW, State.RETIRED, previous=State.LIVE, retired_for=Reason.SUPERSEDED),
            live=None,
        ),
        seen(replaced(retired_for=Reason.DOMINATED), BOTH[1]),
        seen(replaced(previous=State.SHADOW), BOTH[1]),
        seen(revision(OLD, State.QUARANTINED), BOTH[1]),
    ],
    ids=[
        "no slot",
        "no memory",
        "no size",
        "no pin",
        "the asked one first",
        "evidence retired it",
        "it never served",
        "quarantined",
    ],
)
def test_nothing_comes_back_by_a_pin_where(here: Succession) -> None:
    assert succession(here) is None


def test_what_its_owner_retired_comes_back_though_nothing_serves() -> None:
    asked = replaced(retired_for=Reason.RETIREMENT_REQUESTED)
    assert what(succession(seen(asked, revision(NEW, State.SHADOW), live=None))) == COMES_BACK


def test_after_its_window_what_is_pinned_is_deleted_as_all_are() -> None:
    found = succession(seen(replaced(NOW - WINDOW), BOTH[1]))
    assert what(found) == (OLD, Action.DELETE, Reason.UNDO_WINDOW_CLOSED)


@pytest.mark.parametrize(
    ("here", "said"),
    [
        (seen(*BOTH), ()),
        (seen(BOTH[1]), (f"{OLD}: dates has no such revision",)),
        (seen(*BOTH, pins=(Pin(THIRD),), live=None), (f"{THIRD}: dates has no such revision",)),
        (seen(revision(NEW, State.TRAINING), pins=(Pin(NEW),)), ()),
        (
            seen(revision(OLD, State.TRAINING, reason="GapProven"), BOTH[1]),
            (f"{OLD}: it is Training, GapProven",),
        ),
        (
            seen(replaced(), BOTH[1], taken=4),
            (f"{OLD}: it is Retired. 4 of 4 adapter slots are taken.",),
        ),
        (
            seen(replaced(), BOTH[1], pins=(Pin(OLD, 2 * MIB),), taken_bytes=3 * MIB, memory=4 * MIB),
            (f"{OLD}: it is Retired. 1 of 4 adapter slots are taken. With it the adapters take 5 of 4 MiB.",),
        ),
        (
            seen(replaced(NOW - WINDOW), BOTH[1]),
            (f"{OLD}: it is Retired. The undo window is closed since 2026-03-01 12:00:00 UTC.",),
        ),
        (
            seen(replaced(retired_for=Reason.UNUSED, reason=Reason.UNUSED), BOTH[1]),
            (f"{OLD}: it is Retired, Unused",),
        ),
    ],
    ids=[
        "all",
        "unknown",
        "another unknown",
        "on its way",
        "given up",
        "no slot",
        "no memory",
        "late",
        "by evidence",
    ],
)
def test_what_is_pinned_and_not_live_is_told_with_the_cause(here: Succession, said: tuple[str, ...]) -> None:
    assert missing(here) == said


_NAMES = (OLD, NEW, THIRD)
_EVENTS = st.one_of(
    st.tuples(st.just("live"), st.sampled_from(_NAMES)),
    st.tuples(st.just("spec"), st.sampled_from(_NAMES)),
    st.tuples(st.just("pin"), st.sampled_from(_NAMES)),
    st.tuples(st.just("unpin"), st.sampled_from(_NAMES)),
    st.tuples(st.just("quarantine"), st.just("")),
    st.tuples(st.just("evidence"), st.just("")),
    st.tuples(st.sampled_from(sorted(Target)), st.just("")),
)


def falls(state: LogState, action: Action, target: State, reason: str) -> LogState:
    """What serves leaves, if anything does."""
    live = dates(state).live
    step = (action, State.LIVE, target)
    return state if live is None else through(step, state=state, revision=live, reason=reason)


@given(events=st.lists(_EVENTS, max_size=12), slots=st.integers(1, 4))
def test_whatever_happens_looks_end_and_what_is_live_serves_or_is_pinned(
    events: list[tuple[str, str]], slots: int
) -> None:
    state, current, pins, wanted = through(*TO_LIVE, revision=OLD), OLD, set[str](), Target.LIVE
    for event, name in events:
        if event == "live" and name not in dates(state).revisions:
            state, current = through(*TO_LIVE, state=state, revision=name), name
        elif event == "spec" and name in dates(state).revisions:
            current = name
        elif event == "pin":
            pins.add(name)
        elif event == "unpin":
            pins.discard(name)
        elif event == "quarantine":
            state = falls(state, Action.QUARANTINE, State.QUARANTINED, "QuarantineRequested")
        elif event == "evidence":
            state = falls(state, Action.RETIRE, State.RETIRED, "Unused")
        elif event in set(Target):
            wanted = Target(event)
        for _ in range(12):
            known, taken = replace(dates(state), last=None), len(placed(state))
            pinned = tuple(Pin(pin) for pin in sorted(pins))
            due = rollback(Rollback(known, NOW, WINDOW, wanted, taken, slots)) or succession(
                Succession(known, current, NOW, WINDOW, wanted, pinned, taken, slots)
            )
            if due is None:
                break
            assert due[1].reason in due[1].transition.reasons
            edge = due[1].transition
            step = (edge.action, edge.source, edge.target)
            state = through(step, state=state, revision=due[0].revision, reason=str(due[1].reason))
        assert due is None
        known = dates(state)
        live = known.revisions.get(current)
        if wanted is Target.LIVE and live is not None and live.state is State.LIVE:
            assert known.live == current
        assert {r.revision for r in beside(known)} <= pins | {current}
        assert known.live is None or known.revisions[known.live].state is State.LIVE


def replacing() -> LogState:
    """A log in which SECOND has replaced FIRST, which stands beside it."""
    return through(*TO_LIVE, state=through(*TO_LIVE, revision=FIRST), revision=SECOND)


GIVES_WAY = ((Action.RETIRE, State.LIVE, State.RETIRED),)
FALLS = ((Action.QUARANTINE, State.LIVE, State.QUARANTINED),)


def dates(state: LogState) -> SpecialistRecord:
    return state.specialists["u1"]


def test_what_comes_back_by_a_pin_does_not_serve_its_task() -> None:
    gone = through(
        (Action.RETIRE, State.LIVE, State.RETIRED), state=replacing(), revision=FIRST, reason="Superseded"
    )
    back = through((Action.RESTORE, State.RETIRED, State.LIVE), state=gone, revision=FIRST, reason="Pinned")
    assert (dates(back).live, dates(back).previous) == (SECOND, FIRST)
    assert [r.revision for r in beside(dates(back))] == [FIRST]
    assert {r.revision for r in placed(back)} == {FIRST, SECOND}


@pytest.mark.parametrize(
    ("action", "target", "reason", "serves"),
    [
        (Action.QUARANTINE, State.QUARANTINED, "FingerprintMismatch", FIRST),
        (Action.RETIRE, State.RETIRED, "Dominated", None),
        (Action.RETIRE, State.RETIRED, "RetirementRequested", None),
    ],
)
def test_who_was_replaced_takes_over_from_what_falls_and_not_from_what_evidence_retires(
    action: Action, target: State, reason: str, serves: str | None
) -> None:
    after = through((action, State.LIVE, target), state=replacing(), revision=SECOND, reason=reason)
    assert dates(after).live is None
    assert rolled_back(after) == serves


def rolled_back(state: LogState) -> str | None:
    """Name what serves in place of what fell, and see that the fold says so too."""
    due = rollback(Rollback(replace(dates(state), last=None), NOW, WINDOW, Target.LIVE, 1, 4))
    if due is None:
        return None
    step = (due[1].transition.action, due[1].transition.source, due[1].transition.target)
    after = through(step, state=state, revision=due[0].revision, reason=str(due[1].reason))
    assert dates(after).live == due[0].revision
    return due[0].revision


def fallen(pinned: tuple[str, ...]) -> LogState:
    """A log in which THIRD, which replaced SECOND, which replaced FIRST, is quarantined."""
    state = through(*TO_LIVE, revision=FIRST)
    for old, new in ((FIRST, SECOND), (SECOND, THIRD)):
        state = through(*TO_LIVE, state=state, revision=new)
        if old not in pinned:
            state = through(*GIVES_WAY, state=state, revision=old, reason="Superseded")
    return through(*FALLS, state=state, revision=THIRD)


@pytest.mark.parametrize("pinned", [(), (FIRST,), (SECOND,), (FIRST, SECOND)])
def test_who_was_replaced_last_takes_over_from_what_falls_whatever_is_pinned(pinned: tuple[str, ...]) -> None:
    assert rolled_back(fallen(pinned)) == SECOND


def test_a_second_fall_goes_on_to_what_that_one_had_replaced() -> None:
    again = through((Action.RESTORE, State.LIVE, State.LIVE), state=fallen((FIRST, SECOND)), revision=SECOND)
    assert rolled_back(through(*FALLS, state=again, revision=SECOND)) == FIRST


def test_who_was_replaced_is_known_after_a_retirement_that_was_taken_back() -> None:
    gone = through(*GIVES_WAY, state=replacing(), revision=SECOND, reason="RetirementRequested")
    back = through((Action.RESTORE, State.RETIRED, State.LIVE), state=gone, revision=SECOND)
    assert rolled_back(through(*FALLS, state=back, revision=SECOND)) == FIRST


def test_what_a_pin_has_let_go_does_not_take_over_in_place_of_the_one_that_was_replaced() -> None:
    state = through(*TO_LIVE, state=replacing(), revision=THIRD)
    for name in (SECOND, FIRST):
        state = through(*GIVES_WAY, state=state, revision=name, reason="Superseded")
    assert rolled_back(through(*FALLS, state=state, revision=THIRD)) == SECOND


def test_where_the_one_that_was_replaced_is_quarantined_too_nobody_takes_over() -> None:
    state = through(*TO_LIVE, revision=FIRST)
    state = through(*TO_LIVE, state=state, revision=SECOND)
    state = through(*GIVES_WAY, state=state, revision=FIRST, reason="Superseded")
    state = through(*TO_LIVE, state=state, revision=THIRD)
    for name in (SECOND, THIRD):
        state = through(*FALLS, state=state, revision=name)
    assert rolled_back(state) is None


def test_what_takes_its_task_over_begins_anew() -> None:
    before = replacing()
    after = through((Action.RESTORE, State.LIVE, State.LIVE), state=before, revision=FIRST)
    assert dates(after).revisions[FIRST].entered > dates(before).revisions[FIRST].entered
    assert (dates(after).live, dates(after).previous) == (FIRST, SECOND)


@pytest.mark.parametrize(
    ("here", "found"),
    [
        (seen(*BOTH), False),
        (seen(replaced(), BOTH[1], taken=4), True),
        (seen(replaced(NOW - WINDOW), BOTH[1], taken=4), False),
        (seen(revision(OLD, State.QUARANTINED), BOTH[1]), False),
        (seen(BOTH[1]), False),
    ],
    ids=["live", "no slot", "late", "quarantined", "unknown"],
)
def test_a_pin_waits_only_where_a_place_is_all_that_it_lacks(here: Succession, found: bool) -> None:
    assert waits(here) is found


def test_what_evidence_ended_hands_nothing_to_a_pin_through_its_successor() -> None:
    ended = through(*GIVES_WAY, state=replacing(), revision=SECOND, reason="Unused")
    after = through(*FALLS, state=through(*TO_LIVE, state=ended, revision=THIRD), revision=THIRD)
    assert rolled_back(after) is None


def test_what_is_pinned_keeps_its_upkeep_in_the_gain_of_what_replaces_it() -> None:
    ours = Member(f"dates-{OLD}", "dates", 0.5, 64 * 2**20, 0.4, 0.6)
    here = evaluating(replaces=ours.served_name, members=(ours,))
    kept = replace(here, claim=replace(here.claim, pinned=(ours.served_name,)))
    assert expected_gain(here) > expected_gain(kept)


def test_what_is_pinned_leaves_no_place_when_its_successor_is_taken_back() -> None:
    here = situation(State.LIVE, replaces=f"dates-{OLD}")
    assert here.leaves == f"dates-{OLD}"
    assert replace(here, claim=replace(here.claim, pinned=(f"dates-{OLD}",))).leaves is None
