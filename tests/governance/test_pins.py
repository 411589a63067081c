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
from modelecology.governance.lifecycle import TRANSITIONS
from modelecology.governance.log import LogState, SpecialistRecord
from modelecology.governance.pins import beside, brought_back, missing
from modelecology.governance.portfolio import expected_gain
from modelecology.governance.situations import Succession
from modelecology.governance.succession import placed, succession

from .scenes import HOUR, NOW, evaluating, record, situation
from .test_log import FIRST, SECOND, TO_LIVE, through

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
    return replace(Succession(known, NEW, NOW, WINDOW, pins=(OLD,), taken=1, slots=4), **more)


def what(found: tuple[RevisionRecord, Any] | None) -> tuple[str, Action, Reason] | None:
    return None if found is None else (found[0].revision, found[1].transition.action, found[1].reason)


BOTH = (revision(OLD, State.LIVE), revision(NEW, State.LIVE))
GOES = (OLD, Action.RETIRE, Reason.SUPERSEDED)
COMES_BACK = (OLD, Action.RESTORE, Reason.PINNED)


def test_a_pinned_revision_stays_beside_the_newer_one_and_an_unpinned_one_gives_way() -> None:
    assert succession(seen(*BOTH)) is None
    assert what(succession(seen(*BOTH, pins=()))) == GOES
    assert what(succession(seen(*BOTH, pins=(THIRD,)))) == GOES


def test_what_serves_gives_way_to_the_one_that_is_asked_for_though_it_is_pinned() -> None:
    # The spec went back to NEW while OLD served; a pin brings OLD back in the next step.
    assert what(succession(seen(*BOTH, live=OLD))) == GOES


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
    assert found[1].message.endswith("by name.")


@pytest.mark.parametrize(
    "here",
    [
        seen(replaced(), BOTH[1], taken=4),
        seen(replaced(), BOTH[1], pins=()),
        seen(replaced(), revision(NEW, State.SHADOW), live=None),
        seen(replaced(retired_for=Reason.DOMINATED), BOTH[1]),
        seen(replaced(previous=State.SHADOW), BOTH[1]),
        seen(revision(OLD, State.QUARANTINED), BOTH[1]),
    ],
    ids=["no slot", "no pin", "none serves", "evidence retired it", "it never served", "quarantined"],
)
def test_nothing_comes_back_by_a_pin_where(here: Succession) -> None:
    assert succession(here) is None


def test_after_its_window_what_is_pinned_is_deleted_as_all_are() -> None:
    found = succession(seen(replaced(NOW - WINDOW), BOTH[1]))
    assert what(found) == (OLD, Action.DELETE, Reason.UNDO_WINDOW_CLOSED)


@pytest.mark.parametrize(
    ("here", "said"),
    [
        (seen(*BOTH), ()),
        (seen(BOTH[1]), (f"{OLD}: dates has no such revision",)),
        (seen(revision(OLD, State.TRAINING), BOTH[1]), (f"{OLD}: it is Training",)),
        (
            seen(replaced(), BOTH[1], taken=4),
            (f"{OLD}: it is Retired. 4 of 4 adapter slots are taken.",),
        ),
        (
            seen(replaced(NOW - WINDOW), BOTH[1]),
            (f"{OLD}: it is Retired. The undo window is closed since 2026-03-01 12:00:00 UTC.",),
        ),
        (seen(replaced(retired_for=Reason.UNUSED), BOTH[1]), (f"{OLD}: it is Retired",)),
    ],
    ids=["all", "unknown", "on its way", "no slot", "late", "by evidence"],
)
def test_what_is_pinned_and_not_live_is_told_with_the_cause(here: Succession, said: tuple[str, ...]) -> None:
    assert missing(here) == said


_STATES = st.sampled_from(sorted(State))
_NAMES = (OLD, NEW, THIRD)


@given(
    states=st.tuples(_STATES, _STATES, _STATES),
    served=st.sampled_from([None, *_NAMES]),
    pins=st.sets(st.sampled_from(_NAMES)),
    wanted=st.sampled_from(sorted(Target)),
    taken=st.integers(0, 5),
)
def test_steps_are_edges_of_the_table_they_end_and_then_only_pins_stand_beside(
    states: tuple[State, State, State], served: str | None, pins: set[str], wanted: Target, taken: int
) -> None:
    each = [
        revision(n, s, previous=State.LIVE, retired_for=Reason.SUPERSEDED)
        for n, s in zip(_NAMES, states, strict=True)
    ]
    lives = [r.revision for r in each if r.state is State.LIVE]
    live = served if served in lives else next(iter(lives), None)
    here = seen(*each, live=live, pins=tuple(sorted(pins)), wanted=wanted, taken=taken)
    for _ in range(12):
        due = succession(here)
        if due is None:
            break
        moved, verdict = due
        assert verdict.transition in TRANSITIONS
        assert verdict.reason in verdict.transition.reasons
        after = replace(
            moved, state=verdict.transition.target, previous=moved.state, retired_for=verdict.reason
        )
        back = verdict.transition.action is Action.RESTORE
        here = replace(
            here,
            record=replace(
                here.record,
                revisions={**here.record.revisions, moved.revision: after},
                live=NEW if here.record.live == moved.revision else here.record.live,
            ),
            taken=here.taken + back,
        )
    assert succession(here) is None
    assert {r.revision for r in beside(here.record)} <= pins | {NEW}
    if wanted is not Target.RETIRED:
        assert brought_back(here) is None


def replacing() -> LogState:
    """A log in which SECOND has replaced FIRST, which stands beside it."""
    return through(*TO_LIVE, state=through(*TO_LIVE, revision=FIRST), revision=SECOND)


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
        (Action.RETIRE, State.RETIRED, "Superseded", FIRST),
        (Action.RETIRE, State.RETIRED, "Dominated", None),
        (Action.RETIRE, State.RETIRED, "RetirementRequested", None),
    ],
)
def test_who_stands_beside_takes_over_from_what_falls_and_not_from_what_evidence_retires(
    action: Action, target: State, reason: str, serves: str | None
) -> None:
    after = through((action, State.LIVE, target), state=replacing(), revision=SECOND, reason=reason)
    assert (dates(after).live, dates(after).previous) == (serves, SECOND)


def test_of_several_that_stand_beside_the_one_that_was_replaced_takes_over() -> None:
    third = through(*TO_LIVE, state=replacing(), revision=THIRD)
    after = through((Action.QUARANTINE, State.LIVE, State.QUARANTINED), state=third, revision=THIRD)
    assert dates(after).live == SECOND


def test_what_is_pinned_keeps_its_upkeep_in_the_gain_of_what_replaces_it() -> None:
    ours = Member(f"dates-{OLD}", "dates", 0.5, 64 * 2**20, 0.4, 0.6)
    here = evaluating(replaces=ours.served_name, members=(ours,))
    kept = replace(here, claim=replace(here.claim, pinned=(ours.served_name,)))
    assert expected_gain(here) > expected_gain(kept)


def test_what_is_pinned_leaves_no_place_when_its_successor_is_taken_back() -> None:
    here = situation(State.LIVE, replaces=f"dates-{OLD}")
    assert here.leaves == f"dates-{OLD}"
    assert replace(here, claim=replace(here.claim, pinned=(f"dates-{OLD}",))).leaves is None
