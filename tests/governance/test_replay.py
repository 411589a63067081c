"""A verdict made again is the recorded one to the byte, or says field by field what differs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Outcome, State, Target
from modelecology.governance.book import Spent
from modelecology.governance.decide import decide
from modelecology.governance.entries import said
from modelecology.governance.facts import (
    Cost,
    Residency,
    RevisionRecord,
    Situation,
    Verdict,
)
from modelecology.governance.isolation import quarantine, rollback
from modelecology.governance.ledger import spent
from modelecology.governance.log import GENESIS, Entry, LogState, Premises, SpecialistRecord, Subject, sealed
from modelecology.governance.replay import (
    MISSING,
    Difference,
    replay,
    replay_deletion,
    rests_on_the_log_alone,
)
from modelecology.governance.rules import Prices
from modelecology.governance.situations import (
    Inputs,
    Isolation,
    Judgement,
    Made,
    Request,
    Rollback,
    Succession,
)
from modelecology.governance.succession import deletion, retry, succession

from .scenes import HOUR, NOW, POLICY, REVISION, proving, record, situation, verdict, wait

NEWER = "b" * 12
WINDOW = 168 * HOUR
EXTRA = Cost(cpu_seconds=Decimal(90))


def entry(found: Verdict, revision: str = REVISION, cost: Spent | None = None, **premises: Any) -> Entry:
    """What the log says of a verdict."""
    place = Entry(
        population="desk",
        sequence=9,
        time=NOW,
        subject=Subject("dates", "u1", revision, "k" * 64),
        action=found.transition.action,
        from_state=found.transition.source,
        to=found.transition.target,
        outcome=found.outcome,
        reason=str(found.reason),
        actor="",
        previous=GENESIS,
        premises=Premises(**{"inputs": "sha256:" + "1" * 64, **premises}),
    )
    return sealed(said(place, found, spent(found.cost + EXTRA, POLICY.prices) if cost is None else cost))


def judged(here: Situation) -> tuple[Entry, Inputs]:
    """A verdict on a situation as it is recorded, and what it was made from."""
    premises: dict[str, Any] = {
        "policy": here.policy_digest,
        "suite": here.suite_digest,
        "evidence": here.evidence.digest,
    }
    return entry(verdict(decide(here)), **premises), Inputs(Judgement(here), POLICY.prices, EXTRA)


def revision(state: State, name: str = REVISION, **changes: Any) -> RevisionRecord:
    return replace(record(state), revision=name, served_name=f"dates-{name}", **changes)


def known(*revisions: RevisionRecord, uid: str = "u1") -> SpecialistRecord:
    return SpecialistRecord("dates", uid, {r.revision: r for r in revisions})


SUCCESSION = Succession(
    known(revision(State.SHADOW), revision(State.PENDING, NEWER)), NEWER, NOW, WINDOW, Target.LIVE
)
ROLLBACK = Rollback(
    known(
        revision(State.RETIRED, previous=State.LIVE, retired_for=Reason.SUPERSEDED, entered=NOW - 2 * HOUR),
        revision(State.QUARANTINED, NEWER, previous=State.LIVE),
    ),
    NOW,
    WINDOW,
    Target.LIVE,
    taken=1,
    slots=4,
)


def due(found: tuple[RevisionRecord, Verdict] | None) -> Verdict:
    assert found is not None
    return found[1]


def successor(made: Succession) -> Verdict:
    return due(succession(made))


OTHERS: list[tuple[Made, Verdict]] = [
    (Request(record(State.FAILED), "ada@1"), retry(record(State.FAILED), "ada@1")),
    (
        Isolation(record(State.LIVE), "ada@1", "It lies."),
        quarantine(Isolation(record(State.LIVE), "ada@1", "It lies.")),
    ),
    (SUCCESSION, successor(SUCCESSION)),
    (ROLLBACK, due(rollback(ROLLBACK))),
]
SITUATIONS = [situation(s) for s in (State.PENDING, State.TRAINING, State.EVALUATING, State.SHADOW)] + [
    proving()
]


@pytest.mark.parametrize("here", SITUATIONS, ids=lambda s: s.record.state)
def test_a_judgement_comes_out_the_same(here: Situation) -> None:
    recorded, inputs = judged(here)
    assert replay(recorded, inputs) == ()


@pytest.mark.parametrize(("made", "found"), OTHERS, ids=lambda v: type(v).__name__)
def test_what_rests_on_records_alone_comes_out_the_same(made: Made, found: Verdict) -> None:
    assert replay(entry(found), Inputs(made, POLICY.prices, EXTRA)) == ()


@pytest.mark.parametrize("here", SITUATIONS, ids=lambda s: s.record.state)
@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("message", lambda e: replace(e, message=e.message + "!")),
        ("reason", lambda e: replace(e, reason="Restored")),
        ("outcome", lambda e: replace(e, outcome=Outcome.ERROR)),
        ("actor", lambda e: replace(e, actor="eve")),
        ("from", lambda e: replace(e, from_state=State.FAILED)),
        ("to", lambda e: replace(e, to=State.DELETED)),
        ("action", lambda e: replace(e, action=Action.DELETE)),
        ("cost.cpuSeconds", lambda e: replace(e, cost=replace(e.cost, cpu_seconds=Decimal(1)))),
    ],
)
def test_a_field_that_was_recorded_otherwise_is_named(
    here: Situation, field: str, change: Callable[[Entry], Entry]
) -> None:
    recorded, inputs = judged(here)
    (difference,) = replay(change(recorded), inputs)
    assert difference.field == field
    assert difference.recorded != difference.replayed
    # Where it is not the verdict's, it is no difference: place and time are taken as they are.
    assert replay(replace(change(recorded), sequence=10, time=NOW + HOUR), inputs) == (difference,)


def test_a_check_that_was_recorded_otherwise_is_named_with_its_place() -> None:
    recorded, inputs = judged(situation(State.PENDING))
    first, second, *rest = recorded.checks
    forged = replace(recorded, checks=(first, replace(second, observed="9", message="All is well."), *rest))
    assert replay(forged, inputs) == (
        Difference("checks[1].message", "All is well.", second.message),
        Difference("checks[1].observed", "9", second.observed),
    )


def test_checks_that_are_missing_show_both_lists_whole() -> None:
    recorded, inputs = judged(situation(State.PENDING))
    (difference,) = replay(replace(recorded, checks=recorded.checks[1:]), inputs)
    assert difference.field == "checks"
    assert str(recorded.checks[0].name) in difference.replayed
    assert str(recorded.checks[0].name) not in difference.recorded


def test_what_is_in_one_of_them_alone_is_nothing_in_the_other() -> None:
    recorded, inputs = judged(proving())
    assert recorded.look is not None
    (gone,) = replay(replace(recorded, look=None), inputs)
    assert (gone.field, gone.recorded) == ("look", MISSING)
    assert str(recorded.look.level) in gone.replayed
    plain, inputs = judged(situation(State.TRAINING))
    (more,) = replay(replace(plain, look=recorded.look), inputs)
    assert (more.field, more.replayed) == ("look", MISSING)


def test_a_cost_is_reckoned_again_with_the_prices_of_then() -> None:
    recorded, inputs = judged(situation(State.TRAINING))
    assert recorded.cost.cost > 0
    dearer = replace(inputs, prices=Prices(Decimal(2), POLICY.prices.cpu_hour * 2, Decimal("0.01")))
    (difference,) = replay(recorded, dearer)
    assert (difference.field, Decimal(difference.replayed)) == ("cost.cost", Decimal(difference.recorded) * 2)
    without = replay(recorded, replace(inputs, extra=Cost()))
    assert {d.field for d in without} == {"cost.cost", "cost.cpuSeconds"}


def test_a_verdict_that_is_none_any_more_says_what_it_waits_for() -> None:
    recorded, inputs = judged(situation(State.SHADOW))
    unproved = situation(State.SHADOW, residency=Residency(2, 1, 0, 0))
    said_now = wait(decide(unproved))
    (difference,) = replay(recorded, replace(inputs, made=Judgement(unproved)))
    assert (difference.field, difference.recorded) == ("action", recorded.action)
    assert difference.replayed == f"to wait: {said_now.reason}: {said_now.message}"


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("subject.revision", lambda e: replace(e, subject=replace(e.subject, revision=NEWER))),
        ("premises.policy", lambda e: replace(e, premises=replace(e.premises, policy="sha256:other"))),
        ("premises.suite", lambda e: replace(e, premises=replace(e.premises, suite=None))),
        ("premises.evidence", lambda e: replace(e, premises=replace(e.premises, evidence="sha256:other"))),
    ],
)
def test_inputs_of_another_verdict_are_told_before_anything_is_judged(
    field: str, change: Callable[[Entry], Entry]
) -> None:
    recorded, inputs = judged(situation(State.SHADOW))
    changed = change(recorded)
    (difference,) = replay(replace(changed, message="All is well."), inputs)
    assert difference.field == field
    assert (difference.recorded == MISSING) == (changed.premises.suite is None)


def test_a_verdict_that_names_no_evidence_may_rest_on_any() -> None:
    recorded, inputs = judged(situation(State.SHADOW))
    assert replay(replace(recorded, premises=replace(recorded.premises, evidence=None)), inputs) == ()


@pytest.mark.parametrize(("made", "found"), OTHERS, ids=lambda v: type(v).__name__)
def test_the_subject_must_be_the_one_that_the_inputs_are_about(made: Made, found: Verdict) -> None:
    (difference,) = replay(entry(found, revision="c" * 12), Inputs(made, POLICY.prices, EXTRA))
    assert difference == Difference("subject.revision", "c" * 12, REVISION)


@pytest.mark.parametrize(
    ("made", "found"),
    [
        (replace(SUCCESSION, current=REVISION), OTHERS[2][1]),
        (replace(ROLLBACK, now=NOW + timedelta(days=400)), OTHERS[3][1]),
        (replace(ROLLBACK, slots=1), OTHERS[3][1]),
        (replace(ROLLBACK, wanted=Target.RETIRED), OTHERS[3][1]),
    ],
    ids=["the current one", "too late", "no slot", "retired by its owner"],
)
def test_where_nothing_would_be_due_nothing_is_replayed(made: Succession | Rollback, found: Verdict) -> None:
    wanted = NEWER if isinstance(made, Succession) else MISSING
    (difference,) = replay(entry(found), Inputs(made, POLICY.prices, EXTRA))
    assert difference == Difference("subject.revision", REVISION, wanted)


@pytest.mark.parametrize("made", [SUCCESSION, ROLLBACK], ids=lambda m: type(m).__name__)
def test_a_record_of_another_object_is_told(made: Succession | Rollback) -> None:
    found = successor(made) if isinstance(made, Succession) else due(rollback(made))
    strange = replace(made, record=replace(made.record, uid="u2"))
    assert replay(entry(found), Inputs(strange, POLICY.prices, EXTRA)) == (
        Difference("subject.uid", "u1", "u2"),
    )


GOING = known(revision(State.LIVE), revision(State.RETIRED, NEWER))
BEFORE = LogState(sequence=8, specialists={"u1": GOING})


def deleted(cost: Spent | None = None) -> Entry:
    return entry(due(deletion(GOING)), cost=cost, inputs=None)


def test_a_deletion_is_replayed_from_the_log_whatever_it_cost() -> None:
    assert replay_deletion(deleted(), BEFORE) == ()
    assert replay_deletion(deleted(Spent(cost=Decimal(7), stored_gib_hours=Decimal(3))), BEFORE) == ()


def test_a_deletion_that_says_something_else_is_told() -> None:
    forged = replace(deleted(), message="It was too good.")
    (difference,) = replay_deletion(forged, BEFORE)
    assert (difference.field, difference.recorded) == ("message", "It was too good.")


@pytest.mark.parametrize(
    ("before", "replayed"),
    [
        (LogState(), MISSING),
        (LogState(specialists={"u1": known(revision(State.DELETED))}), MISSING),
        (LogState(specialists={"u1": known(revision(State.DELETED), revision(State.RETIRED, NEWER))}), NEWER),
    ],
    ids=["nobody", "all gone", "another one's turn"],
)
def test_a_deletion_that_was_not_due_is_told(before: LogState, replayed: str) -> None:
    assert replay_deletion(deleted(), before) == (Difference("subject.revision", REVISION, replayed),)


def test_only_a_deletion_with_its_specialist_rests_on_the_log_alone() -> None:
    bare = deleted()
    assert rests_on_the_log_alone(bare)
    assert not rests_on_the_log_alone(replace(bare, premises=Premises(inputs="sha256:" + "1" * 64)))
    assert not rests_on_the_log_alone(replace(bare, action=Action.RETIRE))
    assert not rests_on_the_log_alone(replace(bare, reason=str(Reason.UNDO_WINDOW_CLOSED)))
    checks = verdict(decide(situation(State.PENDING))).checks
    assert not rests_on_the_log_alone(replace(bare, checks=checks))
