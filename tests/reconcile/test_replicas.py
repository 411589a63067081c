"""Replicas that hang, die and come back: each is looked at on its own, and nobody is answered wrongly."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

import pytest

from bench.desk import members, task_of
from bench.served import Served, Wish, listed
from bench.served_users import PROMPT, Heard, Users
from modelecology.engines.double import EngineDouble
from modelecology.engines.port import EngineUnreachable, ModelCard
from modelecology.kube.cluster import POPULATION
from modelecology.reconcile.boards import EngineView, Standing
from modelecology.reconcile.isolation import ISOLATION, reconcile_isolation
from modelecology.reconcile.population import reconcile_population
from modelecology.reconcile.queue import WorkKey
from modelecology.reconcile.replicas import REPLICAS, reconcile_replicas
from modelecology.reconcile.worker import _STAGES as STAGES
from testbed.cluster import Cluster

from .stage import NAMESPACE, Stage
from .test_routes import quarantine

BACK_SECONDS = 30.0


TWO = ("http://127.0.0.1:2", "http://127.0.0.1:3")
KEY = WorkKey(REPLICAS, NAMESPACE, "desk")


async def two_engines(stage: Stage) -> str:
    """Bring `dates` live on two engines; gives its served name."""
    body = stage.manifests.population()
    body["spec"]["serving"]["endpoints"] = list(TWO)
    dates = stage.manifests.specialist("dates", "dates", 0.6)
    await stage.apply(stage.manifests.suite(), body, dates)
    await stage.settle()
    assert stage.state("dates") == "Live Serving"
    name: str = stage.status("dates")["live"]["servedName"]
    return name


def hang(engine: EngineDouble, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Let an engine say nothing until the event is set, and then that it is away."""
    still = asyncio.Event()

    async def hangs() -> tuple[ModelCard, ...]:
        await still.wait()
        raise EngineUnreachable("It hung.")

    monkeypatch.setattr(engine, "models", hangs)
    return still


async def test_an_engine_that_hangs_keeps_no_other_waiting(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = await two_engines(stage)
    hung, empty = (stage.engines[endpoint] for endpoint in TWO)
    still = hang(hung, monkeypatch)
    empty.restart()
    for _ in range(3):
        await reconcile_replicas(stage.runtime, KEY)
        await asyncio.sleep(0)
    view = stage.runtime.residency.view((NAMESPACE, "desk"), TWO[1])
    await _until(partial(_is_proved, view, name))
    assert name in empty._adapters
    still.set()
    await stage.runtime.flush()


async def test_without_a_gateway_a_quarantine_waits_for_no_engine_that_hangs(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = await two_engines(stage)
    hung, well = (stage.engines[endpoint] for endpoint in TWO)
    await stage.restart()
    still = hang(hung, monkeypatch)
    whole = asyncio.create_task(reconcile_population(stage.runtime, WorkKey("Population", NAMESPACE, "desk")))
    await _until(partial(_has_asked, well, len(well.calls)))
    await quarantine(stage)
    await reconcile_isolation(stage.runtime, WorkKey(ISOLATION, NAMESPACE, "dates"))
    for _ in range(3):
        stage.clock.seconds += 0.5
        assert await stage.runtime.queue.get({"Population", "Specialist", "Isolation", "Routes"}) == KEY
        await reconcile_replicas(stage.runtime, KEY)
        stage.runtime.queue.done(KEY)
        await asyncio.sleep(0)
    await _until(partial(_is_gone, well, name))
    assert not whole.done()
    still.set()
    await asyncio.wait({whole})
    await stage.runtime.flush()


async def _has_asked(engine: EngineDouble, calls: int) -> bool:
    return len(engine.calls) > calls


async def _is_gone(engine: EngineDouble, name: str) -> bool:
    return name not in engine._adapters


async def _is_proved(view: EngineView, name: str) -> bool:
    return view.standing.get(name) is Standing.PROVED


async def test_a_replica_that_came_back_holds_everything_within_a_second_without_store_or_suite(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = await two_engines(stage)

    async def never(*_: object) -> None:
        raise AssertionError("the whole population was looked at")

    monkeypatch.setitem(STAGES, POPULATION.kind, never)
    stage.engine.restart()
    await stage.settle(1.0)
    assert stage.adapters() == [name]


async def loaded_first(stage: Stage) -> list[str]:
    """Let the engine lose everything; gives what is loaded then, in that order."""
    calls = len(stage.engine.calls)
    stage.engine.restart()
    await stage.settle(3.0)
    return [name for what, name in stage.engine.calls[calls:] if what == "load"]


async def test_a_replica_that_came_back_holds_first_what_is_worth_most(stage: Stage) -> None:
    await stage.apply_desk(stage.manifests.specialist("dates", "dates", 0.6))
    # It answers better, so all of the task's traffic goes to it.
    await stage.apply(stage.manifests.specialist("plain", "dates", 0.95, seed=1000))
    await stage.settle(20.0)
    names = [stage.status(name)["live"]["servedName"] for name in ("plain", "dates")]
    assert [m["servedName"] for m in stage.status("desk", POPULATION)["members"]] == names
    assert await loaded_first(stage) == names
    await stage.restart()
    assert await loaded_first(stage) == names


async def test_a_replica_that_came_back_holds_what_is_live_before_what_is_on_trial(stage: Stage) -> None:
    await stage.apply_desk(stage.manifests.specialist("plain", "dates", 0.45))
    dates = stage.manifests.specialist("dates", "dates", 0.8)
    dates["spec"]["lifecycle"] = {"target": "Shadow"}
    await stage.apply(dates)
    await stage.settle(20.0)
    assert stage.state("dates") == "Shadow ShadowHeld"
    candidate = stage.status("dates")["candidate"]["servedName"]
    assert await loaded_first(stage) == [stage.status("plain")["live"]["servedName"], candidate]


async def test_at_rest_the_looks_at_engines_only_ask_what_they_hold(stage: Stage) -> None:
    await two_engines(stage)
    await stage.settle(20.0)
    calls, looks = len(stage.engine.calls), stage.looks
    await stage.settle(20.0)
    assert set(stage.engine.calls[calls:]) == {("models", "")}
    # Twice a second, beside the look at the population.
    assert 40 <= len(stage.engine.calls) - calls <= 55
    assert stage.looks - looks <= 60


async def test_without_residents_and_without_its_population_nobody_looks_at_engines(stage: Stage) -> None:
    await stage.apply_desk()
    calls = len(stage.engine.calls)
    await reconcile_replicas(stage.runtime, KEY)
    await reconcile_replicas(stage.runtime, WorkKey(REPLICAS, NAMESPACE, "nobody"))
    await stage.runtime.flush()
    assert len(stage.engine.calls) == calls


@dataclass
class Play:
    """What was seen of a population whose replicas are killed."""

    served: Served
    live: dict[str, str]  # served names by member
    voices: dict[str, str]  # how an engine begins the answers of each, by served name
    heard: list[Heard] = field(default_factory=list)
    back: list[float] = field(default_factory=list)  # seconds from ready to proved again

    def wrong(self) -> list[Heard]:
        """Answers that are not those of the revision that was asked for, nor marked as the fallback's."""
        return [each for each in self.heard if each.status == 200 and not self._is_right(each)]

    def _is_right(self, heard: Heard) -> bool:
        name = self.live[heard.asked.replace("task", "member")]
        if heard.fallback:
            return heard.text == f"base: {PROMPT}"
        return (heard.model, heard.text) == (name, f"{self.voices[name]}: {PROMPT}")

    def tell(self) -> str:
        """Say in a line what was seen."""
        failed = Counter(each.status for each in self.heard if each.status != 200)
        back = f"{min(self.back):.2f} / {median(self.back):.2f} / {max(self.back):.2f} s"
        fallbacks = sum(each.fallback for each in self.heard)
        return (
            f"{len(self.back)} kills, {len(self.heard)} answers, {len(self.wrong())} wrong, {fallbacks} by "
            f"the fallback, failed {dict(failed)}; ready to proved again min / median / max {back}"
        )


async def _killed(cluster: Cluster, directory: Path, kills: int) -> Play:
    """Kill one replica after another so many times, with six users asking for two tasks all the time."""
    served = Served(cluster, directory, Wish(members=2, engines=3, gateways=1))
    await asyncio.to_thread(served.__enter__)
    try:
        live = await asyncio.to_thread(served.wait_live)
        assert len(live) == 2
        play = Play(served, live, await asyncio.to_thread(served.voices))
        names = members(2)
        users = Users(served.ports, lambda number: task_of(names[number % 2]), each=6)
        async with users.asking():
            await _until(lambda: _all_answer(users, live))
            users.heard.clear()
            for number in range(kills):
                endpoint = served.engines[number % 3]
                await asyncio.to_thread(served.kill_engine, endpoint)
                await asyncio.to_thread(served.start_engine, endpoint)
                ready = time.monotonic()
                await _until(partial(_holds_all, play, endpoint))
                play.back.append(time.monotonic() - ready)
        play.heard = users.heard
        return play
    finally:
        await asyncio.to_thread(served.__exit__, None, None, None)


async def _holds_all(play: Play, endpoint: str) -> bool:
    """Whether users are sent there again, and everything is there."""
    table = await asyncio.to_thread(play.served.table)
    if table is None or endpoint not in table.engines:
        return False
    return set(play.live.values()) <= await asyncio.to_thread(listed, endpoint)


async def _all_answer(users: Users, live: dict[str, str]) -> bool:
    return {each.model for each in users.heard} >= set(live.values())


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    end = time.monotonic() + BACK_SECONDS
    while not await holds():
        assert time.monotonic() < end, "it does not come about"
        await asyncio.sleep(0.01)


def _assert_nobody_was_answered_wrongly(play: Play) -> None:
    print(play.tell())
    assert play.wrong() == []
    assert [each for each in play.heard if each.status != 200] == []
    assert {each.model for each in play.heard} >= set(play.live.values())


async def test_two_kills_of_a_replica_give_nobody_a_wrong_or_unmarked_answer(
    kinds: Cluster, tmp_path: Path
) -> None:
    _assert_nobody_was_answered_wrongly(await _killed(kinds, tmp_path, 2))


@pytest.mark.long
async def test_twenty_kills_of_replicas_give_nobody_a_wrong_or_unmarked_answer(
    kinds: Cluster, tmp_path: Path
) -> None:
    _assert_nobody_was_answered_wrongly(await _killed(kinds, tmp_path, 20))
