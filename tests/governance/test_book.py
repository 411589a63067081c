"""The ledger's book: what is held is charged by time, once, and each result is paid once."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from modelecology.api.vocabulary import State
from modelecology.governance.book import (
    GIB,
    Account,
    Book,
    Holding,
    Journal,
    Keys,
    Spent,
    gib_hours,
    revisions_held,
)
from modelecology.governance.facts import Charge, Cost
from modelecology.governance.log import Subject

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ONE = Holding(stored_bytes=2 * GIB, resident_bytes=GIB, replicas=0)
SERVED = Holding(stored_bytes=2 * GIB, resident_bytes=GIB, replicas=3)
KEY = "k" * 64


@dataclass(frozen=True)
class Line:
    """As much of a decision as the book reads."""

    time: datetime
    subject: Subject
    to: State
    cost: Spent = field(default_factory=Spent)
    account: Account | None = None


def line(
    hours: float,
    to: State,
    holds: Holding | None = None,
    *,
    name: str = "dates",
    revision: str = "a" * 12,
    key: str = KEY,
    cost: Spent = Spent(),  # noqa: B008  # frozen
) -> Line:
    subject = Subject(name, f"uid-{name}", revision, key)
    return Line(START + hours * HOUR, subject, to, cost, Account(holds=holds))


def held(book: Book, hours: float, name: str = "dates", revision: str = "a" * 12) -> Cost:
    return book.accrued(f"uid-{name}", revision, START + hours * HOUR)


def test_a_live_revision_is_charged_its_bytes_on_every_replica_and_in_the_store() -> None:
    book = Book().after(line(0, State.LIVE, SERVED))
    assert held(book, 10) == Cost(resident_gib_hours=Decimal(30), stored_gib_hours=Decimal(20))
    assert held(book, -1) == Cost()


def test_what_a_decision_has_charged_is_not_charged_again() -> None:
    book = Book().after(line(0, State.LIVE, SERVED)).after(line(10, State.RETIRED, ONE))
    assert held(book, 12) == Cost(stored_gib_hours=Decimal(4))
    assert held(book.after(line(20, State.DELETED)), 30) == Cost()


def test_a_part_of_the_time_can_be_asked_for() -> None:
    book = Book().after(line(0, State.LIVE, SERVED))
    found = book.accrued("uid-dates", "a" * 12, START + 10 * HOUR, START + 8 * HOUR)
    assert found == Cost(resident_gib_hours=Decimal(6), stored_gib_hours=Decimal(4))
    assert book.accrued("uid-dates", "a" * 12, START + 10 * HOUR, START - 8 * HOUR) == held(book, 10)


def test_bytes_that_two_revisions_share_are_paid_by_the_first_and_then_by_the_next() -> None:
    book = Book().after(line(0, State.EVALUATING, ONE))
    book = book.after(line(1, State.EVALUATING, ONE, name="twin"))
    assert held(book, 5, "twin") == Cost()
    assert held(book, 5).stored_gib_hours == 10
    book = book.after(line(5, State.DELETED))
    assert held(book, 8, "twin").stored_gib_hours == 6
    assert held(book, 8) == Cost()


def test_a_revision_that_takes_another_key_leaves_the_old_bytes_to_the_next() -> None:
    book = Book().after(line(0, State.EVALUATING, ONE)).after(line(0, State.EVALUATING, ONE, name="twin"))
    book = book.after(line(4, State.EVALUATING, ONE, key="m" * 64))
    assert held(book, 6, "twin").stored_gib_hours == 4
    assert held(book, 6).stored_gib_hours == 4


def test_an_entry_of_an_older_version_charges_nothing_by_time_and_a_deletion_always_ends_it() -> None:
    old = Line(START, Subject("dates", "uid-dates", "a" * 12, KEY), State.LIVE)
    assert held(Book().after(old), 10) == Cost()
    gone = Line(START + HOUR, old.subject, State.DELETED)
    book = Book().after(line(0, State.LIVE, SERVED))
    assert held(book.after(old), 10) == held(book, 10)
    assert book.after(gone).held == {}
    assert Book().after(gone).held == {}


def test_the_population_pays_for_itself_beside_the_specialists() -> None:
    own = Spent(cpu_seconds=Decimal(7), cost=Decimal(1))
    account = Account(results=("a",), population=own, population_results=("b", "c"))
    entry = Line(START, Subject("dates", "u", "a" * 12), State.TRAINING, Spent(Decimal(5)), account)
    book = Book().after(entry)
    assert [k in book.paid for k in ("a", "b", "c", "d")] == [True, True, True, False]
    assert book.own == own
    assert book.charges_after(START - HOUR) == (
        Charge(START, "", Cost(cpu_seconds=Decimal(7))),
        Charge(START, "dates", Cost(cpu_seconds=Decimal(5))),
    )
    assert book.charges_after(START) == ()


def test_the_revisions_of_one_specialist_are_known() -> None:
    book = Book().after(line(0, State.LIVE, SERVED)).after(line(0, State.LIVE, SERVED, name="cron"))
    assert revisions_held(book, "uid-cron") == ("a" * 12,)
    assert revisions_held(book, "uid-none") == ()


def test_what_was_not_counted_yet_stays_absent_in_a_sum() -> None:
    assert (Spent(Decimal(1)) + Spent(Decimal(2))).resident_gib_hours is None
    both = Spent(resident_gib_hours=Decimal(1)) + Spent(stored_gib_hours=Decimal(2))
    assert both == Spent(resident_gib_hours=Decimal(1), stored_gib_hours=Decimal(2))
    assert (both + both).resources == Cost(resident_gib_hours=Decimal(2), stored_gib_hours=Decimal(4))


@given(st.integers(0, 2**50), st.lists(st.integers(0, 10**6), min_size=1, max_size=6))
def test_decisions_in_between_change_nothing_of_the_sum(size: int, pauses: list[int]) -> None:
    whole = gib_hours(size, timedelta(seconds=sum(pauses)))
    parts = sum((gib_hours(size, timedelta(seconds=pause)) for pause in pauses), Decimal(0))
    assert abs(whole - parts) <= Decimal("1e-12") * len(pauses)
    assert whole >= 0


def test_a_book_may_begin_with_any_decision() -> None:
    entries = [line(0, State.EVALUATING, ONE), line(2, State.LIVE, SERVED), line(5, State.LIVE, SERVED)]
    whole, part = Book(), Book()
    for entry in entries:
        whole = whole.after(entry)
    for entry in entries[1:]:
        part = part.after(entry)
    assert part == whole


@given(st.lists(st.tuples(st.booleans(), st.integers()), max_size=30))
def test_a_journal_is_what_a_tuple_would_be_also_when_it_forks(steps: list[tuple[bool, int]]) -> None:
    grown: list[tuple[Journal[int], tuple[int, ...]]] = [(Journal(), ())]
    for newest, item in steps:
        journal, items = grown[-1] if newest else grown[len(grown) // 2]
        grown.append((journal.grown(item), (*items, item)))
    for journal, items in grown:
        assert tuple(journal) == items
        assert tuple(journal.newest()) == items[::-1]
        assert len(journal) == len(items)
        assert journal == Journal(items)
        assert journal.grown() is journal
    assert Journal([1]) != [1]


@given(st.lists(st.tuples(st.booleans(), st.text("abc", max_size=2)), max_size=30))
def test_keys_are_what_a_set_would_be_also_when_they_fork(steps: list[tuple[bool, str]]) -> None:
    grown: list[tuple[Keys, frozenset[str]]] = [(Keys(), frozenset())]
    for newest, key in steps:
        keys, known = grown[-1] if newest else grown[len(grown) // 2]
        grown.append((keys.grown((key, key)), known | {key}))
    for keys, known in grown:
        assert len(keys) == len(known)
        assert all(key in keys for key in known)
        assert keys == Keys(known)
        assert "other" not in keys
        assert 1 not in keys
    assert Keys("a") != Keys("b")
    assert Keys("a") != {"a"}
