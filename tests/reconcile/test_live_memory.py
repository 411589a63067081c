"""What is remembered of requests: within its bounds, each task for itself, and all that was said of each."""

from __future__ import annotations

import tracemalloc
from itertools import count
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelecology.api.live_records import Exchange, Feedback, Preference, read_line, write_line
from modelecology.reconcile.live_memory import Limits, LiveMemory

from .test_live import LIVE, START, TRIED, asked, said, told

Said: TypeAlias = Exchange | Feedback | Preference
FEW = Limits(requests=3, held_bytes=28 << 10, early_bytes=4 << 10)


def word(name: str, value: int, judge: str = "wise") -> Preference:
    body = {"time": START, "requestId": name, "judge": judge, "value": value}
    return Preference.model_validate(body)


def memory(*records: Said, limits: Limits = FEW) -> LiveMemory:
    found = LiveMemory(limits)
    for record in records:
        found.take(record)
    return found


def names(found: LiveMemory, task: str = "dates") -> list[str]:
    return [e.request_id for e in found.exchanges("desk", task, 0.0)]


def test_a_busy_task_takes_nothing_from_a_quiet_one() -> None:
    label, judged = told("q", label="a"), word("q", 1)
    quiet: list[Said] = [asked("q", said(LIVE, "a"), task="cron"), label, judged]
    busy = [asked(f"r{n}", said(LIVE, "a")) for n in range(100)]
    found = memory(*quiet, *busy)
    assert (names(found), names(found, "cron")) == (["r97", "r98", "r99"], ["q"])
    assert (found.feedback("q"), found.word("wise", "q")) == (label, judged)


def test_of_too_many_bytes_the_task_that_holds_most_gives_its_oldest() -> None:
    quiet = [asked(f"q{n}", said(LIVE, "a" * 2000), task="cron") for n in range(2)]
    busy = [asked(f"r{n}", said(LIVE, "a" * 5000), said(TRIED, "b")) for n in range(3)]
    found = memory(*quiet, *busy)
    assert (names(found), names(found, "cron")) == (["r1", "r2"], ["q0", "q1"])


def test_labels_count_too_and_a_request_that_is_too_large_for_all_goes_itself() -> None:
    first, second = asked("r1", said(LIVE, "a")), asked("r2", said(LIVE, "a"))
    other = asked("q", said(LIVE, "a"), task="cron")
    found = memory(other, first, second, told("r2", label="b" * 30_000))
    assert (names(found), names(found, "cron")) == ([], ["q"])
    assert found.feedback("r2") is None


def test_what_is_said_of_a_request_goes_with_it_and_not_before() -> None:
    records: list[Said] = []
    for n in range(6):
        records += [asked(f"r{n}", said(LIVE, "a")), told(f"r{n}", score=0.5), word(f"r{n}", 1)]
    found = memory(*records, *(told(f"unknown{n}", label="b" * 100) for n in range(100)))
    assert [n for n in range(6) if found.feedback(f"r{n}")] == [3, 4, 5]
    assert [n for n in range(6) if found.word("wise", f"r{n}")] == [3, 4, 5]


def test_what_is_said_of_a_request_that_is_not_known_yet_waits_for_it_among_few() -> None:
    found = memory(*(told(f"r{n}", score=0.5) for n in range(100)), word("r99", 1))
    early = [n for n in range(100) if found.feedback(f"r{n}")]
    assert early == [97, 98, 99]
    for n in early:
        found.take(asked(f"r{n}", said(LIVE, "a")))
    for n in range(100, 200):
        found.take(told(f"r{n}", score=0.5))
    assert [n for n in range(100) if found.feedback(f"r{n}")] == early
    assert found.word("wise", "r99") == word("r99", 1)


def test_a_copy_that_is_written_down_later_is_known_of_the_request_in_its_old_place() -> None:
    found = memory(*(asked(f"r{n}", said(LIVE, "a")) for n in range(3)), told("r0", score=0.5))
    found.take(asked("r0", said(LIVE, "a"), said(TRIED, "b")))
    assert [e.shadow is not None for e in found.exchanges("desk", "dates", 0.0)] == [True, False, False]
    found.take(asked("r3", said(LIVE, "a")))
    assert (names(found), found.feedback("r0")) == (["r1", "r2", "r3"], None)


def test_the_first_word_of_each_judge_counts_and_the_earliest_feedback() -> None:
    found = memory(word("r", 1), word("r", -1), word("r", 0, "other"), told("r", score=0.1, at=5.0))
    for at, score in ((3.0, 0.2), (4.0, 0.3)):
        found.take(told("r", score=score, at=at))
    values = [said.value for judge in ("wise", "other") if (said := found.word(judge, "r"))]
    assert (values, found.word("nobody", "r")) == ([1, 0], None)
    first = found.feedback("r")
    assert first is not None
    assert first.score == 0.2
    held = found._early.size
    found.take(word("r", -1))
    assert found._early.size == held


@pytest.mark.parametrize("text", ["a" * 40, "\N{GRINNING FACE}" * 500])
def test_the_bytes_that_are_counted_are_those_that_it_takes(text: str) -> None:
    numbers = count()

    def records() -> list[bytes]:
        name = f"{next(numbers):032x}"
        copied = asked(name, said(LIVE, text + name), said(TRIED, text + name), asker=name[-16:])
        alone = asked("a" + name, said(LIVE, text + name)).model_copy(update={"prompt": "what? " * 1000})
        return [write_line(r) for r in (copied, alone, told(name, label=text + name), word(name, 1))]

    lines = [line for _ in range(500) for line in records()]
    found = LiveMemory(Limits())
    tracemalloc.start()
    for line in lines:
        record = read_line(line)
        assert isinstance(record, Exchange | Feedback | Preference)
        found.take(record)
    del record
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.5 < taken / found._held <= 1.0
    assert {e.prompt for e in found.exchanges("desk", "dates", 0.0)} == {None}


_TASKS, _NAMES = st.sampled_from("abc"), st.sampled_from([f"r{n}" for n in range(8)])
_LENGTHS = st.sampled_from([0, 100, 3000, 9000])
_RECORDS = st.one_of(
    st.builds(lambda name, task, n: asked(name, said(LIVE, "x" * n), task=task), _NAMES, _TASKS, _LENGTHS),
    st.builds(lambda name, n, at: told(name, label="x" * n, at=at), _NAMES, _LENGTHS, st.floats(0, 9)),
    st.builds(word, _NAMES, st.sampled_from([-1, 0, 1]), st.sampled_from(["wise", "other"])),
)


@given(st.lists(_RECORDS, max_size=60))
def test_whatever_comes_the_bounds_are_kept_and_the_books_are_right(records: list[Said]) -> None:
    found = LiveMemory(FEW)
    for record in records:
        found.take(record)
        shelves = [*found._tasks.values(), found._early]
        assert [shelf.size for shelf in shelves] == [
            sum(r.size for r in s.requests.values()) for s in shelves
        ]
        assert found._held == sum(shelf.size for shelf in found._tasks.values()) <= FEW.held_bytes
        assert found._early.size <= FEW.early_bytes
        assert all(len(shelf.requests) <= FEW.requests for shelf in found._tasks.values())
        where = {name: shelf for shelf in shelves for name in shelf.requests}
        assert where == found._where
        for task in "abc":
            assert all(e.task == task for e in found.exchanges("desk", task, 0.0))
