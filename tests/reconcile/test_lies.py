"""Every lie that engines are known to tell, as users see it through a gateway: they never do.

After each thing that the operator asks of an engine, a user asks the gateway, by the table as it is then.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from modelecology.api.routing import RoutingTable, read_table
from modelecology.api.vocabulary import QUARANTINE_ANNOTATION
from modelecology.engines.double import EngineDouble, Lie
from modelecology.engines.double_server import double_app
from modelecology.kube.cluster import SPECIALIST
from modelecology.kube.double import CONFIG_MAP
from modelecology.reconcile.engines import PROVED_FOR
from tests.serving.gateway.stage import Stage as GatewayStage
from tests.serving.gateway.stage import listening, staged

from .stage import NAMESPACE, Stage

LOADING = (Lie.LoadServesBase, Lie.LoadListsNothing, Lie.MissingPathAccepted, Lie.LateList, Lie.StaleCache)
LEAVING = (Lie.UnloadKeepsAnswering, Lie.UnloadFallsBackToBase)
Object = dict[str, Any]


@dataclass
class Users:
    """Those who ask the gateway, and what they heard that they should not have."""

    stage: Stage
    gateway: GatewayStage
    voices: dict[str, str] = field(default_factory=dict)  # how each served name answers
    answers: int = 0
    wrong: list[str] = field(default_factory=list)

    async def ask(self, model: str = "dates") -> tuple[str, bool]:
        """Ask by the newest table; gives who answered, and whether it is marked as the fallback."""
        found = self.stage.cluster.get(CONFIG_MAP, NAMESPACE, "desk-routes")
        if found is None:
            return "", False
        self.gateway.tables.offer(found["data"]["table.json"])
        status, body, headers = await self.gateway.ask(model, "Hello")
        self.answers += 1
        fallback = headers.get("x-modelecology-fallback") == "true"
        who = str(body.get("model", status))
        text = body["choices"][0]["message"]["content"] if status == 200 else ""
        if text != ("base: Hello" if fallback else self.voices.get(who)):
            self.wrong.append(f"{who}, fallback {fallback}: {text}")
        return who, fallback


class Watched(EngineDouble):
    """An engine at which a user asks after each thing that the operator did there."""

    users: Users | None = None

    async def load(self, name: str, path: str) -> None:
        await super().load(name, path)
        await self._show(name, path)

    async def unload(self, name: str, drain_seconds: float = 0.0) -> None:
        await super().unload(name, drain_seconds)
        if self.users is not None:
            await self.users.ask()

    async def _show(self, name: str, path: str) -> None:
        if self.users is not None:
            self.users.voices.setdefault(name, f"{Path(path).name}: Hello")
            for _ in self.users.stage.engines:
                # Replicas take turns: one of these comes here, if any request does.
                await self.users.ask()


@dataclass
class Scene:
    """One population whose engines are watched."""

    stage: Stage
    users: Users
    engines: list[Watched]
    endpoints: list[str]

    async def live(self, **spec: Any) -> str:
        """Try to bring `dates` live; gives what the table says of it."""
        dates = self.stage.manifests.specialist("dates", "dates", 0.6)
        body: Object = self.stage.manifests.population()
        body["spec"]["serving"] = {"endpoints": self.endpoints, "gateway": {}, **spec}
        await self.stage.apply(self.stage.manifests.suite(), body, dates)
        await self.stage.settle(20.0)
        return self.table().routes[0].live or ""

    def table(self) -> RoutingTable:
        """The table as it is."""
        return read_table(self.stage.get("desk-routes", CONFIG_MAP)["data"]["table.json"])


@asynccontextmanager
async def scene(stage: Stage, count: int = 1, *lies: Lie) -> AsyncIterator[Scene]:
    """Put so many engines behind a gateway; the lies are those of all."""
    engines = [Watched(lies=lies) for _ in range(count)]
    async with staged([], namespace=NAMESPACE) as gateway:
        opened = [listening(double_app(engine)) for engine in engines]
        endpoints = [await each.__aenter__() for each in opened]
        try:
            users = Users(stage, gateway)
            for engine, endpoint in zip(engines, endpoints, strict=True):
                stage.engines[endpoint] = engine
                engine.users = users
            yield Scene(stage, users, engines, endpoints)
        finally:
            for each in opened:
                await each.__aexit__(None, None, None)


class _Cached(dict[str, str]):
    """A cache in which every name is somebody else's already."""

    def __missing__(self, name: str) -> str:
        return "/var/cache/somebody-elses"

    def setdefault(self, name: str, path: str = "") -> str:
        return self[name]


def _lies(engine: EngineDouble, lie: Lie) -> None:
    """Let an engine lie from now on, where the lie makes a difference."""
    engine.lies = {lie}
    if lie is Lie.MissingPathAccepted:
        engine._exists = lambda _path: False
    if lie is Lie.StaleCache:
        engine._first = _Cached()


@pytest.mark.parametrize("lie", LOADING)
async def test_a_lie_at_the_first_load_is_found_before_a_user_is_sent_there(stage: Stage, lie: Lie) -> None:
    async with scene(stage) as found:
        _lies(found.engines[0], lie)
        name = await found.live()
        who, fallback = await found.users.ask()
        # A list that comes late is waited for.
        assert bool(name) is (lie is Lie.LateList)
        assert (who, fallback) == ((name, False) if name else ("generalist", True))
        assert [call for call in found.engines[0].calls if call[0] == "load"]
    assert found.users.wrong == []


@pytest.mark.parametrize("lie", LOADING)
async def test_a_replica_that_comes_back_lying_answers_nobody(stage: Stage, lie: Lie) -> None:
    async with scene(stage, 2) as found:
        name = await found.live()
        assert found.table().engines == tuple(sorted(found.endpoints))
        bad, asked = found.engines[0], found.users.answers
        # So quickly that nobody saw it away; its disk is another one now.
        bad.restart()
        _lies(bad, lie)
        for _ in range(20):
            await stage.settle(0.25)
            await found.users.ask()
        assert found.users.answers > asked + 20
    assert found.users.wrong == []
    if lie is Lie.LateList:
        assert found.table().engines == tuple(sorted(found.endpoints))
        assert found.table().routes[0].live == name
    else:
        # One replica that is found to be wrong takes the revision out of service.
        assert found.table().quarantined == (name,)


async def test_a_replica_that_comes_back_is_not_loaded_before_users_are_sent_elsewhere(stage: Stage) -> None:
    async with scene(stage, 2) as found:
        name = await found.live()
        engine, seen = found.engines[0], []
        load = EngineDouble.load

        async def noted(self: EngineDouble, served: str, path: str) -> None:
            seen.append(found.table().engines)
            await load(self, served, path)

        engine.load = noted.__get__(engine)  # type: ignore[method-assign]  # the one that is watched
        engine.restart()
        await stage.settle(1.0)
    assert seen == [(found.endpoints[1],)]
    assert name in engine._adapters
    assert found.table().engines == tuple(sorted(found.endpoints))
    assert found.users.wrong == []


@pytest.mark.parametrize("lie", LEAVING)
async def test_what_still_answers_after_its_unload_answers_no_user(stage: Stage, lie: Lie) -> None:
    async with scene(stage, 1, lie) as found:
        name = await found.live()
        assert await found.users.ask(name) == (name, False)
        word = f"{stage.status('dates')['live']['revision']}/ada@2026-03-01T12:30:00Z"
        patch = {"metadata": {"annotations": {QUARANTINE_ANNOTATION: word}}}
        await stage.cluster.patch(SPECIALIST, NAMESPACE, "dates", patch)
        await stage.settle(20.0)
        assert found.table().quarantined == (name,)
        # It does answer, to who asks the engine itself.
        assert await found.engines[0].chat(name, "Hello", 8)
        for model in ("dates", name, "desk"):
            assert await found.users.ask(model) == ("generalist", True)
        where = (NAMESPACE, "desk")
        assert not stage.runtime.residency.absent(where, tuple(found.endpoints), name)
    assert found.users.wrong == []


async def test_one_that_makes_room_for_somebody_else_and_is_corrupted_is_loaded_anew(stage: Stage) -> None:
    async with scene(stage, 1, Lie.EvictionCorrupts) as found:
        name = await found.live()
        engine = found.engines[0]
        # Somebody else's adapter takes its place, and nobody tells us.
        await EngineDouble.load(engine, "somebody-elses", str(stage.directory))
        assert (await engine.chat(name, "Hello", 8)).startswith(found.users.voices[name][0]) is False
        await stage.pass_time(PROVED_FOR)
        assert (await engine.chat(name, "Hello", 8)) == found.users.voices[name]
        assert await found.users.ask() == (name, False)
