"""The reconciler in this process, over doubles and a clock that the test moves: days pass in milliseconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from modelecology.engines.double import EngineDouble
from modelecology.governance.log import LogState, fold
from modelecology.jobs.double import InMemoryRunner
from modelecology.kube.cache import ObjectCache
from modelecology.kube.cluster import DECISION, POPULATION, SPECIALIST, SUITE, Kind
from modelecology.kube.decisions import to_entry
from modelecology.kube.double import InMemoryCluster
from modelecology.reconcile.queue import WorkQueue
from modelecology.reconcile.runtime import Runtime
from modelecology.reconcile.worker import look, seen
from modelecology.store import ArtifactStore
from testbed.pretend_desk import PLAYBOOK, Manifest, PretendDesk

NAMESPACE = "d"
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
CODE = "sha256:" + "c" * 64
_KINDS = {"EvaluationSuite": SUITE, "Population": POPULATION, "Specialist": SPECIALIST}
_MOST_LOOKS = 8000
Object = dict[str, Any]


class StageClock:
    """Seconds since the start; only the test moves it."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        """The time of day."""
        return START + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        """The seconds."""
        return self.seconds


@dataclass
class Stage:
    """One operator in memory; `restart` gives it a successor over the same cluster, jobs and store."""

    directory: Path
    clock: StageClock = field(default_factory=StageClock)
    cluster: InMemoryCluster = field(init=False)
    engine: EngineDouble = field(init=False)
    runner: InMemoryRunner = field(init=False)
    runtime: Runtime = field(init=False)
    looks: int = 0

    def __post_init__(self) -> None:
        (self.directory / "store").mkdir(exist_ok=True)
        self.manifests = PretendDesk(self.directory)
        self.store = ArtifactStore.open(f"file://{self.directory}/store")
        self.cluster = InMemoryCluster(now=self.clock.now)
        self.cluster.watch(self._hear)
        self.engines: dict[str, EngineDouble] = {}
        self.engine = self.add_engine("http://127.0.0.1:2")
        self.runner = InMemoryRunner(PLAYBOOK.effect, now=lambda: self.clock.now().timestamp())
        self.runtime = self._fresh()

    def _fresh(self) -> Runtime:
        return Runtime(
            cluster=self.cluster,
            cache=ObjectCache(),
            queue=WorkQueue(self.clock.monotonic),
            open_runner=lambda _population: self.runner,
            open_engine=lambda _population, endpoint: self.engines.get(endpoint) or self.add_engine(endpoint),
            now=self.clock.now,
            code=CODE,
        )

    def _hear(self, event: str, kind: Kind, body: Object) -> None:
        if kind == DECISION:
            return
        meta = body["metadata"]
        if event == "DELETED":
            self.runtime.cache.drop(kind, meta["namespace"], meta["name"])
        else:
            self.runtime.cache.put(kind, body)
        seen(self.runtime, kind, meta["namespace"], meta["name"])

    def add_engine(self, endpoint: str, capacity: int = 4) -> EngineDouble:
        """Put an engine behind an endpoint."""
        self.engines[endpoint] = EngineDouble(endpoint, capacity=capacity)
        return self.engines[endpoint]

    async def restart(self, code: str = CODE) -> None:
        """End this operator and start the next one, perhaps with other code of the workloads."""
        await self.runtime.stop_tasks()
        self.runtime = self._fresh()
        self.runtime.code = code
        for kind in _KINDS.values():
            for body in await self.cluster.list(kind, None):
                self._hear("ADDED", kind, body)

    async def apply(self, *manifests: Manifest) -> None:
        """Create objects, or change the spec of those that are there."""
        for body in manifests:
            kind, name = _KINDS[body["kind"]], body["metadata"]["name"]
            if self.cluster.get(kind, NAMESPACE, name) is None:
                await self.cluster.create(kind, NAMESPACE, body)
            else:
                await self.cluster.patch(kind, NAMESPACE, name, {"spec": body["spec"]})

    async def apply_desk(self, *specialists: Manifest, **policy: Any) -> None:
        """Apply suite, population and specialists, and let everything come to rest."""
        await self.apply(self.manifests.suite(), self.manifests.population(**policy), *specialists)
        await self.settle()

    async def want(self, name: str, target: str) -> None:
        """Set lifecycle.target, and let everything come to rest."""
        patch = {"spec": {"lifecycle": {"target": target}}}
        await self.cluster.patch(SPECIALIST, NAMESPACE, name, patch)
        await self.settle()

    async def settle(self, seconds: float = 8.0, *, work: bool = True) -> None:
        """Look at everything that is due within some seconds; with `work`, jobs end meanwhile."""
        end = self.clock.seconds + seconds
        for _ in range(_MOST_LOOKS):
            if work:
                self._work()
            key = self.runtime.queue.take()
            if key is not None:
                self.looks += 1
                try:
                    await look(self.runtime, key)
                finally:
                    self.runtime.queue.done(key)
                continue
            await self.runtime.flush()
            due = self.runtime.queue.next_due()
            if due is None or due > end:
                self.clock.seconds = max(self.clock.seconds, end)
                return
            self.clock.seconds = max(self.clock.seconds, due)
        raise AssertionError("the stage does not come to rest")

    async def pass_time(self, time: timedelta) -> None:
        """Let a long time go by at once, and look at what is due then."""
        self.clock.seconds += time.total_seconds()
        await self.settle()

    def _work(self) -> None:
        self.runner.finish()
        for name in tuple(self.runtime.waiting):
            if name in self.runner.names() and name not in self.runner.unfinished():
                self.runtime.job_changed(name)

    def get(self, name: str, kind: Kind = SPECIALIST) -> Object:
        """Read an object."""
        return self.cluster.get(kind, NAMESPACE, name) or {}

    def status(self, name: str, kind: Kind = SPECIALIST) -> Object:
        """Read a status."""
        found: Object = self.get(name, kind).get("status", {})
        return found

    def state(self, name: str) -> str:
        """Give a specialist's state and the reason of its Ready condition."""
        status = self.status(name)
        return f"{status.get('state', '')} {self.condition(name).get('reason', '')}".strip()

    def condition(self, name: str, kind: Kind = SPECIALIST, of: str = "Ready") -> Object:
        """Read a condition."""
        conditions = self.status(name, kind).get("conditions", ())
        return next((c for c in conditions if c["type"] == of), {})

    async def log(self) -> LogState:
        """Fold the log."""
        bodies = await self.cluster.list(DECISION, NAMESPACE)
        return fold(sorted((to_entry(b) for b in bodies), key=lambda e: e.sequence))

    async def actions(self, name: str) -> list[str]:
        """List what was decided about a specialist, as `Action Reason`."""
        specs = (b["spec"] for b in await self.cluster.list(DECISION, NAMESPACE))
        return [f"{s['action']} {s['reason']}" for s in specs if s["subject"]["specialist"] == name]

    def adapters(self) -> list[str]:
        """Name what the engine serves."""
        return sorted(self.engine._adapters)

    def told(self, name: str) -> list[str]:
        """List the reasons of the Events about an object."""
        return [t.event.reason for t in self.cluster.events if t.name == name]


async def live(stage: Stage, **policy: object) -> tuple[str, str]:
    """Bring `dates` live; gives its key and served name."""
    await stage.apply_desk(stage.manifests.specialist("dates", "dates", 0.6), **policy)
    assert stage.state("dates") == "Live Serving"
    revision = stage.status("dates")["live"]
    return revision["key"], revision["servedName"]
