"""Records as gateways write them, and a judge's service over them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from modelecology.api.live_records import (
    Answered,
    Arm,
    Exchange,
    Feedback,
    LiveRecord,
    Preference,
    write_line,
)
from modelecology.serving.gateway.recorder import MemoryRecorder, Recorder
from modelecology.serving.judge.comparison import Comparison, Word
from modelecology.serving.judge.docket import Docket
from modelecology.serving.judge.metrics import JudgeMetrics
from modelecology.serving.judge.pace import Pace
from modelecology.serving.judge.port import Judge
from modelecology.serving.judge.service import JudgeService, Lines, Settings
from modelecology.store.live_files import LiveFiles
from tests.serving.gateway.stage import until

LIVE, SHADOW = "dates-aaaaaaaaaaaa", "dates-bbbbbbbbbbbb"
JUDGE = "wise"
RIGHT = "1 May is right"


def copied(
    name: str,
    theirs: str = "1 May is wrong",
    ours: str | None = RIGHT,
    *,
    prompt: str | None = "which day?",
    texts: bool = True,
    at: float = 1.0,
    error: str | None = None,
) -> Exchange:
    """A request that was mirrored: what the user got, and what the shadow said; None is a failure."""

    def said(served: str, text: str | None, error: str | None) -> Answered:
        hashed = None if text is None else hashlib.sha256(text.encode()).hexdigest()
        return Answered(served=served, text=text if texts else None, sha256=hashed, error=error, seconds=0.1)

    return Exchange(
        time=at,
        request_id=name,
        population="desk",
        task="dates",
        table="sha256:t",
        arm=Arm.LIVE,
        prompt=prompt,
        prompt_sha256="0" * 64,
        answer=said(LIVE, theirs, error),
        shadow=said(SHADOW, ours, None if ours is not None else "HTTP 500"),
    )


def labelled(name: str) -> Feedback:
    """What somebody says of an answer later."""
    return Feedback(time=2.0, request_id=name, label="a", label_sha256=hashlib.sha256(b"a").hexdigest())


def write(folder: Path, *records: LiveRecord, segment: int = 1) -> None:
    """Append records to a segment of a gateway that still writes it."""
    with (folder / f"live-20260301T120000-{segment:06}-g.jsonl.part").open("ab") as file:
        file.write(b"".join(write_line(record) for record in records))


def by_truth(comparison: Comparison) -> Word:
    """Judge by what is right, whatever the order."""
    first, second = ("right" in text for text in (comparison.first, comparison.second))
    return Word.SAME if first == second else Word.FIRST if first else Word.SECOND


@dataclass
class Bench:
    """A service under test, and what it wrote."""

    service: JudgeService
    metrics: JudgeMetrics
    docket: Docket
    recorder: Recorder = field(default_factory=MemoryRecorder)

    @property
    def words(self) -> list[Preference]:
        assert isinstance(self.recorder, MemoryRecorder)
        return [record for record in self.recorder.records if isinstance(record, Preference)]

    def count(self, name: str, **labels: str) -> float:
        """A metric's value; 0 where it was never counted."""
        return self.metrics.registry.get_sample_value(f"modelecology_judge_{name}", labels) or 0.0

    async def has_said(self, number: int) -> dict[str, Preference]:
        """Wait for so many words; gives them by request."""
        await until(lambda: len(self.words) >= number)
        assert len(self.words) == number
        return {word.request_id: word for word in self.words}


@asynccontextmanager
async def judging(
    folder: Path,
    judge: Judge,
    *,
    recorder: Recorder | None = None,
    files: Lines | None = None,
    workers: int = 2,
    most_waiting: int = 100,
) -> AsyncIterator[Bench]:
    """Let a judge work on a directory, or on what `files` gives, until the end of the block."""
    metrics = JudgeMetrics()
    docket = Docket(JUDGE, metrics, most_waiting=most_waiting)
    kept = recorder or MemoryRecorder()
    pace = Pace(100_000, asyncio.get_running_loop().time, first_pause=0.01)
    settings = Settings(JUDGE, lambda: 1_800_000_000.0, workers=workers, look_seconds=0.01)
    service = JudgeService(
        files or LiveFiles.in_directory(folder), docket, judge, kept, pace, metrics, settings
    )
    task = asyncio.create_task(service.run())
    try:
        yield Bench(service, metrics, docket, kept)
    finally:
        task.cancel()
        await asyncio.wait({task})


def unfinished(folder: Path, writer: str) -> list[Path]:
    """Segments that a writer has not made whole."""
    return list(folder.glob(f"live-*{writer}*.part"))


def names(exchanges: Iterable[Exchange | None]) -> list[str | None]:
    """The ids of requests, in their order."""
    return [each.request_id if each is not None else None for each in exchanges]
