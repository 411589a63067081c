"""The judge's work: read what gateways write down, ask, and write down what is said."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal, Protocol

from pydantic import ValidationError

from modelecology.api.live_records import Exchange, LiveRecord, Preference, alike, read_line
from modelecology.serving.gateway.recorder import Recorder
from modelecology.store.errors import StoreError

from .comparison import Comparison, Finding, finding, shadow_is_first
from .docket import Docket
from .metrics import JudgeMetrics
from .pace import Pace
from .port import Judge, JudgeAway, JudgeFailed

_LOG = logging.getLogger(__name__)
_MOST_ERROR: Final = 256
_BATCH: Final = 1000
_VALUES: Final[dict[int, tuple[Literal[-1, 0, 1], str]]] = {
    -1: (-1, "worse"),
    0: (0, "same"),
    1: (1, "better"),
}


class Lines(Protocol):
    """Records as they come; `store.LiveFiles` is one."""

    def lines(self) -> Iterable[bytes]:
        """Give the lines that are new. Raises StoreError."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a judge works. Seconds; `now` is since 1970."""

    name: str
    now: Callable[[], float]
    workers: int = 2
    look_seconds: float = 2.0


class JudgeService:
    """One judge over one directory of records."""

    def __init__(
        self,
        files: Lines,
        docket: Docket,
        judge: Judge,
        recorder: Recorder,
        pace: Pace,
        metrics: JudgeMetrics,
        settings: Settings,
    ) -> None:
        self._files = files
        self._docket = docket
        self._judge = judge
        self._recorder = recorder
        self._pace = pace
        self._metrics = metrics
        self._settings = settings
        self._come = asyncio.Condition()
        self._ready = asyncio.Event()
        # A recorder is used by one thread, also when a wait for it is cut off.
        self._writer = ThreadPoolExecutor(1, "records")
        self._said_unreadable = False

    async def run(self) -> None:
        """Judge until cancelled; then the open segment is made whole."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._look())
                for _ in range(self._settings.workers):
                    group.create_task(self._work())
        finally:
            await asyncio.shield(self._close())

    async def _look(self) -> None:
        while True:
            await self._read()
            # Without records, so that time passes for the open segment.
            await self._write([])
            async with self._come:
                self._come.notify_all()
            await asyncio.sleep(self._settings.look_seconds)

    async def _read(self) -> None:
        lines = iter(self._files.lines())
        try:
            while batch := await asyncio.to_thread(list, islice(lines, _BATCH)):
                for record in await asyncio.to_thread(_read, batch):
                    self._docket.see(record)
        except StoreError as error:
            _LOG.warning("records cannot be read: %s", error)
            return
        # All of it before the first is judged: what was judged already may stand at the end.
        self._ready.set()
        if self._docket.unreadable and not self._said_unreadable:
            self._said_unreadable = True
            _LOG.warning(
                "%d copies cannot be judged: the gateways do not keep questions and answers. "
                "Start them with --keep prompts.",
                self._docket.unreadable,
            )

    async def _work(self) -> None:
        await self._ready.wait()
        while True:
            async with self._come:
                while (exchange := self._docket.take()) is None:
                    await self._come.wait()
            try:
                found = await self._find(exchange)
            except JudgeAway as error:
                self._metrics.away()
                self._docket.put_back(exchange)
                pause = self._pace.away()
                _LOG.warning("the judge is asked again in %g s: %s", pause, error)
                await asyncio.sleep(pause)
                continue
            except asyncio.CancelledError:
                self._docket.put_back(exchange)
                raise
            await self._say(exchange, found)

    async def _find(self, exchange: Exchange) -> Finding | JudgeFailed:
        shadow = exchange.shadow
        if shadow is None or shadow.text is None:
            return Finding(-1)  # no answer is worse than any
        if alike(exchange):
            return Finding(0)
        shadow_first = shadow_is_first(exchange.request_id)
        texts = (shadow.text, exchange.answer.text or "")
        first, second = texts if shadow_first else texts[::-1]
        comparison = Comparison(exchange.prompt or "", first, second)
        await asyncio.sleep(self._pace.wait())
        try:
            word = await self._judge.ask(comparison)
            turned = await self._judge.ask(comparison.turned)
        except JudgeFailed as error:
            return error
        self._pace.answered()
        return finding(word, turned, shadow_first=shadow_first)

    async def _say(self, exchange: Exchange, found: Finding | JudgeFailed) -> None:
        value, outcome, error = None, "error", None
        if isinstance(found, JudgeFailed):
            error = str(found)[:_MOST_ERROR]
        else:
            value, outcome = _VALUES[found.value]
        inconsistent = isinstance(found, Finding) and found.inconsistent
        record = Preference(
            time=self._settings.now(),
            request_id=exchange.request_id,
            judge=self._settings.name,
            value=value,
            inconsistent=inconsistent,
            error=error,
        )
        self._metrics.judged(outcome, inconsistent=inconsistent)
        # A word that is not written down would be paid for again.
        written = await self._write([record])
        while not written:
            await asyncio.sleep(self._pace.away())
            written = await self._write([record])

    async def _write(self, records: list[Preference]) -> bool:
        try:
            await self._in_writer(self._recorder.write, records)
        except OSError as error:
            _LOG.warning("records cannot be written: %s", error)
            return False
        return True

    async def _close(self) -> None:
        try:
            await self._in_writer(self._recorder.close)
        except OSError as error:
            _LOG.warning("the last records may be lost: %s", error)
        self._writer.shutdown()
        await self._judge.close()

    async def _in_writer(self, act: Callable[..., None], *arguments: object) -> None:
        # A word that waits for its turn when the end is asked for is written down still: it is paid for.
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._writer, act, *arguments))


def _read(lines: Sequence[bytes]) -> list[LiveRecord]:
    found: list[LiveRecord] = []
    for line in lines:
        try:
            found.append(read_line(line))
        except ValidationError:
            _LOG.warning("a record cannot be read; it is left out")
    return found
