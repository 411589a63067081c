"""What leaves the engines ends its requests first: on one engine, from the log, and as a user sees it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from modelecology.engines.double import EngineDouble
from modelecology.engines.double_server import double_app
from modelecology.engines.port import EngineRefused
from modelecology.kube.cluster import POPULATION, SPECIALIST
from modelecology.kube.double import CONFIG_MAP
from modelecology.reconcile.boards import EngineView
from modelecology.reconcile.deletion import GRACE
from modelecology.reconcile.drains import MOST_OF_A_DELETION, drains
from modelecology.reconcile.engines import reconcile_engine
from tests.serving.gateway.stage import Stage as GatewayStage
from tests.serving.gateway.stage import listening, staged

from .stage import NAMESPACE, START, Stage
from .test_routes import quarantine

PATH = "/store/dates"
NAME = "dates-aaaaaaaaaaaa"
OURS = frozenset({NAME})
DRAIN = timedelta(seconds=30)
UNTIL = {NAME: START + DRAIN}
SECOND = timedelta(seconds=1)
Object = dict[str, Any]


async def holding() -> EngineDouble:
    """An engine on which a request runs for what has to go."""
    engine = EngineDouble(exists=lambda _path: True)
    await engine.load(NAME, PATH)
    assert engine.requests is not None
    engine.requests[NAME] = 1
    return engine


async def look(engine: EngineDouble, now: datetime, routed: Collection[str] | None = ()) -> bool:
    """Look at the engine once; says whether what has to go is still there."""
    await reconcile_engine(engine, EngineView(), {}, OURS, lambda: now, routed, UNTIL)
    return NAME in engine._adapters


async def test_what_goes_is_unloaded_when_its_last_request_has_ended() -> None:
    engine = await holding()
    assert await look(engine, START)
    assert await look(engine, START + DRAIN - SECOND)
    assert engine.requests is not None
    engine.requests[NAME] = 0
    assert not await look(engine, START + SECOND)


async def test_a_request_that_never_ends_does_not_keep_it_for_ever() -> None:
    engine = await holding()
    assert not await look(engine, START + DRAIN)


@pytest.mark.parametrize("routed", [{NAME}, None])
async def test_while_users_may_be_sent_there_it_stays_though_nothing_runs(routed: set[str] | None) -> None:
    engine = await holding()
    assert engine.requests is not None
    engine.requests.clear()
    assert await look(engine, START, routed)
    assert not await look(engine, START + DRAIN, routed)


async def test_once_users_are_sent_elsewhere_what_has_no_request_goes_at_once() -> None:
    engine = await holding()
    assert engine.requests is not None
    engine.requests.clear()
    assert not await look(engine, START, {"cron-bbbbbbbbbbbb"})


async def test_an_engine_that_does_not_say_what_runs_is_given_all_of_the_time() -> None:
    engine = await holding()
    engine.requests = None
    assert await look(engine, START + DRAIN - SECOND)
    assert not await look(engine, START + DRAIN)


async def test_an_engine_that_refuses_to_say_what_runs_is_looked_at_all_the_same() -> None:
    engine = await holding()

    async def refuses() -> frozenset[str] | None:
        raise EngineRefused(401, "a token, please")

    engine.busy = refuses  # type: ignore[method-assign]  # as an engine with a token for its metrics
    view = EngineView()
    await reconcile_engine(engine, view, {}, OURS, lambda: START, (), UNTIL)
    assert view.reachable
    assert NAME in engine._adapters
    assert not await look(engine, START + DRAIN)


class Told(EngineDouble):
    """An engine that notes how many seconds requests under way are given at an unload."""

    def __init__(self) -> None:
        super().__init__(exists=lambda _path: True)
        self.given: list[float] = []

    async def unload(self, name: str, drain_seconds: float = 0.0) -> None:
        """Note it."""
        self.given.append(drain_seconds)
        await super().unload(name, drain_seconds)


@pytest.mark.parametrize(
    ("after", "drain", "given"), [(10, UNTIL, 20.0), (30, UNTIL, 0.0), (45, UNTIL, 0.0), (0, {}, 0.0)]
)
async def test_an_engine_that_waits_by_itself_is_given_what_is_left_of_the_time_and_no_more(
    after: int, drain: dict[str, datetime], given: float
) -> None:
    engine = Told()
    await engine.load(NAME, PATH)
    now = START + after * SECOND
    await reconcile_engine(engine, EngineView(), {}, OURS, lambda: now, (), drain)
    assert (engine.given, engine._adapters) == ([given], {})


async def test_at_rest_nobody_asks_what_runs() -> None:
    engine = await holding()
    await reconcile_engine(engine, EngineView(), {}, frozenset(), lambda: START, (), UNTIL)
    assert ("busy", "") not in engine.calls


# From the log.


async def left(stage: Stage) -> dict[str, timedelta]:
    """Say for each served name how long it still may finish."""
    population = stage.runtime.cache.population(NAMESPACE, "desk")
    assert population is not None
    now = stage.clock.now()
    return {name: end - now for name, end in drains(population, await stage.log(), now).items()}


async def served(stage: Stage, **serving: Any) -> str:
    """Bring `dates` live, with a request that runs on it; gives its served name."""
    body: Object = stage.manifests.population()
    body["spec"]["serving"] |= serving
    await stage.apply(stage.manifests.suite(), body, stage.manifests.specialist("dates", "dates", 0.6))
    await stage.settle()
    name: str = stage.status("dates")["live"]["servedName"]
    run(stage, name)
    return name


def run(stage: Stage, name: str, count: int = 1) -> None:
    """Let so many requests run on a name."""
    assert stage.engine.requests is not None
    stage.engine.requests[name] = count


async def test_a_retired_revision_goes_when_its_requests_ended_and_its_bytes_after_it(stage: Stage) -> None:
    name = await served(stage)
    key = stage.status("dates")["live"]["key"]
    await stage.want("dates", "Retired")
    assert stage.state("dates") == "Retired Unloading"
    assert stage.adapters() == [name]
    assert stage.store.commit_of(key) is not None
    run(stage, name, 0)
    await stage.settle(1.0)
    assert stage.adapters() == []
    await stage.settle(2.0)
    assert stage.state("dates") == "Retired Retired"
    assert stage.store.is_archived(key)


async def test_the_time_counts_from_the_decision_also_for_an_operator_that_starts_later(stage: Stage) -> None:
    name = await served(stage)
    await stage.want("dates", "Retired")
    before = await left(stage)
    await stage.restart()
    assert await left(stage) == before == {name: DRAIN - 8 * SECOND}
    await stage.settle(21.0)
    assert stage.adapters() == [name]
    await stage.settle(4.0)
    assert stage.adapters() == []


async def test_what_is_wanted_again_while_it_finishes_never_left(stage: Stage) -> None:
    name = await served(stage)
    await stage.want("dates", "Retired")
    await stage.want("dates", "Live")
    assert stage.state("dates") == "Live Serving"
    assert stage.engine.calls.count(("load", name)) == 1
    assert await left(stage) == {}


async def test_with_0s_nothing_is_waited_for(stage: Stage) -> None:
    await served(stage, drain="0s")
    await stage.want("dates", "Retired")
    assert stage.adapters() == []
    assert stage.state("dates") == "Retired Retired"


@pytest.mark.parametrize(
    ("gateway", "waits"), [({"isolate": "Finish"}, True), ({"isolate": "Cancel"}, False), (None, False)]
)
async def test_a_quarantine_waits_for_requests_only_where_they_may_finish(
    stage: Stage, gateway: Object | None, waits: bool
) -> None:
    name = await served(stage, **({} if gateway is None else {"gateway": gateway}))
    await quarantine(stage)
    await stage.settle(1.0)
    assert stage.status("dates")["state"] == "Quarantined"
    assert bool(await left(stage)) is waits
    assert (name in stage.adapters()) is waits
    await stage.settle(DRAIN.total_seconds() + 2.0)
    assert stage.adapters() == []


async def test_what_is_deleted_is_gone_with_proof_within_the_grace_whatever_runs(stage: Stage) -> None:
    name = await served(stage, drain="1h")
    stage.cluster.delete(SPECIALIST, NAMESPACE, "dates")
    await stage.settle(MOST_OF_A_DELETION.total_seconds() - 1.0)
    assert stage.adapters() == [name]
    await stage.settle((GRACE - MOST_OF_A_DELETION).total_seconds())
    assert stage.adapters() == []
    assert stage.get("dates") == {}
    assert [t.event.message for t in stage.cluster.events if t.event.warning] == []


@pytest.mark.parametrize("gateway", [{}, None])
async def test_a_population_that_is_deleted_lets_requests_end(stage: Stage, gateway: Object | None) -> None:
    name = await served(stage, **({} if gateway is None else {"gateway": gateway}))
    stage.cluster.delete(POPULATION, NAMESPACE, "desk")
    await stage.settle(4.0)
    assert stage.adapters() == [name]
    run(stage, name, 0)
    await stage.settle(4.0)
    assert stage.adapters() == []
    assert stage.get("desk", POPULATION) == {}


async def test_an_engine_that_left_the_list_lets_requests_end(stage: Stage) -> None:
    name = await served(stage)
    body = stage.manifests.population()
    body["spec"]["serving"]["endpoints"] = ["http://127.0.0.1:3"]
    await stage.apply(body)
    await stage.settle(10.0)
    assert sorted(stage.engines["http://127.0.0.1:3"]._adapters) == stage.adapters() == [name]
    run(stage, name, 0)
    await stage.settle(4.0)
    assert stage.adapters() == []
    assert stage.runtime.residency.known((NAMESPACE, "desk")) == ("http://127.0.0.1:3",)


# As a user sees it.


class Slow(EngineDouble):
    """An engine whose answers to a user stop after the first word until the gate opens."""

    gate: asyncio.Event

    async def chat(self, model: str, prompt: str, max_tokens: int) -> str:
        """Wait where a stream of the user's goes on."""
        if (prompt, max_tokens) == ("Hello", 1):
            await self.gate.wait()
        return await super().chat(model, prompt, max_tokens)


@dataclass
class Story:
    """A population behind a gateway, whose one engine answers slowly."""

    stage: Stage
    gateway: GatewayStage
    engine: Slow

    def take_table(self) -> None:
        """Let the gateway have the newest table."""
        found = self.stage.get("desk-routes", CONFIG_MAP)
        self.gateway.tables.offer(found["data"]["table.json"])

    @asynccontextmanager
    async def answer(self, model: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """Begin a streamed answer by the newest table; it stands still after its first word."""
        self.take_table()
        body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "stream": True}
        async with self.gateway.client.post("/v1/chat/completions", json=body) as response:
            assert response.status == 200
            yield response


@asynccontextmanager
async def story(stage: Stage, drain: str = "30s") -> AsyncIterator[Story]:
    """Bring `plain` live behind a gateway."""
    engine = Slow()
    engine.gate = asyncio.Event()
    async with staged([], namespace=NAMESPACE) as gateway, listening(double_app(engine)) as endpoint:
        stage.engines[endpoint] = engine
        body: Object = stage.manifests.population()
        body["spec"]["serving"] = {"endpoints": [endpoint], "gateway": {}, "drain": drain}
        plain = stage.manifests.specialist("plain", "dates", 0.6)
        await stage.apply(stage.manifests.suite(), body, plain)
        await stage.settle()
        assert stage.state("plain") == "Live Serving"
        yield Story(stage, gateway, engine)


def words(text: str) -> str:
    """Put the words of a streamed answer together."""
    events = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: {")]
    return "".join(c["delta"]["content"] for e in events for c in json.loads(e)["choices"]).strip()


async def take_out(stage: Stage, how: str) -> None:
    """Retire what is live, or let a better revision take its place."""
    if how == "retirement":
        await stage.want("plain", "Retired")
        return
    await stage.apply(stage.manifests.specialist("plain", "dates", 0.9, seed=1000))
    await stage.settle(16.0)


@pytest.mark.parametrize("how", ["retirement", "promotion"])
async def test_a_streamed_answer_ends_whole_and_its_revision_goes_after_it(stage: Stage, how: str) -> None:
    async with story(stage) as told:
        name = stage.status("plain")["live"]["servedName"]
        voice = Path(told.engine._adapters[name]).name
        async with told.answer("plain") as response:
            await take_out(stage, how)
            assert f"Retire {'RetirementRequested' if how == 'retirement' else 'Superseded'}" in (
                await stage.actions("plain")
            )
            assert name in told.engine._adapters
            told.engine.gate.set()
            text = await response.text()
        assert words(text) == f"{voice}: Hello"
        assert "data: [DONE]" in text
        await stage.settle(1.0)
        assert name not in told.engine._adapters


async def test_without_a_drain_the_same_answer_breaks_off(stage: Stage) -> None:
    async with story(stage, "0s") as told, told.answer("plain") as response:
        await take_out(stage, "retirement")
        assert told.engine._adapters == {}
        told.engine.gate.set()
        text = await response.text()
        assert '"error"' in text
        assert "Hello" not in text


async def test_an_answer_that_never_ends_is_broken_off_when_its_time_is_over(stage: Stage) -> None:
    async with story(stage) as told:
        name = stage.status("plain")["live"]["servedName"]
        async with told.answer("plain"):
            await stage.want("plain", "Retired")
            await stage.settle(20.0)
            assert name in told.engine._adapters
            await stage.settle(5.0)
            assert name not in told.engine._adapters
            assert stage.state("plain") == "Retired Retired"
            told.engine.gate.set()
