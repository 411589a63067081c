"""A judge at work: reads, asks in both orders, writes down once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from modelecology.api.live_records import LiveRecord, Preference, read_line
from modelecology.serving.gateway.recorder import MemoryRecorder
from modelecology.serving.gateway.segments import Retention, SegmentRecorder
from modelecology.serving.judge.comparison import Comparison, Word
from modelecology.serving.judge.port import JudgeAway, JudgeFailed, RuleJudge
from tests.serving.gateway.stage import until

from .stage import JUDGE, RIGHT, by_truth, copied, judging, unfinished, write


async def test_each_copy_is_asked_in_both_orders_and_written_down(tmp_path: Path) -> None:
    judge = RuleJudge(by_truth)
    wrong = "1 May is wrong"
    write(tmp_path, copied("r1"), copied("r2", RIGHT, wrong), copied("r3", "a wrong one", wrong))
    async with judging(tmp_path, judge) as bench:
        words = await bench.has_said(3)
    assert {name: word.value for name, word in words.items()} == {"r1": 1, "r2": -1, "r3": 0}
    assert {(word.judge, word.time, word.inconsistent) for word in words.values()} == {(JUDGE, 1.8e9, False)}
    assert len(judge.asked) == 6
    assert {comparison.turned for comparison in judge.asked} == set(judge.asked)
    assert {comparison.prompt for comparison in judge.asked} == {"which day?"}
    assert bench.count("judged_total", outcome="better") == 1


async def test_a_judge_that_prefers_a_place_finds_ties_that_are_counted(tmp_path: Path) -> None:
    write(tmp_path, *(copied(f"r{number}") for number in range(4)))
    async with judging(tmp_path, RuleJudge(lambda _: Word.FIRST)) as bench:
        words = await bench.has_said(4)
    assert {(word.value, word.inconsistent) for word in words.values()} == {(0, True)}
    assert bench.count("inconsistent_total") == 4


async def test_a_copy_that_failed_is_worse_and_one_that_is_the_same_a_tie_and_nobody_is_asked(
    tmp_path: Path,
) -> None:
    judge = RuleJudge(by_truth)
    write(tmp_path, copied("r1", ours=None), copied("r2", RIGHT, f" {RIGHT}\n"))
    async with judging(tmp_path, judge) as bench:
        words = await bench.has_said(2)
    assert (words["r1"].value, words["r2"].value, judge.asked) == (-1, 0, [])


async def test_an_error_is_written_down_as_an_error_and_as_nothing_else(tmp_path: Path) -> None:
    def fails(_: Comparison) -> Word:
        raise JudgeFailed("no reply within 30 s" + "!" * 300)

    judge = RuleJudge(fails)
    write(tmp_path, copied("r1"))
    async with judging(tmp_path, judge) as bench:
        words = await bench.has_said(1)
    assert (words["r1"].value, len(words["r1"].error or "")) == (None, 256)
    assert len(judge.asked) == 1
    assert bench.count("judged_total", outcome="error") == 1


async def test_a_judge_that_is_away_is_asked_again_and_nothing_is_written_down_meanwhile(
    tmp_path: Path,
) -> None:
    away = [JudgeAway("HTTP 503")]

    def comes_back(comparison: Comparison) -> Word:
        if away:
            raise away.pop()
        return by_truth(comparison)

    write(tmp_path, copied("r1"))
    async with judging(tmp_path, RuleJudge(comes_back)) as bench:
        words = await bench.has_said(1)
    assert (words["r1"].value, bench.count("away_total")) == (1, 1)


async def test_records_that_come_later_are_judged_too(tmp_path: Path) -> None:
    async with judging(tmp_path, RuleJudge(by_truth)) as bench:
        write(tmp_path, copied("r1"))
        await bench.has_said(1)
        write(tmp_path, copied("r2"), segment=2)
        assert set(await bench.has_said(2)) == {"r1", "r2"}


async def test_after_a_restart_nothing_is_judged_twice(tmp_path: Path) -> None:
    def recorder(name: str) -> SegmentRecorder:
        return SegmentRecorder(tmp_path, name, Retention(), time.time)

    def written() -> list[str]:
        lines = [line for path in tmp_path.glob("live-*") for line in path.read_bytes().splitlines()]
        return [word.request_id for line in lines if isinstance(word := read_line(line), Preference)]

    write(tmp_path, copied("r1"), copied("r2"))
    async with judging(tmp_path, RuleJudge(by_truth), recorder=recorder("one")):
        await until(lambda: len(written()) == 2)
    assert unfinished(tmp_path, "one") == []
    write(tmp_path, copied("r3"))
    judge = RuleJudge(by_truth)
    async with judging(tmp_path, judge, recorder=recorder("two")):
        await until(lambda: len(written()) == 3)
    assert sorted(written()) == ["r1", "r2", "r3"]
    assert len(judge.asked) == 2


async def test_nothing_is_judged_before_all_that_is_there_was_read(tmp_path: Path) -> None:
    known = [Preference(time=1.0, request_id=f"r{n}", judge=JUDGE, value=0) for n in range(1500)]
    write(tmp_path, *(copied(f"r{n}") for n in range(1500)), copied("new"))
    write(tmp_path, *known, segment=2)
    async with judging(tmp_path, RuleJudge(by_truth), most_waiting=5000) as bench:
        assert set(await bench.has_said(1)) == {"new"}


async def test_a_line_that_cannot_be_read_costs_that_line_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "live-20260301T120000-000000-g.jsonl").write_bytes(b"nonsense\n" * 2000)
    write(tmp_path, copied("r1"))
    async with judging(tmp_path, RuleJudge(by_truth)) as bench:
        await bench.has_said(1)
    assert "a record cannot be read" in caplog.text


async def test_where_texts_are_not_kept_it_says_once_what_to_do(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, copied("r1", texts=False))
    async with judging(tmp_path, RuleJudge(by_truth)) as bench:
        await until(lambda: bench.count("passed_over_total", reason="not_kept") == 1)
        write(tmp_path, copied("r2", prompt=None), copied("r3"))
        await bench.has_said(1)
    assert caplog.text.count("Start them with --keep prompts.") == 1


class Full(MemoryRecorder):
    """A disk that is full for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.refused = 0

    def write(self, records: Sequence[LiveRecord]) -> None:
        if records and self.refused < 1:
            self.refused += 1
            raise OSError(28, "No space left on device")
        super().write(records)


async def test_a_word_that_cannot_be_written_is_written_later_and_not_asked_again(tmp_path: Path) -> None:
    judge, recorder = RuleJudge(by_truth), Full()
    write(tmp_path, copied("r1"))
    async with judging(tmp_path, judge, recorder=recorder) as bench:
        await bench.has_said(1)
    assert (len(judge.asked), recorder.refused, recorder.closed) == (2, 1, True)


async def test_what_was_being_judged_at_the_end_is_not_written_down(tmp_path: Path) -> None:
    asked = asyncio.Event()

    class Slow(RuleJudge):
        async def ask(self, comparison: Comparison) -> Word:
            asked.set()
            await asyncio.Event().wait()
            return Word.SAME

    write(tmp_path, copied("r1"))
    async with judging(tmp_path, Slow(by_truth)) as bench:
        await asked.wait()
    assert bench.words == []
    assert len(bench.docket) == 1
