"""Notices the end of jobs fast and cheaply, so that nobody else has to poll.

The commit marker in the store is the truth and a look at it is nearly free, so it is looked for often. The
runner is asked rarely: it says what the store cannot, that a job failed, was cancelled or is not known.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from modelecology.jobs.port import JobRunner, RunnerError

_log = logging.getLogger(__name__)

PROBE_SECONDS: Final = 0.1
STATUS_SECONDS: Final = 1.0
MAX_BACKOFF_SECONDS: Final = 5.0
_QUESTIONS_AT_ONCE: Final = 8


class Clock(Protocol):
    """Time as the watch sees it, in seconds."""

    async def sleep(self, seconds: float) -> None:
        """Come back when so much time has passed."""
        ...


class SystemClock:
    """The real time."""

    async def sleep(self, seconds: float) -> None:
        """Come back when so much time has passed."""
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True, eq=False)
class _Watched:
    name: str
    committed: Callable[[], bool]


class JobWatch:
    """Watches jobs by name and calls `on_change(name)` once when one committed, ended or got lost.

    `on_runner` is told once when the runner stops answering, with the error, and once when it answers again,
    with None. Both callbacks run in the event loop and must be quick; adding to a work queue is usual.
    """

    def __init__(
        self,
        runner: JobRunner,
        on_change: Callable[[str], None],
        on_runner: Callable[[RunnerError | None], None] | None = None,
        *,
        clock: Clock | None = None,
        probe_seconds: float = PROBE_SECONDS,
        status_seconds: float = STATUS_SECONDS,
    ) -> None:
        self._runner = runner
        self._on_change = on_change
        self._on_runner = on_runner
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._probe_seconds = probe_seconds
        self._status_seconds = status_seconds
        self._watched: dict[str, _Watched] = {}
        self._some = asyncio.Event()
        self._error: RunnerError | None = None
        self._blind: set[str] = set()

    @property
    def error(self) -> RunnerError | None:
        """Why the runner did not answer when it was last asked, or None."""
        return self._error

    @property
    def names(self) -> frozenset[str]:
        """The jobs that are watched now."""
        return frozenset(self._watched)

    def watch(self, name: str, committed: Callable[[], bool]) -> None:
        """Watch a submitted job, if it is not watched yet; `committed` looks for its commit, in a thread."""
        if name not in self._watched:
            self._watched[name] = _Watched(name, committed)
            self._some.set()

    def unwatch(self, name: str) -> None:
        """Watch the job no longer; it will not be reported."""
        self._watched.pop(name, None)
        self._blind.discard(name)
        if not self._watched:
            self._some.clear()

    async def run(self) -> None:
        """Watch until cancelled; without watched jobs that costs nothing.

        A fault in a callback or in the runner's code ends it with that error: a deaf operator must end.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._probe_forever())
            group.create_task(self._ask_forever())

    async def _probe_forever(self) -> None:
        while True:
            await self._some.wait()
            watched = list(self._watched.values())
            # In a thread, because a store that hangs must not stop the operator.
            for each in await asyncio.to_thread(self._committed, watched):
                self._report(each)
            await self._clock.sleep(self._probe_seconds)

    def _committed(self, watched: list[_Watched]) -> list[_Watched]:
        return [each for each in watched if self._probe(each)]

    def _probe(self, each: _Watched) -> bool:
        try:
            seen = each.committed()
        except Exception as error:  # whatever the store says, the watch goes on and the runner is still asked
            if each.name not in self._blind:
                self._blind.add(each.name)
                _log.warning("job %s: the store cannot be asked for its commit (%s)", each.name, error)
            return False
        self._blind.discard(each.name)
        return seen

    async def _ask_forever(self) -> None:
        pause = self._status_seconds
        while True:
            await self._some.wait()
            await self._clock.sleep(pause)
            answered = await self._ask_all()
            pause = self._status_seconds if answered else min(pause * 2, MAX_BACKOFF_SECONDS)

    async def _ask_all(self) -> bool:
        """Ask for every watched job, a few at once; say whether the runner answered."""
        gate = asyncio.Semaphore(_QUESTIONS_AT_ONCE)

        async def ask(each: _Watched) -> RunnerError | None:
            async with gate:
                return await self._ask(each)

        errors = await asyncio.gather(*(ask(each) for each in self._watched.values()))
        error = next((each for each in errors if each is not None), None)
        if errors:  # nobody asked, nothing known
            self._tell(error)
        return error is None

    async def _ask(self, each: _Watched) -> RunnerError | None:
        if self._watched.get(each.name) is not each:
            return None
        try:
            status = await self._runner.status(each.name)
        except RunnerError as error:
            return error
        if status is None or status.phase.finished:
            self._report(each)
        return None

    def _report(self, each: _Watched) -> None:
        # The probe and the question may both see the end; only the first of them finds it still watched.
        if self._watched.get(each.name) is each:
            self.unwatch(each.name)
            self._on_change(each.name)

    def _tell(self, error: RunnerError | None) -> None:
        changed = (error is None) != (self._error is None)
        self._error = error
        if changed and self._on_runner is not None:
            self._on_runner(error)
