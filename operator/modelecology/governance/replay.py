"""The same verdict once more, from what it was made from: equal to the byte, or what differs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action

from .decide import decide
from .entries import said
from .facts import RevisionRecord, Verdict, Wait
from .isolation import quarantine, rollback
from .ledger import spent
from .log import Entry, LogState, body_of, canonical
from .situations import Inputs, Isolation, Judgement, Made, Request, Rollback, Succession
from .succession import deletion, retry, succession

MISSING = "nothing"


@dataclass(frozen=True, slots=True)
class Difference:
    """One field of an entry's body that comes out otherwise."""

    field: str
    recorded: str
    replayed: str


def replay(recorded: Entry, inputs: Inputs) -> tuple[Difference, ...]:
    """Make the verdict again; nothing when the body is the recorded one, byte for byte."""
    strange = _of_another(recorded, inputs.made)
    if strange:
        return strange
    verdict = _verdict_of(inputs.made)
    if not isinstance(verdict, Verdict):
        waited = "to wait for nothing" if verdict is None else f"to wait: {verdict.reason}: {verdict.message}"
        return (Difference("action", recorded.action, waited),)
    cost = spent(verdict.cost + inputs.extra, inputs.prices)
    return _compared(recorded, said(recorded, verdict, cost))


def replay_deletion(recorded: Entry, before: LogState) -> tuple[Difference, ...]:
    """Make the verdict again that a revision goes with its Specialist: it rests on the log alone."""
    record = before.specialists.get(recorded.subject.uid)
    due = deletion(record) if record is not None else None
    if due is None or due[0].revision != recorded.subject.revision:
        found = due[0].revision if due is not None else MISSING
        return (Difference("subject.revision", recorded.subject.revision, found),)
    # What it held is charged with it, and is no part of the verdict.
    return _compared(recorded, said(recorded, due[1], recorded.cost))


def rests_on_the_log_alone(entry: Entry) -> bool:
    """Say whether an entry has no inputs because its verdict needs none."""
    bare = entry.premises.inputs is None and not entry.checks
    return bare and entry.action is Action.DELETE and entry.reason == Reason.DELETED


def _verdict_of(made: Made) -> Verdict | Wait | None:
    match made:
        case Judgement():
            return decide(made.situation)
        case Request():
            return retry(made.record, made.actor)
        case Isolation():
            return quarantine(made)
        case Succession() | Rollback():
            due = _due(made)
            return due[1] if due is not None else None


def _due(made: Succession | Rollback) -> tuple[RevisionRecord, Verdict] | None:
    return rollback(made) if isinstance(made, Rollback) else succession(made)


def _of_another(recorded: Entry, made: Made) -> tuple[Difference, ...]:
    """Compare what the inputs say of themselves with what the entry says of them."""
    subject, premises = recorded.subject, recorded.premises
    pairs: list[tuple[str, str | None, str | None]]
    match made:
        case Judgement():
            situation = made.situation
            pairs = [
                ("subject.revision", subject.revision, situation.record.revision),
                ("premises.policy", premises.policy, situation.policy_digest),
                ("premises.suite", premises.suite, situation.suite_digest),
            ]
            if premises.evidence is not None:
                pairs.append(("premises.evidence", premises.evidence, situation.evidence.digest))
        case Request() | Isolation():
            pairs = [("subject.revision", subject.revision, made.record.revision)]
        case Succession() | Rollback():
            due = _due(made)
            pairs = [
                ("subject.uid", subject.uid, made.record.uid),
                ("subject.revision", subject.revision, due[0].revision if due else MISSING),
            ]
    return tuple(Difference(n, a or MISSING, b or MISSING) for n, a, b in pairs if a != b)


def _compared(recorded: Entry, replayed: Entry) -> tuple[Difference, ...]:
    if canonical(recorded) == canonical(replayed):
        return ()
    return tuple(_differences("", body_of(recorded), body_of(replayed)))


def _differences(path: str, ours: Any, theirs: Any) -> list[Difference]:
    if ours == theirs:
        return []
    if isinstance(ours, dict) and isinstance(theirs, dict):
        names = sorted(ours.keys() | theirs.keys())
        return [d for n in names for d in _differences(f"{path}.{n}".lstrip("."), ours.get(n), theirs.get(n))]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        pairs = enumerate(zip(ours, theirs, strict=True))
        return [d for i, (a, b) in pairs for d in _differences(f"{path}[{i}]", a, b)]
    return [Difference(path, _shown(ours), _shown(theirs))]


def _shown(plain: Any) -> str:
    return MISSING if plain is None else str(plain)
