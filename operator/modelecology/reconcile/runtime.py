"""All ports and boards that the stages share, put together once at start-up."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from modelecology.api.population import Population
from modelecology.api.specialist import Specialist
from modelecology.api.suite import EvaluationSuite
from modelecology.engines.port import Engine
from modelecology.governance.facts import Wait
from modelecology.governance.log import LogState
from modelecology.governance.segments import Sign
from modelecology.governance.succession import Place, places
from modelecology.jobs.port import RunnerError
from modelecology.kube.cache import ObjectCache
from modelecology.kube.cluster import POPULATION, Cluster
from modelecology.kube.decisions import DecisionLog
from modelecology.store import ArtifactStore, StoreError
from modelecology.store.places import store_root

from .boards import KeptRoutes, PopulationKey, ResidencyBoard, Slots
from .classifier import classifier_of
from .dues import Dues
from .engines import Resident
from .frame import Frame, Rules
from .lines import RunnerLine, RunnerLines, Runners
from .log_copy import LogCopy
from .metrics import tell_members
from .queue import WorkKey, WorkQueue
from .results import ResultsReader
from .selected import Selections
from .terms import rules, weighed
from .usage import Counted


def root_of(population: Population) -> str:
    """Name a population's store by its place: one store may be spelt in several ways."""
    uri = population.spec.store.uri
    if uri.startswith("s3:"):
        # Not by its endpoint: a service has many names, and of a store taken for two one deletes the other's.
        return uri.rstrip("/")
    try:
        return os.path.normpath(f"/{str(store_root(uri)).lstrip('/')}")
    except StoreError:
        return uri  # a scheme that this version does not know; whoever opens the store says so


Engines = Callable[[Population, str], Engine]
"""Opens the engine at one of a population's endpoints; asked once per endpoint and token."""

Stores = Callable[[Population], ArtifactStore]
"""Opens a population's store; asked once per place and way to reach it."""


class PopulationMissing(Exception):
    """Raised when the population does not exist."""


_LOG = logging.getLogger(__name__)


class SuiteMissing(Exception):
    """Raised when the population's suite does not exist."""


_MOST_BACKGROUND = 200


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
    open_store: Stores = lambda population: ArtifactStore.open(population.spec.store.uri)
    sign: Sign | None = None  # vouches for what is sealed of the logs
    slots: Slots = field(default_factory=Slots)
    residency: ResidencyBoard = field(default_factory=ResidencyBoard)
    results: ResultsReader = field(default_factory=ResultsReader)
    dues: Dues = field(default_factory=Dues)
    waiting: dict[str, set[WorkKey]] = field(default_factory=dict)  # who is woken when a job ends
    queued: dict[PopulationKey, set[WorkKey]] = field(default_factory=dict)  # who waits for a job slot
    running: dict[WorkKey, str] = field(default_factory=dict)  # the job that somebody waits for
    makes: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)  # a job's store and its keys
    progress_at: dict[WorkKey, datetime] = field(default_factory=dict)  # when a status was last written
    attempts: dict[PopulationKey, int] = field(default_factory=dict)  # of a population's own evaluation
    withdrawn: dict[PopulationKey, set[str]] = field(default_factory=dict)  # its own jobs that it ended
    retry_at: dict[str, datetime] = field(default_factory=dict)  # when a failed evaluation runs again
    ready: set[PopulationKey] = field(default_factory=set)  # populations whose generalist is evaluated
    counted: set[PopulationKey] = field(
        default_factory=set
    )  # whose running jobs were counted since the start
    counting: asyncio.Lock = field(default_factory=asyncio.Lock)
    in_the_way: dict[PopulationKey, Wait] = field(default_factory=dict)  # of a population's own evaluation
    ended: dict[WorkKey, float] = field(default_factory=dict)  # when the end of its job was noticed
    routes: dict[PopulationKey, KeptRoutes] = field(default_factory=dict)
    residents: dict[PopulationKey, Mapping[str, Resident]] = field(default_factory=dict)  # as last wanted
    _background: set[asyncio.Task[None]] = field(default_factory=set)
    _rules: dict[PopulationKey, tuple[tuple[str, int, str, int], Rules]] = field(default_factory=dict)
    _logs: dict[PopulationKey, DecisionLog] = field(default_factory=dict)
    _copies: dict[PopulationKey, LogCopy] = field(default_factory=dict)
    _lines: RunnerLines = field(init=False)
    selected: Selections = field(init=False)
    _engines: dict[str, Engine] = field(default_factory=dict)
    _stores: dict[str, ArtifactStore] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lines = RunnerLines(self.open_runner, self.job_changed, self._runner_changed)
        self.selected = Selections(self.cluster, self.cache, self._engines_changed)

    def log(self, population: Population) -> DecisionLog:
        """Open the decision log of a population, once per uid."""
        key = (population.metadata.namespace, population.metadata.name)
        known = self._logs.get(key)
        meta = population.metadata
        copy = self._copies.get(key)
        if known is None or copy is None or (known.uid, copy.uid) != (meta.uid, meta.log_uid):
            copy = LogCopy(lambda: self.store(population), meta.log_uid, *key, self.sign)
            rebuilt = meta.log_uid != meta.uid
            known = DecisionLog(self.cluster, *key, meta.uid, copy, rebuilt=rebuilt)
            self._logs[key] = known
            self._copies[key] = copy
        return known

    def log_copy(self, population: Population) -> LogCopy:
        """Give the copy of a population's log in its store."""
        self.log(population)
        return self._copies[population.metadata.namespace, population.metadata.name]

    def store(self, population: Population) -> ArtifactStore:
        """Open a population's store, once per place and way to reach it."""
        store = population.spec.store
        name = f"{store.uri} {population.metadata.namespace} {store.s3}" if store.s3 else store.uri
        if name not in self._stores:
            self._stores[name] = self.open_store(population)
        return self._stores[name]

    def engine(self, population: Population, endpoint: str) -> Engine:
        """Open an engine, once a population: one that lets go of it ends no calls of another."""
        name = self._engine_name(population, endpoint)
        if name not in self._engines:
            self._engines[name] = self.open_engine(population, endpoint)
        return self._engines[name]

    async def drop_engine(self, population: Population, endpoint: str) -> None:
        """Let go of an engine's connections."""
        engine = self._engines.pop(self._engine_name(population, endpoint), None)
        if engine is not None:
            await engine.close()

    def _engine_name(self, population: Population, endpoint: str) -> str:
        meta, token = population.metadata, population.spec.serving.token_secret_ref
        return f"{meta.namespace}/{meta.name} {endpoint} {token or ''}"

    def runner(self, population: Population) -> RunnerLine:
        """Open the runner of a population and its watch, once for each way that jobs go."""
        return self._lines.of(population)

    def baseline_ready(self, population: PopulationKey) -> bool:
        """Note that a generalist is evaluated; says whether that is new."""
        new = population not in self.ready
        self.ready.add(population)
        return new

    def watches(self) -> tuple[asyncio.Task[None], ...]:
        """List the tasks that watch jobs and engines; one that ended makes the operator deaf."""
        return (*self._lines.tasks(), *self.selected.tasks())

    def job_changed(self, job: str) -> None:
        """Wake everybody who waits for a job that committed, ended or got lost."""
        for key in self.waiting.pop(job, ()):
            self.ended[key] = time.monotonic()
            self.queue.add(key)
            if key.kind == POPULATION.kind:
                # They wait for its results, and it may be at its engines for seconds.
                self.wake_specialists(key.namespace, key.name)

    def in_background(self, work: Coroutine[None, None, None]) -> None:
        """Let something run that nothing waits for; too much of it at once is dropped."""
        if len(self._background) >= _MOST_BACKGROUND:
            work.close()
            return
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def flush(self) -> None:
        """Wait for what runs in the background."""
        while self._background:
            await asyncio.wait(tuple(self._background))

    def forget_specialist(self, key: WorkKey) -> None:
        """Drop what is known of a Specialist that is gone; a slot that it still held is free again."""
        self.progress_at.pop(key, None)
        self.ended.pop(key, None)
        self.queue.forgive(key)
        job = self.running.pop(key, None)
        if job is None:
            return
        others = self.waiting.get(job, set())
        others.discard(key)
        if not others:
            self.waiting.pop(job, None)
            self.makes.pop(job, None)
            for population in self.populations():
                self.slots.free(population, job)

    def forget_population(self, key: WorkKey) -> None:
        """Drop what is known of a population that is gone."""
        where = (key.namespace, key.name)
        self.forget_specialist(key)
        tell_members(where, ())
        self._logs.pop(where, None)
        self._copies.pop(where, None)
        self._rules.pop(where, None)
        self.attempts.pop(where, None)
        self.withdrawn.pop(where, None)
        self.dues.failed.pop(where, None)
        self.in_the_way.pop(where, None)
        self.ready.discard(where)
        self.counted.discard(where)
        self.slots.drop(where)
        self.residency.drop(where)
        self.routes.pop(where, None)
        self.residents.pop(where, None)
        self._lines.forget(where)
        self.selected.tidy()
        for name in [n for n in self._engines if n.startswith(f"{key.namespace}/{key.name} ")]:
            self.in_background(self._engines.pop(name).close())

    def populations(self) -> tuple[PopulationKey, ...]:
        """Name all populations."""
        return tuple((p.metadata.namespace, p.metadata.name) for p in self.cache.populations())

    def _engines_changed(self, population: Population) -> None:
        meta = population.metadata
        # Where requests go does not wait for a look at all the rest.
        self.queue.add(WorkKey("Routes", meta.namespace, meta.name))
        self.queue.add(WorkKey("Population", meta.namespace, meta.name))

    def _runner_changed(self, _error: RunnerError | None) -> None:
        for keys in self.waiting.values():
            for key in keys:
                self.queue.add(key)

    def wake(self, namespace: str, population: str) -> None:
        """Look again at a population and at everything in it."""
        self.queue.add(WorkKey("Population", namespace, population))
        self.wake_specialists(namespace, population)

    def wake_specialists(
        self, namespace: str, population: str, concerned: Callable[[Specialist], bool] | None = None
    ) -> None:
        """Look again at the specialists of a population that something concerns, or at all of them."""
        for specialist in self.cache.specialists(namespace, population):
            if concerned is None or concerned(specialist):
                self.queue.add(WorkKey("Specialist", namespace, specialist.metadata.name))

    async def log_state(self, population: Population) -> LogState:
        """Give the fold of a population's log, at least as far as anybody was seen to know it.

        Raises LogBroken, KubeError.
        """
        log = self.log(population)
        tip = population.status.last_decision
        await log.reach(tip.sequence if tip else 0, ours=True)
        meta = population.metadata
        tips = (s.status.last_decision for s in self.cache.specialists(meta.namespace, meta.name))
        return await log.reach(max((t.sequence for t in tips if t), default=0), ours=False)

    def _rules_of(self, population: Population, suite: EvaluationSuite) -> Rules:
        where = (population.metadata.namespace, population.metadata.name)
        of = (population.metadata, suite.metadata)
        version = (of[0].uid, of[0].generation, of[1].uid, of[1].generation)
        known = self._rules.get(where)
        if known is None or known[0] != version:
            known = (version, rules(population, suite))
            self._rules[where] = known
        return known[1]

    async def places(self, frame: Frame) -> dict[str, Place]:
        """Say where each artifact of a store belongs, by the logs of all populations that use it.

        Raises LogBroken, KubeError: while one of them cannot be read, nothing may be taken away.
        """
        root = root_of(frame.population)
        others = [
            p
            for p in self.cache.populations()
            if root_of(p) == root and p.metadata.uid != frame.population.metadata.uid
        ]
        return places(frame.log, *[await self.log_state(other) for other in others])

    async def frame(self, namespace: str, name: str) -> Frame:
        """See a population as it is now.

        Raises PopulationMissing, EnginesUnknown, SuiteMissing, LogBroken, KubeError.
        """
        population = self.cache.population(namespace, name)
        if population is None or population.metadata.deletion_timestamp is not None:
            raise PopulationMissing(name)
        await self.selected.require(population)
        population = self.cache.population(namespace, name) or population
        # What is there and not ready may hold an adapter too: without it nothing is proved to be gone.
        self.residency.views((namespace, name), self.cache.unready(population))
        suite = self.cache.suite(namespace, population.spec.suite_ref.name)
        if suite is None:
            raise SuiteMissing(population.spec.suite_ref.name)
        # After a start the first one to look reads what was written down until then.
        counted = self.usage(population) or await self.read_usage(population)
        classifier = classifier_of(population, self.cache.specialists(namespace, name), counted)
        return Frame(
            namespace=namespace,
            population=population,
            suite=suite,
            rules=weighed(self._rules_of(population, suite), population, counted, classifier),
            log=await self.log_state(population),
            store=self.store(population),
            code=self.code,
            counted=counted,
            classifier=classifier,
        )

    def usage(self, population: Population) -> Counted | None:
        """Give what gateways counted, as far as it was read; None where they write nothing down."""
        meta, gateway = population.metadata, population.spec.serving.gateway
        if gateway is None or gateway.records is None:
            return None
        try:
            ledger = self.results.live.at(self.store(population), gateway.records)
        except StoreError:
            return None
        return Counted(ledger.usage(meta.name), self.now()) if ledger.has_read else None

    async def read_usage(self, population: Population) -> Counted | None:
        """Read what gateways have counted since, and give all of it; what cannot be read comes later."""
        gateway = population.spec.serving.gateway
        if gateway is not None and gateway.records is not None:
            try:
                store = self.store(population)
                await asyncio.to_thread(self.results.live.read, store, gateway.records)
            except StoreError as error:
                meta = population.metadata
                _LOG.warning("%s/%s: the records cannot be read: %s", meta.namespace, meta.name, error)
        return self.usage(population)

    async def stop_tasks(self) -> None:
        """Stop the watches of jobs and what runs in the background."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._lines.stop()
        await self.selected.stop()

    async def close(self) -> None:
        """Stop all tasks and let go of all connections."""
        await self.stop_tasks()
        await self._lines.close()
        for engine in self._engines.values():
            await engine.close()
        await self.cluster.close()
