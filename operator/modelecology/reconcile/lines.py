"""The runners in use, one for all populations whose jobs go the same way, each with the watch of its jobs."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from modelecology.api.population import Population
from modelecology.jobs.port import JobRunner, RunnerError
from modelecology.jobs.watch import JobWatch

from .boards import PopulationKey


class Runners(Protocol):
    """Gives the runner of a population's jobs."""

    def __call__(self, population: Population) -> JobRunner:
        """Open the runner; asked once for each way that jobs go."""


@dataclass(slots=True)
class RunnerLine:
    """A runner with its watch, and the task which runs the watch."""

    runner: JobRunner
    watch: JobWatch
    task: asyncio.Task[None]


def way_of(population: Population) -> str:
    """Name the way that a population's jobs go: equal names can share a runner."""
    meta, spec = population.metadata, population.spec
    ray = spec.jobs.ray
    if ray is not None:
        # A token is a Secret of the namespace.
        token = f" {meta.namespace}/{ray.token_secret_ref}" if ray.token_secret_ref else ""
        s3 = spec.store.s3
        bucket = f" {s3.endpoint} {s3.region}" if s3 is not None else ""
        return f"{ray.address}{token}{bucket}"
    # All that a RayJob is rendered from.
    parts = (spec.jobs.model_dump_json(), spec.store.model_dump_json(), str(spec.serving.token_secret_ref))
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
    return f"kuberay {meta.namespace}/{meta.name} {meta.uid} {digest}"


@dataclass(slots=True)
class RunnerLines:
    """Opens runners and lets go of those that no population uses any more.

    `changed` is told of jobs that committed, ended, got lost or lost their watch, `answering` that a runner
    stopped or began to answer.
    """

    open_runner: Runners
    changed: Callable[[str], None]
    answering: Callable[[RunnerError | None], None]
    _lines: dict[str, RunnerLine] = field(default_factory=dict)
    _ways: dict[PopulationKey, str] = field(default_factory=dict)
    _closing: set[asyncio.Task[None]] = field(default_factory=set)

    def of(self, population: Population) -> RunnerLine:
        """Give the line of a population; one that it used before is closed if nobody else uses it."""
        where = (population.metadata.namespace, population.metadata.name)
        way = way_of(population)
        line = self._lines.get(way)
        if line is None:
            line = self._opened(way, population)
        before = self._ways.get(where, way)
        self._ways[where] = way
        if before != way:
            self._let_go(before)
        return line

    def forget(self, where: PopulationKey) -> None:
        """Close the line of a population that is gone, if nobody else uses it."""
        way = self._ways.pop(where, None)
        if way is not None:
            self._let_go(way)

    def tasks(self) -> tuple[asyncio.Task[None], ...]:
        """List the tasks that watch jobs."""
        return tuple(line.task for line in self._lines.values())

    async def stop(self) -> None:
        """Stop all watches."""
        await _ended(self.tasks())

    async def close(self) -> None:
        """Stop all watches, and let go of all connections."""
        await self.stop()
        for line in self._lines.values():
            await line.runner.close()
        await asyncio.gather(*self._closing)

    def _opened(self, way: str, population: Population) -> RunnerLine:
        runner = self.open_runner(population)
        watch = JobWatch(runner, self.changed, self.answering)
        line = RunnerLine(runner, watch, asyncio.create_task(watch.run(), name=f"job-watch {way}"))
        self._lines[way] = line
        return line

    def _let_go(self, way: str) -> None:
        if way in self._ways.values():
            return
        line = self._lines.pop(way, None)
        if line is None:
            return
        task = asyncio.create_task(_close(line))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        # Whoever waits for one of them has to look again, and watch it on the new line.
        for job in line.watch.names:
            self.changed(job)


async def _close(line: RunnerLine) -> None:
    await _ended((line.task,))
    await line.runner.close()


async def _ended(tasks: Iterable[asyncio.Task[None]]) -> None:
    found = tuple(tasks)
    for task in found:
        task.cancel()
    await asyncio.gather(*found, return_exceptions=True)
