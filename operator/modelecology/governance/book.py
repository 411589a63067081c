"""The ledger's book: what the log charges, what is held and charged by time, and which results are paid.

It needs nothing but the entries, in their order, and may begin with any of them: a reader who has only the
newest part of a log keeps the same book of that part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Generic, Protocol, TypeVar

from modelecology.api.vocabulary import State

from .facts import Charge, Cost

GIB = 2**30
_FINEST = Decimal("1e-12")  # as fine as the kinds write a decimal
_SECOND = timedelta(seconds=1)
_T = TypeVar("_T")
RevisionKey = tuple[str, str]  # uid of the Specialist, revision


@dataclass(frozen=True, slots=True)
class Spent:
    """What was spent on the subject since its last entry, with its price.

    What is None was not counted yet when the entry was written; old entries must keep their digests.
    """

    cpu_seconds: Decimal = Decimal(0)
    gpu_seconds: Decimal = Decimal(0)
    tokens: int = 0
    cost: Decimal = Decimal(0)
    resident_gib_hours: Decimal | None = None
    stored_gib_hours: Decimal | None = None
    served_tokens: int | None = None

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.cpu_seconds + other.cpu_seconds,
            self.gpu_seconds + other.gpu_seconds,
            self.tokens + other.tokens,
            self.cost + other.cost,
            _plus(self.resident_gib_hours, other.resident_gib_hours),
            _plus(self.stored_gib_hours, other.stored_gib_hours),
            (self.served_tokens or 0) + (other.served_tokens or 0) or None,
        )

    @property
    def resources(self) -> Cost:
        """The resources without their price."""
        zero = Decimal(0)
        return Cost(
            self.cpu_seconds,
            self.gpu_seconds,
            self.tokens,
            self.resident_gib_hours or zero,
            self.stored_gib_hours or zero,
            self.served_tokens or 0,
        )


def _plus(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other


@dataclass(frozen=True, slots=True)
class Holding:
    """What a revision holds from a decision on: bytes in the store, and bytes on each of some replicas."""

    stored_bytes: int
    resident_bytes: int
    replicas: int


@dataclass(frozen=True, slots=True)
class Account:
    """What a decision says for the ledger beside its cost."""

    holds: Holding | None = None
    results: tuple[str, ...] = ()  # keys of the evaluations that the cost includes
    population: Spent | None = None  # evaluations that belong to no candidate: the population pays for them
    population_results: tuple[str, ...] = ()  # their keys, and the names of such jobs that failed


@dataclass(frozen=True, slots=True)
class Held:
    """What one revision holds, and since when that was not charged."""

    key: str
    holds: Holding
    since: datetime
    stored_since: datetime | None  # None where another revision pays for the same stored bytes


class _Subject(Protocol):
    @property
    def specialist(self) -> str: ...
    @property
    def uid(self) -> str: ...
    @property
    def revision(self) -> str: ...
    @property
    def key(self) -> str: ...


class Posted(Protocol):
    """The part of a decision that the book reads."""

    @property
    def time(self) -> datetime: ...
    @property
    def subject(self) -> _Subject: ...
    @property
    def to(self) -> State: ...
    @property
    def cost(self) -> Spent: ...
    @property
    def account(self) -> Account | None: ...


class Journal(Generic[_T]):
    """A sequence that only grows. The newest one shares its memory with all before it."""

    __slots__ = ("_count", "_items")

    def __init__(self, items: Iterable[_T] = ()) -> None:
        self._items = list(items)
        self._count = len(self._items)

    def grown(self, *more: _T) -> Journal[_T]:
        """Give the sequence with more at its end; a second one that grows from here becomes a copy."""
        if not more:
            return self
        # Whoever is the newest grows in place: a log of a million entries is folded in linear time.
        found: Journal[_T] = Journal.__new__(Journal)
        found._items = self._items if len(self._items) == self._count else self._items[: self._count]
        found._items.extend(more)
        found._count = self._count + len(more)
        return found

    def __iter__(self) -> Iterator[_T]:
        return iter(self._items[: self._count])

    def __len__(self) -> int:
        return self._count

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Journal) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # it holds a list

    def newest(self) -> Iterator[_T]:
        """Go through it from its end."""
        return (self._items[i] for i in range(self._count - 1, -1, -1))


class Keys:
    """A set of keys that only grows, in the same way."""

    __slots__ = ("_count", "_places")

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._places = {key: place for place, key in enumerate(dict.fromkeys(keys))}
        self._count = len(self._places)

    def grown(self, keys: Iterable[str]) -> Keys:
        """Give the set with more keys in it."""
        new = [key for key in dict.fromkeys(keys) if key not in self]
        if not new:
            return self
        found: Keys = Keys.__new__(Keys)
        newest = len(self._places) == self._count
        found._places = self._places if newest else {k: p for k, p in self._places.items() if p < self._count}
        found._places.update((key, self._count + n) for n, key in enumerate(new))
        found._count = self._count + len(new)
        return found

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._places.get(key, self._count) < self._count

    def __len__(self) -> int:
        return self._count

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Keys)
            and len(self) == len(other)
            and all(key in other for key in self._sorted())
        )

    __hash__ = None  # type: ignore[assignment]  # it holds a dict

    def _sorted(self) -> list[str]:
        return sorted(key for key in self._places if key in self)


@dataclass(frozen=True, slots=True)
class Book:
    """What a log, or its newest part, says for the ledger."""

    charges: Journal[Charge] = field(default_factory=Journal)
    held: Mapping[RevisionKey, Held] = field(default_factory=dict)
    paid: Keys = field(default_factory=Keys)  # evaluations that somebody has paid for
    own: Spent = Spent()  # what the population itself paid

    def after(self, entry: Posted) -> Book:
        """Take one more entry into the book."""
        charges = [(entry.subject.specialist, entry.cost.resources)]
        account = entry.account
        own, paid = self.own, self.paid
        if account is not None:
            paid = paid.grown((*account.results, *account.population_results))
            if account.population is not None:
                own = own + account.population
                charges.append(("", account.population.resources))
        new = (Charge(entry.time, name, cost) for name, cost in charges if cost != Cost())
        return Book(self.charges.grown(*new), self._held_after(entry), paid, own)

    def _held_after(self, entry: Posted) -> Mapping[RevisionKey, Held]:
        who = (entry.subject.uid, entry.subject.revision)
        known = self.held.get(who)
        gone = entry.to is State.DELETED
        if known is None and (gone or entry.account is None or entry.account.holds is None):
            return self.held
        if entry.account is None and not gone:
            return self.held
        holds = None if gone or entry.account is None else entry.account.holds
        key = entry.subject.key or (known.key if known else "")
        held = dict(self.held)
        held.pop(who, None)
        if known is not None and holds is not None and key == known.key:
            pays = known.stored_since is not None
        else:
            if known is not None and known.stored_since is not None:
                _hand_on(held, known.key, entry.time)
            pays = not any(h.key == key and h.stored_since is not None for h in held.values())
        if holds is not None:
            held[who] = Held(key, holds, entry.time, entry.time if pays else None)
        return held

    def accrued(self, uid: str, revision: str, until: datetime, since: datetime | None = None) -> Cost:
        """Sum what a revision holds over the time not charged yet, or over its part after `since`."""
        held = self.held.get((uid, revision))
        if held is None:
            return Cost()
        holds = held.holds
        begun, stored = held.since, held.stored_since
        if since is not None:
            begun, stored = max(begun, since), max(stored, since) if stored else None
        return Cost(
            resident_gib_hours=gib_hours(holds.resident_bytes * holds.replicas, until - begun),
            stored_gib_hours=gib_hours(holds.stored_bytes, until - stored) if stored else Decimal(0),
        )

    def charges_after(self, start: datetime) -> tuple[Charge, ...]:
        """List what was charged after a moment, newest first."""
        return tuple(charge for charge in self.charges.newest() if charge.time > start)


def _hand_on(held: dict[RevisionKey, Held], key: str, now: datetime) -> None:
    """Let the next revision that holds the same bytes pay for them from now on."""
    for other, each in held.items():
        if each.key == key:
            held[other] = replace(each, stored_since=now)
            return


def gib_hours(size: int, time: timedelta) -> Decimal:
    """Multiply bytes by a time in whole seconds, in GiB-hours; a time below 0 counts nothing."""
    seconds = max(time // _SECOND, 0)
    return (Decimal(size) * seconds / (3600 * GIB)).quantize(_FINEST)


def revisions_held(book: Book, uid: str) -> tuple[str, ...]:
    """List the revisions of a Specialist that hold something."""
    return tuple(revision for owner, revision in book.held if owner == uid)


__all__ = [
    "GIB",
    "Account",
    "Book",
    "Held",
    "Holding",
    "Journal",
    "Keys",
    "Posted",
    "RevisionKey",
    "Spent",
    "gib_hours",
    "revisions_held",
]
