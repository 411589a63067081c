"""The decision log: what a digest covers, what breaks the chain, and what the fold says."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Outcome, State
from modelecology.governance.book import Spent
from modelecology.governance.facts import Check, Interval, Scorecard
from modelecology.governance.lifecycle import TRANSITIONS
from modelecology.governance.log import (
    Entry,
    LogBroken,
    LogState,
    Premises,
    Subject,
    apply,
    canonical,
    digest_of,
    fold,
    sealed,
)

from .scenes import HOUR, NOW

KEY = "e" * 64
FIRST, SECOND = "a" * 12, "b" * 12
Step = tuple[Action, State, State]
TO_LIVE: tuple[Step, ...] = (
    (Action.PROPOSE, State.PENDING, State.TRAINING),
    (Action.EVALUATE, State.TRAINING, State.EVALUATING),
    (Action.ADMIT, State.EVALUATING, State.SHADOW),
    (Action.PROMOTE, State.SHADOW, State.LIVE),
)


def next_entry(
    state: LogState, step: Step, revision: str = FIRST, uid: str = "u1", **changes: object
) -> Entry:
    action, source, target = step
    entry = Entry(
        population="desk",
        sequence=state.sequence + 1,
        time=NOW + HOUR * state.sequence,
        subject=Subject("dates", uid, revision, KEY),
        action=action,
        from_state=source,
        to=target,
        outcome=Outcome.PASS,
        reason="GapProven",
        actor="operator",
        previous=state.digest,
    )
    return sealed(replace(entry, **changes))  # type: ignore[arg-type]  # names and types are the test's own


def through(*steps: Step, state: LogState | None = None, **changes: object) -> LogState:
    found = state or LogState()
    for step in steps:
        found = apply(found, next_entry(found, step, **changes))  # type: ignore[arg-type]  # as above
    return found


def test_the_same_decision_has_the_same_bytes_wherever_its_clock_stood() -> None:
    here = next_entry(LogState(), TO_LIVE[0])
    there = replace(here, time=here.time.astimezone(timezone(timedelta(hours=5))))
    assert canonical(here) == canonical(there)


@pytest.mark.parametrize(
    "change",
    [
        {"message": "x"},
        {"actor": "ada"},
        {"reason": "Queued"},
        {"outcome": Outcome.FAIL},
        {"time": NOW + timedelta(seconds=1)},
        {"subject": Subject("dates", "u1", FIRST, "f" * 64)},
        {"checks": (Check("GapProven", Outcome.PASS, interval=Interval(0.1, 0.2, 0.95), n=3),)},
        {"scorecard": Scorecard("dates", 0.5, "generalist", 0.1, None, 10)},
        {"premises": Premises(evidence="sha256:" + "1" * 64)},
        {"cost": Spent(cpu_seconds=Decimal("0.001"))},
        {"previous": "sha256:" + "1" * 64},
        {"sequence": 2},
    ],
)
def test_the_digest_covers_everything_but_itself(change: dict[str, object]) -> None:
    entry = next_entry(LogState(), TO_LIVE[0])
    assert digest_of(replace(entry, **change)) != entry.digest  # type: ignore[arg-type]  # as above
    assert digest_of(replace(entry, digest="")) == entry.digest


@given(st.decimals(min_value=0, max_value=10**9, places=6), st.integers(0, 6))
def test_a_decimal_is_written_one_way_however_it_came(value: Decimal, zeros: int) -> None:
    entry = next_entry(LogState(), TO_LIVE[0])
    longer = Decimal(str(value) + "0" * zeros if "." in str(value) else str(value))
    assert digest_of(replace(entry, cost=Spent(cost=value))) == digest_of(
        replace(entry, cost=Spent(cost=longer))
    )


def test_a_gap_a_fork_a_change_and_an_edge_that_the_table_lacks_break_the_log() -> None:
    state = through(*TO_LIVE[:1])
    entry = next_entry(state, TO_LIVE[1])
    for wrong, why in (
        (sealed(replace(entry, sequence=3)), "3 follows 1"),
        (sealed(replace(entry, previous="sha256:" + "1" * 64)), "does not name the digest"),
        (replace(entry, message="changed"), "was changed"),
        (sealed(replace(entry, to=State.LIVE)), "decision 2"),
        (
            sealed(replace(entry, action=Action.PROMOTE, from_state=State.SHADOW, to=State.LIVE)),
            "but it is Training",
        ),
    ):
        with pytest.raises(LogBroken, match=why):
            apply(state, wrong)
    apply(state, entry)


def test_folding_in_two_parts_is_folding_at_once() -> None:
    entries = []
    state = LogState()
    for step in TO_LIVE:
        entries.append(next_entry(state, step))
        state = apply(state, entries[-1])
    assert fold(entries) == state
    assert fold(entries[2:], fold(entries[:2])) == state


def test_the_live_revision_and_the_one_before_it_are_known() -> None:
    state = through(*TO_LIVE)
    record = state.specialists["u1"]
    assert (record.live, record.previous) == (FIRST, None)
    state = through(*TO_LIVE, state=state, revision=SECOND)
    record = state.specialists["u1"]
    assert (record.live, record.previous) == (SECOND, FIRST)
    state = through((Action.RETIRE, State.LIVE, State.RETIRED), state=state, revision=FIRST)
    assert state.specialists["u1"].live == SECOND
    state = through((Action.RETIRE, State.LIVE, State.RETIRED), state=state, revision=SECOND)
    record = state.specialists["u1"]
    assert (record.live, record.previous) == (None, SECOND)
    state = through((Action.DELETE, State.RETIRED, State.DELETED), state=state, revision=SECOND)
    assert state.specialists["u1"].previous is None


def test_a_record_knows_when_it_entered_its_state_and_whether_it_served() -> None:
    state = through(*TO_LIVE, (Action.RETIRE, State.LIVE, State.RETIRED))
    record = state.specialists["u1"].revisions[FIRST]
    assert record.entered == NOW + 4 * HOUR
    assert (record.was_live, record.was_resident, record.previous) == (True, True, State.LIVE)
    again = through((Action.RESTORE, State.RETIRED, State.PENDING), state=state).specialists["u1"]
    assert not again.revisions[FIRST].was_live
    assert again.revisions[FIRST].was_resident


def test_retries_count_without_moving_the_record_and_passing_causes_are_excused() -> None:
    retry = (Action.RETRY, State.TRAINING, State.TRAINING)
    state = through(TO_LIVE[0], retry, reason=str(Reason.JOB_RETRIED))
    state = through(retry, state=state, reason=str(Reason.ENGINE_UNREACHABLE))
    record = state.specialists["u1"].revisions[FIRST]
    assert (record.attempts, record.excused, record.tries) == (2, 1, 2)
    assert record.entered == NOW
    assert record.since == NOW + 2 * HOUR
    moved = through(TO_LIVE[1], state=state).specialists["u1"].revisions[FIRST]
    assert (moved.attempts, moved.excused, moved.tries) == (0, 0, 2)


def test_what_was_spent_is_summed_by_specialist_and_within_a_window() -> None:
    spent = Spent(cpu_seconds=Decimal(10), tokens=5, cost=Decimal("0.5"))
    state = through(*TO_LIVE, cost=spent)
    assert state.spent == state.specialists["u1"].spent
    assert state.spent.cost == Decimal(2)
    late = state.book.charges_after(NOW + HOUR)
    assert sum(charge.cost.cpu_seconds for charge in late) == 20


def test_an_artifact_is_made_once_until_nobody_holds_it_any_more() -> None:
    state = through(*TO_LIVE)
    assert state.made == {KEY}
    state = through(*TO_LIVE, state=state, uid="u2")
    state = through((Action.DELETE, State.LIVE, State.DELETED), state=state)
    assert state.made == {KEY}
    state = through((Action.DELETE, State.LIVE, State.DELETED), state=state, uid="u2")
    assert state.made == frozenset()


def test_a_retry_that_a_person_asked_for_is_remembered() -> None:
    state = through(*TO_LIVE[:2], (Action.REJECT, State.EVALUATING, State.REJECTED))
    state = through((Action.RETRY, State.REJECTED, State.PENDING), state=state, actor="ada@1")
    assert state.specialists["u1"].retried_by == "ada@1"
    state = through(TO_LIVE[0], state=state)
    assert state.specialists["u1"].retried_by == "ada@1"


def test_an_approval_that_has_promoted_is_remembered() -> None:
    state = through(*TO_LIVE[:3])
    assert state.specialists["u1"].revisions[FIRST].promoted_by == ""
    state = through(TO_LIVE[3], state=state, actor="ada@1")
    state = through((Action.RETIRE, State.LIVE, State.RETIRED), state=state)
    assert state.specialists["u1"].revisions[FIRST].promoted_by == "ada@1"


@given(st.data())
def test_every_walk_through_the_table_can_be_folded_and_no_step_of_it_can_be_left_out(
    data: st.DataObject,
) -> None:
    entries: list[Entry] = []
    state, where = LogState(), State.PENDING
    for _ in range(data.draw(st.integers(3, 12))):
        edge = data.draw(st.sampled_from([t for t in TRANSITIONS if t.source is where]))
        entries.append(next_entry(state, (edge.action, edge.source, edge.target)))
        state, where = apply(state, entries[-1]), edge.target
    assert fold(entries) == state
    assert state.specialists["u1"].revisions[FIRST].state is where
    gone = data.draw(st.integers(0, len(entries) - 2))
    with pytest.raises(LogBroken):
        fold([e for i, e in enumerate(entries) if i != gone])


def test_times_are_kept_to_the_second() -> None:
    entry = next_entry(LogState(), TO_LIVE[0])
    assert (
        digest_of(replace(entry, time=datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=NOW.tzinfo))) == entry.digest
    )
