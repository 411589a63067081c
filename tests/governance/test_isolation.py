"""A person takes a revision out of service, what it replaced serves again, and the way back is a trial."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Outcome, State, Target
from modelecology.governance.decide import decide
from modelecology.governance.facts import Approval, RevisionRecord
from modelecology.governance.isolation import quarantine, rollback
from modelecology.governance.lifecycle import RESIDENT, IllegalTransition
from modelecology.governance.log import SpecialistRecord
from modelecology.governance.situations import Isolation, Rollback

from .scenes import HOUR, NOW, REVISION, record, situation, verdict, wait

ADA = "ada@2026-03-01T12:00:00Z"
OLD, NEW = "a" * 12, "b" * 12
WINDOW = 168 * HOUR


def revision(name: str, state: State, at: datetime, **more: Any) -> RevisionRecord:
    changes: dict[str, Any] = {
        "revision": name,
        "served_name": f"dates-{name}",
        "entered": at,
        "since": at,
    } | more
    return replace(record(state), **changes)


def replaced(**more: Any) -> RevisionRecord:
    """What served until ten hours ago, when a newer revision took its place."""
    changes = {"previous": State.LIVE, "retired_for": Reason.SUPERSEDED} | more
    return revision(OLD, State.RETIRED, NOW - 10 * HOUR, **changes)


def fallen(**more: Any) -> RevisionRecord:
    """What took its place, and was quarantined just now."""
    return revision(NEW, State.QUARANTINED, NOW, **{"previous": State.LIVE} | more)


def later(**more: Any) -> RevisionRecord:
    """What served after the quarantine, and was retired just now."""
    return revision("c" * 12, State.RETIRED, NOW, **{"previous": State.LIVE} | more)


def seen(*revisions: RevisionRecord, **more: Any) -> Rollback:
    live = next((r.revision for r in revisions if r.state is State.LIVE), None)
    known = SpecialistRecord("dates", "u1", {r.revision: r for r in revisions}, live)
    return replace(Rollback(known, NOW, WINDOW, Target.LIVE, taken=1, slots=4), **more)


@pytest.mark.parametrize("state", RESIDENT)
def test_a_person_takes_out_of_service_what_engines_hold(state: State) -> None:
    found = quarantine(Isolation(record(state), ADA, "It swears."))
    assert (found.transition.action, found.transition.target) == (Action.QUARANTINE, State.QUARANTINED)
    assert (found.reason, found.outcome, found.actor) == (Reason.QUARANTINE_REQUESTED, Outcome.PASS, ADA)
    assert found.message == (
        f"{ADA} took dates-{REVISION} out of service. It takes no more requests. Why: It swears."
    )


@pytest.mark.parametrize("state", [s for s in State if s not in RESIDENT])
def test_what_no_engine_holds_cannot_be_quarantined(state: State) -> None:
    with pytest.raises(IllegalTransition):
        quarantine(Isolation(record(state), ADA))


def test_a_long_reason_still_fits_into_a_decision() -> None:
    assert len(quarantine(Isolation(record(State.LIVE), ADA, "x" * 3000)).message) == 1000


def test_what_a_quarantined_revision_replaced_serves_again() -> None:
    found = rollback(seen(replaced(), fallen()))
    assert found is not None
    assert found[0].revision == OLD
    assert (found[1].transition.action, found[1].transition.target) == (Action.RESTORE, State.LIVE)
    assert (found[1].reason, found[1].actor) == (Reason.ROLLED_BACK, "")
    assert [(c.name, c.outcome) for c in found[1].checks] == [
        ("WithinUndoWindow", Outcome.PASS),
        ("CapacityFree", Outcome.PASS),
    ]
    assert found[1].message.startswith(f"dates-{NEW} is quarantined, so dates-{OLD} serves again")


@pytest.mark.parametrize(
    "here",
    [
        seen(fallen()),
        seen(replaced()),
        seen(replaced(), fallen(previous=State.SHADOW)),
        seen(replaced(previous=State.SHADOW), fallen()),
        seen(replaced(retired_for="Dominated"), fallen()),
        seen(replaced(retired_for="RetirementRequested"), fallen()),
        seen(replaced(), fallen(entered=NOW - 11 * HOUR)),
        seen(replaced(), fallen(), undo_window=10 * HOUR),
        seen(replaced(), fallen(), taken=4),
        seen(replaced(), fallen(), wanted=Target.RETIRED),
        seen(replaced(), fallen(), wanted=Target.SHADOW),
        seen(replaced(), fallen(), revision("c" * 12, State.LIVE, NOW)),
        seen(replaced(), fallen(entered=NOW - HOUR), later(retired_for=Reason.DOMINATED)),
        seen(replaced(), fallen(entered=NOW - HOUR), later(retired_for=Reason.RETIREMENT_REQUESTED)),
        seen(replaced(), fallen(), later(entered=NOW - HOUR, retired_for=Reason.DOMINATED)),
        seen(replaced(), fallen(), later(entered=NOW - 10 * HOUR, retired_for=Reason.DOMINATED)),
    ],
    ids=[
        "nothing before it",
        "nothing quarantined",
        "it was not live",
        "what it replaced was not live",
        "evidence retired it",
        "the owner retired it",
        "it was replaced by a later one",
        "its window is over",
        "no slot is free",
        "to be retired",
        "to be in shadow",
        "another one serves",
        "evidence retired what served since",
        "the owner retired what served since",
        "evidence retired what replaced it, and the quarantined one replaced nothing",
        "evidence retired what served, within the same second",
    ],
)
def test_in_all_other_cases_the_fallback_serves(here: Rollback) -> None:
    assert rollback(here) is None


def test_of_several_the_one_that_was_replaced_last_serves_again() -> None:
    older = revision(
        "c" * 12,
        State.RETIRED,
        NOW - 50 * HOUR,
        previous=State.LIVE,
        retired_for=Reason.SUPERSEDED,
    )
    found = rollback(seen(older, replaced(), fallen()))
    assert found is not None
    assert found[0].revision == OLD


class Ends(StrEnum):
    """How the service of a revision ends."""

    REPLACED = "by a newer one"
    QUARANTINED = "by a quarantine"
    DOMINATED = "by evidence"
    ASKED = "by its owner"


class Life:
    """A specialist's revisions, hour by hour; what was quarantined is rolled back as far as it may be."""

    def __init__(self) -> None:
        self.now, self.revisions = NOW, dict[str, RevisionRecord]()
        self.live: str | None = None
        self.end: Ends | None = None  # of what served last
        self.before: list[str] = []  # what was replaced and may come back, the last one last

    def begin(self) -> None:
        """Let another revision serve, in place of what does."""
        if self.live is not None:
            self._end(Ends.REPLACED)
        self._put(f"{len(self.revisions):012x}", State.LIVE)

    def stop(self, how: Ends) -> None:
        """End the service of what serves."""
        if self.live is None:
            return
        self._end(how)
        while self.live is None and (found := rollback(self.seen())) is not None:
            assert self.end is Ends.QUARANTINED
            assert found[0].revision == self.before.pop()
            self._put(found[0].revision, State.LIVE)

    def _end(self, how: Ends) -> None:
        assert self.live is not None
        name, self.live, self.end = self.live, None, how
        if how is Ends.QUARANTINED:
            self._put(name, State.QUARANTINED)
        else:
            self._put(name, State.RETIRED, retired_for=REASONS[how])
        if how is Ends.REPLACED:
            self.before.append(name)
        elif how is not Ends.QUARANTINED:
            # What it had replaced did not come back for it, and does not come back for what comes after it.
            self.before.clear()

    def _put(self, name: str, state: State, **more: Any) -> None:
        known = self.revisions.get(name)
        self.now += HOUR
        previous = known.state if known is not None else None
        self.revisions[name] = revision(name, state, self.now, previous=previous, **more)
        self.live = name if state is State.LIVE else self.live

    def seen(self) -> Rollback:
        return seen(*self.revisions.values(), now=self.now)


REASONS = {
    Ends.REPLACED: Reason.SUPERSEDED,
    Ends.DOMINATED: Reason.DOMINATED,
    Ends.ASKED: Reason.RETIREMENT_REQUESTED,
}


@given(st.lists(st.sampled_from([None, *(e for e in Ends if e is not Ends.REPLACED)]), max_size=12))
def test_in_any_order_of_events_only_a_quarantine_lets_the_one_replaced_last_serve_again(
    events: list[Ends | None],
) -> None:
    life = Life()
    for event in events:
        if event is None:
            life.begin()
        else:
            life.stop(event)
        assert life.live is not None or life.end is not Ends.QUARANTINED or not life.before


@given(
    st.lists(
        st.builds(
            revision,
            st.sampled_from([c * 12 for c in "abcdef"]),
            st.sampled_from(State),
            st.integers(0, 400).map(lambda hours: NOW - hours * HOUR),
            previous=st.sampled_from([None, *State]),
            retired_for=st.sampled_from(
                ["", Reason.SUPERSEDED, Reason.DOMINATED, Reason.RETIREMENT_REQUESTED]
            ),
        ),
        max_size=6,
    ),
    st.integers(0, 5),
)
def test_nothing_serves_again_but_what_served_and_may_be_restored(
    revisions: list[RevisionRecord], taken: int
) -> None:
    here = seen(*revisions, taken=taken)
    found = rollback(here)
    if found is None:
        return
    assert (found[0].state, found[0].previous, found[0].retired_for) == (
        State.RETIRED,
        State.LIVE,
        Reason.SUPERSEDED,
    )
    assert found[0].entered + WINDOW > NOW
    assert taken < here.slots
    assert any(r.state is State.QUARANTINED and r.previous is State.LIVE for r in revisions)


def test_a_released_revision_is_evaluated_again_in_the_name_of_the_person() -> None:
    found = verdict(decide(situation(State.QUARANTINED, release=Approval(REVISION, ADA))))
    assert (found.transition.action, found.transition.target) == (Action.RELEASE, State.EVALUATING)
    assert (found.reason, found.actor) == (Reason.RELEASED, ADA)


@pytest.mark.parametrize(
    "word", [None, Approval(NEW, ADA), Approval("", "yes"), Approval(REVISION, ADA, used=True)]
)
def test_any_other_word_leaves_it_in_quarantine(word: Approval | None) -> None:
    known = record(State.QUARANTINED, reason="QuarantineRequested")
    found = wait(decide(situation(State.QUARANTINED, record=known, release=word)))
    assert found.reason is Reason.QUARANTINE_REQUESTED


def test_what_its_owner_wants_retired_is_retired_and_not_released() -> None:
    here = situation(State.QUARANTINED, release=Approval(REVISION, ADA))
    gone = verdict(decide(replace(here, claim=replace(here.claim, wanted=Target.RETIRED))))
    assert gone.transition.action is Action.RETIRE
