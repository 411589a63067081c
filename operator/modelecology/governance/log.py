"""The decision log: canonical bytes, digests, the chain, and the fold that gives every status."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Outcome, State

from .book import Account, Book, Spent
from .facts import Check, RevisionRecord, Scorecard, TakenLook
from .lifecycle import PROMOTING, RESIDENT, UNDECIDED, transition
from .lives import closed, opened
from .looks import BudgetSpent, SuiteLife

GENESIS = "sha256:" + "0" * 64

_BEGINNINGS = (Action.PROPOSE, Action.RECONSIDER, Action.RELEASE)  # of trials

Lives = Mapping[str, SuiteLife]


class LogBroken(Exception):
    """Raised when the chain has a gap, a fork, a wrong digest or an edge the table does not have."""

    reason = Reason.LOG_BROKEN


class NameTaken(LogBroken):
    """Raised when the next decision's name belongs to an object that is none of this log's."""

    reason = Reason.DECISION_NAME_TAKEN


@dataclass(frozen=True, slots=True)
class Subject:
    """What an entry is about."""

    specialist: str
    uid: str
    revision: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class Premises:
    """Digests of everything a verdict rests on."""

    policy: str | None = None
    suite: str | None = None
    evidence: str | None = None
    code: str | None = None
    inputs: str | None = None  # the whole situation, in the store under this digest


@dataclass(frozen=True, slots=True)
class Entry:
    """One decision of a population."""

    population: str
    sequence: int
    time: datetime
    subject: Subject
    action: Action
    from_state: State
    to: State
    outcome: Outcome
    reason: str
    actor: str
    previous: str
    message: str = ""
    checks: tuple[Check, ...] = ()
    scorecard: Scorecard | None = None
    premises: Premises = Premises()
    cost: Spent = field(default_factory=Spent)
    look: TakenLook | None = None
    account: Account | None = None
    digest: str = ""


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _plain(value: object) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value))
        return {"from" if n == "from_state" else _camel(n): _plain(v) for n, v in pairs if v is not None}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, Decimal):
        text = format(value.normalize(), "f")
        return "0" if text == "-0" else text
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        # The API server may give 1 back for 1.0; both are the same number here.
        return int(value) if value.is_integer() else value
    return value


def body_of(entry: Entry) -> dict[str, Any]:
    """Give an entry without its own digest as plain JSON; what is absent is left out."""
    body: dict[str, Any] = _plain(entry)
    del body["digest"]
    return body


def canonical(entry: Entry) -> bytes:
    """Write an entry without its own digest as compact JSON with sorted keys, in UTF-8."""
    return json.dumps(body_of(entry), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest_of(entry: Entry) -> str:
    """Compute the digest that an entry must carry."""
    return "sha256:" + hashlib.sha256(canonical(entry)).hexdigest()


def sealed(entry: Entry) -> Entry:
    """Give the entry with its digest filled in."""
    return replace(entry, digest=digest_of(entry))


@dataclass(frozen=True, slots=True)
class SpecialistRecord:
    """What the log says of one Specialist object."""

    name: str
    uid: str
    revisions: Mapping[str, RevisionRecord] = field(default_factory=dict)
    live: str | None = None
    previous: str | None = None
    spent: Spent = field(default_factory=Spent)
    last: Entry | None = None
    retried_by: str = ""  # who asked for the last retry; the same request is not served twice

    def in_state(self, *states: State) -> tuple[RevisionRecord, ...]:
        """List the revisions that stand in one of some states, oldest entry first."""
        found = (r for r in self.revisions.values() if r.state in states)
        return tuple(sorted(found, key=lambda r: (r.entered, r.revision)))


@dataclass(frozen=True, slots=True)
class LogState:
    """What the whole log of a population says."""

    sequence: int = 0
    digest: str = GENESIS
    specialists: Mapping[str, SpecialistRecord] = field(default_factory=dict)
    book: Book = field(default_factory=Book)
    spent: Spent = field(default_factory=Spent)
    made: frozenset[str] = frozenset()  # keys of artifacts that some revision has taken over and paid for
    lives: Lives = field(default_factory=dict)  # by suite digest


def _revision_after(record: RevisionRecord | None, entry: Entry, served_name: str) -> RevisionRecord:
    moved = record is None or entry.to is not entry.from_state
    known = record or RevisionRecord(entry.subject.revision, served_name, entry.to, entry.time, entry.time)
    retried = entry.action is Action.RETRY and not moved
    return replace(
        known,
        state=entry.to,
        since=entry.time,
        # What takes its task over begins anew, though it was live before.
        entered=entry.time if moved or entry.action is Action.RESTORE else known.entered,
        key=entry.subject.key or known.key,
        reason=entry.reason,
        was_live=entry.to is State.LIVE or (known.was_live and entry.to not in UNDECIDED),
        was_resident=known.was_resident or entry.to in RESIDENT,
        attempts=known.attempts + 1 if retried else 0,
        excused=_excused(known, entry) if retried else 0,
        previous=entry.from_state if moved else known.previous,
        tries=known.tries + 1
        if entry.action in (Action.RETRY, Action.RECONSIDER, Action.RESTORE, Action.RELEASE)
        else known.tries,
        policy=entry.premises.policy or known.policy,
        suite=entry.premises.suite or known.suite,
        evidence=entry.premises.evidence or known.evidence,
        scorecard=entry.scorecard or known.scorecard,
        promoted_by=_promoted_by(known, entry),
        look=_look_after(known, entry),
        pinned=entry.premises.inputs if entry.action in _BEGINNINGS else known.pinned,
        proven=entry.look if entry.look and entry.look.passed else _still_proven(known, entry),
        retired_for=entry.reason if entry.action is Action.RETIRE else known.retired_for,
        retired_by=entry.actor if entry.action is Action.RETIRE else known.retired_by,
        retired_at=entry.time if entry.action is Action.RETIRE else known.retired_at,
        restored_by=entry.actor if entry.action is Action.RESTORE else known.restored_by,
        quarantined_by=entry.actor if entry.action is Action.QUARANTINE else known.quarantined_by,
        released_by=entry.actor if entry.action is Action.RELEASE else known.released_by,
        step=known.step + 1 if entry.action is Action.ADVANCE else 0 if moved else known.step,
    )


def _promoted_by(known: RevisionRecord, entry: Entry) -> str:
    """Whose word was used; the operator's own steps after it leave it used."""
    word = entry.action in PROMOTING and "@" in entry.actor
    return entry.actor if word else known.promoted_by


def _look_after(known: RevisionRecord, entry: Entry) -> TakenLook | None:
    if entry.action is Action.PROVE:
        return entry.look
    return known.look if entry.to is State.EVALUATING is entry.from_state else None


def _still_proven(known: RevisionRecord, entry: Entry) -> TakenLook | None:
    return None if entry.to in (State.PENDING, State.TRAINING, State.EVALUATING) else known.proven


def _lives_after(lives: Lives, old: RevisionRecord | None, entry: Entry) -> Lives:
    """Take into account what an entry opens or tells of a suite. Raises LogBroken."""
    who = f"{entry.subject.uid}/{entry.subject.revision}"
    opens = entry.action is Action.PROVE
    look = old.look if old is not None else None
    if look is not None and (opens or entry.to is not State.EVALUATING):
        lives = closed(lives, who, look, None if opens else entry.look)
    if opens and entry.look is not None:
        try:
            lives = opened(lives, who, entry.look)
        except BudgetSpent as error:
            raise LogBroken(f"decision {entry.sequence} takes a look that is not there: {error}") from error
    return lives


def _excused(known: RevisionRecord, entry: Entry) -> int:
    """Count the retries for causes outside the job: they do not use up its tries."""
    return known.excused + (entry.reason != Reason.JOB_RETRIED)


def served_name(specialist: str, revision: str) -> str:
    """Name a revision as engines know it; the name is never reused for other weights."""
    return f"{specialist}-{revision[:12]}"


def _specialist_after(record: SpecialistRecord, entry: Entry) -> SpecialistRecord:
    revision = entry.subject.revision
    if record.name != entry.subject.specialist:
        raise LogBroken(
            f"decision {entry.sequence} calls {record.uid} {entry.subject.specialist}, "
            f"but it is {record.name}"
        )
    old = record.revisions.get(revision)
    if old is not None and old.state is not entry.from_state:
        raise LogBroken(
            f"decision {entry.sequence} takes {record.name} from {entry.from_state}, but it is {old.state}"
        )
    after = _revision_after(old, entry, served_name(record.name, revision))
    revisions = {**record.revisions, revision: after}
    live, previous = record.live, record.previous
    if entry.to is State.LIVE and entry.reason != Reason.PINNED:
        if live is not None and live != revision:
            previous = live
            revisions[revision] = replace(after, replaced=live)
        elif previous == revision:
            previous = None
        live = revision
    elif live == revision:
        live, previous = None, revision
    if entry.to is State.DELETED and previous == revision:
        previous = None
    asked = entry.action is Action.RETRY and entry.to is State.PENDING
    return replace(
        record,
        revisions=revisions,
        live=live,
        previous=previous,
        spent=record.spent + entry.cost,
        last=entry,
        retried_by=entry.actor if asked else record.retried_by,
    )


def apply(state: LogState, entry: Entry) -> LogState:
    """Take one more entry into the state. Raises LogBroken when it does not fit."""
    if entry.sequence != state.sequence + 1:
        raise LogBroken(f"decision {entry.sequence} follows {state.sequence}; one is missing or forked")
    if entry.previous != state.digest:
        raise LogBroken(f"decision {entry.sequence} does not name the digest of the one before it")
    if entry.digest != digest_of(entry):
        raise LogBroken(f"decision {entry.sequence} was changed: its digest does not match its body")
    try:
        transition(entry.action, entry.from_state, entry.to)
    except ValueError as error:
        raise LogBroken(f"decision {entry.sequence}: {error}") from error
    uid = entry.subject.uid
    record = state.specialists.get(uid) or SpecialistRecord(entry.subject.specialist, uid)
    specialists = {**state.specialists, uid: _specialist_after(record, entry)}
    shared = entry.account.population if entry.account else None
    return LogState(
        sequence=entry.sequence,
        digest=entry.digest,
        specialists=specialists,
        book=state.book.after(entry),
        spent=state.spent + entry.cost + (shared or Spent()),
        made=_made_after(state, specialists, entry),
        lives=_lives_after(state.lives, record.revisions.get(entry.subject.revision), entry),
    )


def _made_after(state: LogState, specialists: Mapping[str, SpecialistRecord], entry: Entry) -> frozenset[str]:
    key = entry.subject.key
    # One that no evaluation follows was paid for all the same, if its key is among what the cost includes.
    if entry.action is Action.EVALUATE or (entry.account is not None and key in entry.account.results):
        return state.made | {key}
    if entry.to is State.DELETED and key in state.made:
        records = (r for s in specialists.values() for r in s.revisions.values())
        # Once nobody holds it any more, whoever asks for it again has to make and to pay it again.
        if not any(r.key == key and r.state is not State.DELETED for r in records):
            return state.made - {key}
    return state.made


def fold(entries: Iterable[Entry], state: LogState | None = None) -> LogState:
    """Fold entries, in their order, into the state. Raises LogBroken."""
    result = state or LogState()
    for entry in entries:
        result = apply(result, entry)
    return result


def pending(revision: str, name: str, now: datetime) -> RevisionRecord:
    """Give the record of a revision which the log has not seen yet."""
    return RevisionRecord(revision, name, State.PENDING, now, now)
