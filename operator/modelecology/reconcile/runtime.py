"""All ports and boards that the stages share, put together once at start-up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from modelecology.api.population import Population
from modelecology.engines.port import Engine
from modelecology.governance.log import LogBroken, LogState
from modelecology.jobs.port import JobRunner, RunnerError
from modelecology.jobs.watch import JobWatch
from modelecology.kube.cache import ObjectCache
from modelecology.kube.cluster import Cluster
from modelecology.kube.decisions import DecisionLog
from modelecology.store import ArtifactStore

from .boards import PopulationKey, ResidencyBoard, Slots
from .frame import Frame
from .queue import WorkKey, WorkQueue
from .results import ResultsReader
from .terms import policy, policy_digest, suite_digest, tasks


class Runners(Protocol):
    """Gives the runner of a population's jobs."""

    def __call__(self, population: Population) -> JobRunner:
        """Open the runner; asked once per address and token."""


Engines = Callable[[str], Engine]


class PopulationMissing(Exception):
    """Raised when the population does not exist."""


class SuiteMissing(Exception):
    """Raised when the population's suite does not exist."""


@dataclass(slots=True)
class RunnerLine:
    """A runner with its watch, and the task which runs the watch."""

    runner: JobRunner
    watch: JobWatch
    task: asyncio.Task[None]


@dataclass(slots=True)
class Runtime:
    """The shell around the pure core."""

    cluster: Cluster
    cache: ObjectCache
    queue: WorkQueue
    open_runner: Runners
    open_engine: Engines
    now: Callable[[], datetime]
    code: str
    slots: Slots = field(default_factory=Slots)
    residency: ResidencyBoard = field(default_factory=ResidencyBoard)
    results: ResultsReader = field(default_factory=ResultsReader)
    waiting: dict[str, set[WorkKey]] = field(default_factory=dict)  # who is woken when a job ends
    running: dict[WorkKey, str] = field(default_factory=dict)  # the job that somebody waits for
    progress_at: dict[WorkKey, datetime] = field(default_factory=dict)  # when a status was last written
    attempts: dict[PopulationKey, int] = field(default_factory=dict)  # of a population's own evaluation
    retry_at: dict[str, datetime] = field(default_factory=dict)  # when a failed evaluation runs again
    ready: set[PopulationKey] = field(default_factory=set)  # populations whose generalist is evaluated
    _logs: dict[PopulationKey, DecisionLog] = field(default_factory=dict)
    _runners: dict[str, RunnerLine] = field(default_factory=dict)
    _engines: dict[str, Engine] = field(default_factory=dict)
    _stores: dict[str, ArtifactStore] = field(default_factory=dict)

    def log(self, population: Population) -> DecisionLog:
        """Open the decision log of a population, once per uid."""
        key = (population.metadata.namespace, population.metadata.name)
        known = self._logs.get(key)
        if known is None or known.uid != population.metadata.uid:
            known = DecisionLog(self.cluster, *key, population.metadata.uid)
            self._logs[key] = known
        return known

    def store(self, uri: str) -> ArtifactStore:
        """Open a store, once per uri."""
        if uri not in self._stores:
            self._stores[uri] = ArtifactStore.open(uri)
        return self._stores[uri]

    def engine(self, endpoint: str) -> Engine:
        """Open an engine, once per endpoint."""
        if endpoint not in self._engines:
            self._engines[endpoint] = self.open_engine(endpoint)
        return self._engines[endpoint]

    def runner(self, population: Population) -> RunnerLine:
        """Open the runner of a population and its watch, once per address and token."""
        ray = population.spec.jobs.ray
        name = f"{ray.address} {ray.token_secret_ref}"
        line = self._runners.get(name)
        if line is None:
            runner = self.open_runner(population)
            watch = JobWatch(runner, self._job_changed, self._runner_changed)
            line = RunnerLine(
                runner, watch, asyncio.create_task(watch.run(), name=f"job-watch {ray.address}")
            )
            self._runners[name] = line
        return line

    def baseline_ready(self, population: PopulationKey) -> bool:
        """Note that a generalist is evaluated; says whether that is new."""
        new = population not in self.ready
        self.ready.add(population)
        return new

    def watches(self) -> tuple[asyncio.Task[None], ...]:
        """List the tasks that watch jobs; one that ended makes the operator deaf."""
        return tuple(line.task for line in self._runners.values())

    def _job_changed(self, job: str) -> None:
        for key in self.waiting.pop(job, ()):
            self.queue.add(key)

    def _runner_changed(self, _error: RunnerError | None) -> None:
        for keys in self.waiting.values():
            for key in keys:
                self.queue.add(key)

    def wake(self, namespace: str, population: str) -> None:
        """Look again at a population and at everything in it."""
        self.queue.add(WorkKey("Population", namespace, population))
        self.wake_specialists(namespace, population)

    def wake_specialists(self, namespace: str, population: str) -> None:
        """Look again at every specialist of a population."""
        for specialist in self.cache.specialists(namespace, population):
            self.queue.add(WorkKey("Specialist", namespace, specialist.metadata.name))

    async def log_state(self, population: Population) -> LogState:
        """Give the fold of a population's log. Raises LogBroken, KubeError."""
        try:
            return await self.log(population).state()
        except LogBroken:
            self.log(population).forget()
            raise

    async def frame(self, namespace: str, name: str) -> Frame:
        """See a population as it is now. Raises PopulationMissing, SuiteMissing, LogBroken, KubeError."""
        population = self.cache.population(namespace, name)
        if population is None:
            raise PopulationMissing(name)
        suite = self.cache.suite(namespace, population.spec.suite_ref.name)
        if suite is None:
            raise SuiteMissing(population.spec.suite_ref.name)
        return Frame(
            namespace=namespace,
            population=population,
            suite=suite,
            suite_digest=suite_digest(suite.spec),
            policy=policy(population),
            policy_digest=policy_digest(population),
            tasks=tasks(suite.spec),
            log=await self.log_state(population),
            store=self.store(population.spec.store.uri),
            code=self.code,
        )

    async def close(self) -> None:
        """Stop the watches and let go of all connections."""
        for line in self._runners.values():
            line.task.cancel()
        await asyncio.gather(*(line.task for line in self._runners.values()), return_exceptions=True)
        for line in self._runners.values():
            await line.runner.close()
        for engine in self._engines.values():
            await engine.close()
        await self.cluster.close()
