"""Notices the end of jobs fast and cheaply, so that nobody else has to poll.

The commit marker in the store is the truth and a look at it is nearly free, so it is looked for often. The
runner says what the store cannot, that a job failed, was cancelled or is not known. It is asked when it tells
of a change, and now and then besides.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from modelecology.jobs.port import JobRunner, RunnerError

_log = logging.getLogger(__name__)

PROBE_SECONDS: Final = 0.01
"""How often a commit is looked for where that costs a look at a file."""

AGAIN_SECONDS: Final = 1.0
MAX_BACKOFF_SECONDS: Final = 5.0
_QUESTIONS_AT_ONCE: Final = 8
_TINY: Final = 1e-9


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


@dataclass(slots=True, eq=False)
class _Watched:
    name: str
    committed: Callable[[], bool]
    every: float
    due: float = 0.0  # seconds until the next look


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
    ) -> None:
        self._runner = runner
        self._on_change = on_change
        self._on_runner = on_runner
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._watched: dict[str, _Watched] = {}
        self._some = asyncio.Event()
        self._changed: set[str] = set()
        self._heard = asyncio.Event()
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

    def watch(self, name: str, committed: Callable[[], bool], every: float = PROBE_SECONDS) -> None:
        """Watch a submitted job, if it is not watched yet.

        `committed` looks for its commit, in a thread, each time that `every` seconds have passed.
        """
        if name not in self._watched:
            self._watched[name] = _Watched(name, committed, every)
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
            group.create_task(self._hear_forever())
            group.create_task(self._runner.changes(self._hear))

    async def _probe_forever(self) -> None:
        while True:
            await self._some.wait()
            watched = [each for each in self._watched.values() if each.due <= _TINY]
            # In a thread, because a store that hangs must not stop the operator.
            for each in await asyncio.to_thread(self._committed, watched):
                self._report(each)
            for each in watched:
                each.due = each.every
            pause = min((each.due for each in self._watched.values()), default=0.0)
            await self._clock.sleep(max(pause, PROBE_SECONDS))
            for each in self._watched.values():
                each.due -= max(pause, PROBE_SECONDS)

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

    def _hear(self, name: str) -> None:
        if name in self._watched:
            self._changed.add(name)
            self._heard.set()

    async def _hear_forever(self) -> None:
        """Ask for the jobs that are said to have changed, until the runner has answered."""
        while True:
            await self._heard.wait()
            self._heard.clear()
            names, self._changed = self._changed, set()
            if not await self._ask_all([self._watched[name] for name in names if name in self._watched]):
                await self._clock.sleep(AGAIN_SECONDS)
                for name in names:
                    self._hear(name)

    async def _ask_forever(self) -> None:
        every = pause = self._runner.ask_seconds
        while True:
            await self._some.wait()
            await self._clock.sleep(pause)
            answered = await self._ask_all(list(self._watched.values()))
            pause = every if answered else min(max(pause, AGAIN_SECONDS) * 2, MAX_BACKOFF_SECONDS)

    async def _ask_all(self, watched: list[_Watched]) -> bool:
        """Ask for jobs, a few at once; say whether the runner answered."""
        gate = asyncio.Semaphore(_QUESTIONS_AT_ONCE)

        async def ask(each: _Watched) -> RunnerError | None:
            async with gate:
                return await self._ask(each)

        errors = await asyncio.gather(*(ask(each) for each in watched))
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
