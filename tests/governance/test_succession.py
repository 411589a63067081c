"""Older revisions give way, and retired ones are deleted when their time is over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import State
from modelecology.governance.facts import RevisionRecord
from modelecology.governance.lifecycle import UNDECIDED
from modelecology.governance.log import LogState, SpecialistRecord
from modelecology.governance.situations import Succession
from modelecology.governance.succession import (
    Place,
    deletion,
    places,
    residents,
    retry,
    served_names,
    succession,
)

from .scenes import HOUR, NOW, record

NEW, OLD = "b" * 12, "a" * 12
WINDOW = 168 * HOUR


def known(*revisions: RevisionRecord, uid: str = "u1") -> SpecialistRecord:
    live = next((r.revision for r in reversed(revisions) if r.state is State.LIVE), None)
    return SpecialistRecord("dates", uid, {r.revision: r for r in revisions}, live)


def new(state: State) -> RevisionRecord:
    return replace(record(state), revision=NEW, served_name=f"dates-{NEW}")


@pytest.mark.parametrize("state", UNDECIDED)
def test_an_older_candidate_gives_way_at_once(state: State) -> None:
    found = succession(Succession(known(record(state), new(State.PENDING)), NEW, NOW, WINDOW))
    assert found is not None
    assert found[0].revision == OLD
    assert found[1].reason is Reason.SUPERSEDED
    assert found[1].transition.target is State.RETIRED


def test_an_older_live_revision_serves_until_the_newer_one_is_live() -> None:
    assert succession(Succession(known(record(State.LIVE), new(State.SHADOW)), NEW, NOW, WINDOW)) is None
    found = succession(Succession(known(record(State.LIVE), new(State.LIVE)), NEW, NOW, WINDOW))
    assert found is not None
    assert found[1].reason is Reason.SUPERSEDED


def test_an_older_retired_revision_is_deleted_after_its_window_only() -> None:
    retired = replace(record(State.RETIRED), entered=NOW - 100 * HOUR, since=NOW - 100 * HOUR)
    assert succession(Succession(known(retired, new(State.LIVE)), NEW, NOW, WINDOW)) is None
    found = succession(Succession(known(retired, new(State.LIVE)), NEW, NOW, 100 * HOUR))
    assert found is not None
    assert found[1].reason is Reason.UNDO_WINDOW_CLOSED


def test_the_current_revision_is_never_its_own_successor() -> None:
    assert succession(Succession(known(new(State.PENDING)), NEW, NOW, WINDOW)) is None


def test_a_deleted_specialist_takes_all_its_revisions_with_it_one_by_one() -> None:
    both = known(record(State.LIVE), new(State.PENDING))
    first = deletion(both)
    assert first is not None
    assert (first[0].revision, first[1].reason) == (OLD, Reason.DELETED)
    second = deletion(known(record(State.DELETED), new(State.PENDING)))
    assert second is not None
    assert second[0].revision == NEW
    assert deletion(known(record(State.DELETED), new(State.DELETED))) is None


def test_an_artifact_stays_where_the_neediest_of_its_revisions_needs_it() -> None:
    shared = [replace(r, key="k") for r in (record(State.RETIRED), new(State.LIVE))]
    gone = replace(record(State.DELETED), key="d", revision="c" * 12)
    kept = replace(record(State.RETIRED), key="r", revision="d" * 12)
    log = LogState(
        specialists={"u1": known(*shared, gone, kept, replace(record(State.PENDING), revision="e" * 12))}
    )
    assert places(log) == {"k": Place.ACTIVE, "d": Place.DELETED, "r": Place.ARCHIVED}
    turned = LogState(specialists={"u1": known(shared[1]), "u2": known(shared[0], uid="u2")})
    assert places(turned) == {"k": Place.ACTIVE}


def test_engines_must_hold_what_is_live_or_in_shadow() -> None:
    log = LogState(specialists={"u1": known(record(State.LIVE), new(State.SHADOW)), "u2": known(uid="u2")})
    assert [r.revision for r in residents(log)] == [OLD, NEW]


def test_what_some_engine_may_hold_is_named_also_when_it_is_retired() -> None:
    once = replace(record(State.RETIRED), key="k", was_resident=True)
    log = LogState(specialists={"u1": known(once, new(State.PENDING))})
    assert served_names(log) == served_names(log, "k") == {f"dates-{OLD}"}
    assert served_names(log, "other") == frozenset()


@pytest.mark.parametrize("state", [State.REJECTED, State.SHELVED, State.QUARANTINED, State.FAILED])
def test_another_try_is_taken_because_a_person_asked(state: State) -> None:
    found = retry(record(state), "kim")
    assert (found.transition.target, found.reason) == (State.PENDING, Reason.RETRY_REQUESTED)
    assert found.message == f"kim asked for another try of dates-{OLD}."
    assert found.actor == "kim"
