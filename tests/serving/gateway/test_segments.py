"""Records on disk: whole lines, rotated, and gone when they are old."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelecology.api.live_records import Feedback, LiveRecord, read_line, write_line
from modelecology.serving.gateway.journal import Journal, Judged
from modelecology.serving.gateway.metrics import GatewayMetrics
from modelecology.serving.gateway.segments import Retention, SegmentRecorder
from tests.serving.gateway.stage import until


class Clock:
    # Files are as old as the machine's clock says.
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


def said(number: int) -> Feedback:
    return Feedback(time=1.0, request_id=f"r-{number}", label="é\n\u2028")


def recorder(
    folder: Path, clock: Clock, gateway: str = "a", told: list[str] | None = None, **limits: float
) -> SegmentRecorder:
    given = Retention(**limits)  # type: ignore[arg-type]  # by name
    reasons: list[str] = [] if told is None else told
    return SegmentRecorder(folder, gateway, given, clock, reasons.append)


def read(path: Path) -> list[LiveRecord]:
    return [read_line(line) for line in path.read_bytes().split(b"\n")[:-1]]


def first(clock: Clock) -> str:
    return f"live-{datetime.fromtimestamp(clock.now, UTC):%Y%m%dT%H%M%S}-000001-a.jsonl"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_record_is_one_line_and_is_read_as_it_was_written() -> None:
    line = write_line(said(1))
    assert line.count(b"\n") == 1
    assert read_line(line) == said(1)
    with pytest.raises(ValueError, match="JSON"):
        read_line(line[:20])


def test_an_open_segment_can_be_read_and_is_made_whole_at_the_end(tmp_path: Path) -> None:
    clock = Clock()
    kept = recorder(tmp_path / "records", clock)
    kept.write([said(1)])
    kept.write([said(2)])
    assert names(tmp_path / "records") == [f"{first(clock)}.part"]
    kept.close()
    assert names(tmp_path / "records") == [first(clock)]
    assert read(tmp_path / "records" / first(clock)) == [said(1), said(2)]


def test_nothing_is_written_for_nothing(tmp_path: Path) -> None:
    kept = recorder(tmp_path / "records", Clock())
    kept.write([])
    kept.close()
    assert not (tmp_path / "records").exists()


def test_a_segment_is_rotated_when_it_is_full_and_when_it_is_old(tmp_path: Path) -> None:
    clock = Clock()
    kept = recorder(tmp_path, clock, segment_bytes=100, segment_seconds=60)
    kept.write([said(1)])
    kept.write([said(2)])
    kept.write([said(3)])
    assert len(names(tmp_path)) == 2
    clock.now += 60
    kept.write([])
    assert [name.endswith(".jsonl") for name in names(tmp_path)] == [True, True]


def test_old_segments_go_whoever_wrote_them_and_other_files_stay(tmp_path: Path) -> None:
    clock = Clock()
    for name, age in (
        ("live-1-b.jsonl", 101),
        ("live-2-b.jsonl.part", 101),
        ("live-3-b.jsonl", 99),
        ("x", 999),
    ):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (clock.now - age, clock.now - age))
    told: list[str] = []
    kept = recorder(tmp_path, clock, told=told, segment_bytes=1, keep_seconds=100)
    kept.write([said(1)])
    assert told == ["old", "old"]
    assert names(tmp_path) == sorted([first(clock), "live-3-b.jsonl", "x"])


def test_the_oldest_go_when_there_is_too_much_but_no_open_one(tmp_path: Path) -> None:
    clock = Clock()
    for name, age in (("live-1-b.jsonl.part", 4), ("live-2-b.jsonl", 3), ("live-3-b.jsonl", 2)):
        (tmp_path / name).write_text("x" * 1000)
        os.utime(tmp_path / name, (clock.now - age, clock.now - age))
    told: list[str] = []
    kept = recorder(tmp_path, clock, told=told, segment_bytes=1, keep_bytes=2500, keep_seconds=10**9)
    kept.write([said(1)])
    assert (told, kept.held_bytes) == (["too_much"], sum(p.stat().st_size for p in tmp_path.iterdir()))
    assert names(tmp_path) == sorted(["live-1-b.jsonl.part", first(clock), "live-3-b.jsonl"])


def test_what_is_deleted_is_counted_by_its_reason(tmp_path: Path) -> None:
    metrics = GatewayMetrics()
    limits = Retention(segment_bytes=1, keep_bytes=1)
    kept = SegmentRecorder(tmp_path, "a", limits, Clock(), metrics.segment_deleted)
    kept.write([said(1)])
    name = "modelecology_gateway_segments_deleted_total"
    assert metrics.registry.get_sample_value(name, {"reason": "too_much"}) == 1
    assert kept.held_bytes == 0


async def test_a_disk_that_is_full_loses_records_and_counts_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "records").write_text("a file where the directory should be")
    metrics = GatewayMetrics()
    journal = Journal(recorder(tmp_path / "records", Clock()), metrics, time.time)
    task = asyncio.create_task(journal.run())
    assert journal.add(Judged(1.0, "r", 1.0, None))

    def lost() -> bool:
        return metrics.registry.get_sample_value(
            "modelecology_gateway_records_total", {"outcome": "failed"}
        ) == (1.0)

    await until(lost)
    journal.end()
    await task
    assert "1 records are lost" in caplog.text


async def test_records_above_the_limit_are_dropped_and_counted(tmp_path: Path) -> None:
    metrics = GatewayMetrics()
    journal = Journal(recorder(tmp_path, Clock()), metrics, time.time, most_waiting=2)
    taken = [journal.add(Judged(1.0, f"r-{number}", 1.0, None)) for number in range(3)]
    assert taken == [True, True, False]
    sample = metrics.registry.get_sample_value("modelecology_gateway_records_total", {"outcome": "dropped"})
    assert sample == 1
    journal.end()
    await journal.run()
    (name,) = names(tmp_path)
    found = read(tmp_path / name)
    assert [record.request_id for record in found if isinstance(record, Feedback)] == ["r-0", "r-1"]
