"""The copy of a log: entries created once, sealed into segments that name each other, and read back."""

from __future__ import annotations

import pytest

from modelecology.governance.chain import entry_of, line_of
from modelecology.governance.log import GENESIS, LogBroken
from modelecology.governance.segments import Segment, dumped, sealed_segment
from modelecology.store import ArtifactCorrupt
from modelecology.store.logs import StoredLog, Whose, stored_logs
from tests.upgrade.releases import Release

from .conftest import Ground

LINES = [line_of(entry_of(body["spec"])) for body in Release("v0.1.0").read_decisions()]


def opened(ground: Ground, uid: str = "u1") -> StoredLog:
    """A log in the store, laid out."""
    ground.open().inputs.keep({})
    stored = StoredLog(ground.files, uid)
    stored.describe("team", "desk")
    return stored


def filled(ground: Ground, sealed: int = 20, single: int = 10) -> StoredLog:
    """A log with segments of ten, and entries after them."""
    stored = opened(ground)
    for number, line in enumerate(LINES[: sealed + single], 1):
        stored.keep(number, line)
    root = GENESIS
    for first in range(1, sealed, 10):
        root = stored.seal(sealed_segment("desk", first, LINES[first - 1 : first + 9], root)).root
    return stored


def test_a_log_is_read_back_from_segments_and_single_entries(ground: Ground) -> None:
    filled(ground)
    again = StoredLog(ground.files, "u1")
    contents = again.contents()
    assert (contents.sealed, contents.length, contents.whole) == (20, 30, 30)
    assert list(again.lines()) == LINES[:30]
    assert list(again.lines(after=13)) == LINES[13:30]
    assert list(again.lines(after=25)) == LINES[25:30]


def test_sealed_entries_lose_their_files_and_nothing_else_does(ground: Ground) -> None:
    stored = filled(ground)
    stored.release(stored.contents())
    contents = stored.contents()
    assert contents.entries == frozenset(range(21, 31))
    assert list(stored.lines()) == LINES[:30]


def test_an_entry_is_kept_once_and_another_one_in_its_place_is_told(ground: Ground) -> None:
    stored = opened(ground)
    stored.keep(1, LINES[0])
    stored.keep(1, LINES[0])
    with pytest.raises(ArtifactCorrupt, match="is another decision than the log's"):
        stored.keep(1, LINES[1])


def test_a_segment_is_sealed_once_and_another_one_in_its_place_is_told(ground: Ground) -> None:
    stored = filled(ground, single=0)
    segment = sealed_segment("desk", 1, LINES[:10], GENESIS)
    assert stored.seal(segment) == segment
    other = sealed_segment("desk", 1, LINES[10:20], GENESIS)
    with pytest.raises(ArtifactCorrupt, match="is not what was sealed"):
        stored.seal(other)


def place(first: int, last: int) -> str:
    return f"log/u1/segment-{first:012d}-{last:012d}.jsonl"


def changed(segment: Segment, **more: object) -> bytes:
    """A segment with another header."""
    return dumped(Segment(**{**{n: getattr(segment, n) for n in segment.__slots__}, **more}))


def test_segments_that_are_missing_forked_or_moved_break_the_log(ground: Ground) -> None:
    stored = filled(ground)
    second = stored.segment(11, 20)
    ground.files.replace(place(11, 20), changed(second, previous_root=GENESIS))
    with pytest.raises(LogBroken, match="segment 11-20 does not name the root of the one before it"):
        list(stored.sealed())
    ground.files.replace(place(11, 20), dumped(stored.segment(1, 10)))
    with pytest.raises(LogBroken, match="segment 11-20 says that it is 1-10"):
        list(stored.sealed())
    ground.files.remove(place(1, 10))
    with pytest.raises(LogBroken, match="segment 11-20 follows decision 0; one is missing or forked"):
        list(stored.lines())
    ground.files.remove(place(11, 20))
    with pytest.raises(LogBroken, match="segment 1-10 is not in the store"):
        stored.segment(1, 10)


def test_an_entry_that_is_missing_is_named(ground: Ground) -> None:
    stored = filled(ground)
    ground.files.remove("log/u1/entries/000000000025.json")
    assert stored.contents().whole == 24
    with pytest.raises(LogBroken, match="decision 25 is not in the store"):
        list(stored.lines())


def test_the_logs_of_a_store_are_listed_with_whose_they_are(ground: Ground) -> None:
    for uid in ("u1", "u2"):
        opened(ground, uid)
    ground.files.replace("log/notes.txt", b"hello")
    assert stored_logs(ground.files) == (Whose("u1", "team", "desk"), Whose("u2", "team", "desk"))
    ground.files.replace("log/u2/log.json", b"{}")
    with pytest.raises(ArtifactCorrupt, match="cannot be read; restore it"):
        stored_logs(ground.files)


@pytest.mark.parametrize("uid", ["", "..", "a/b", "-a"])
def test_a_uid_cannot_lead_elsewhere(ground: Ground, uid: str) -> None:
    with pytest.raises(ValueError, match="is no uid"):
        StoredLog(ground.files, uid)
