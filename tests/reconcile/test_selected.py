"""Engines behind a Service: pods that come are proved before users meet them, those that go leave at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from modelecology.api.routing import RoutingTable, read_table
from modelecology.api.vocabulary import QUARANTINE_ANNOTATION
from modelecology.engines.double import EngineDouble, Lie
from modelecology.kube.cluster import POPULATION, SPECIALIST
from modelecology.kube.double import CONFIG_MAP, InMemoryCluster
from modelecology.kube.endpoint_slices import Behind
from modelecology.reconcile.fleet import reconcile_engines
from modelecology.reconcile.isolation import ISOLATION, reconcile_isolation
from modelecology.reconcile.metrics import REGISTRY
from modelecology.reconcile.queue import WorkKey
from modelecology.reconcile.routes import ROUTES, reconcile_routes
from testbed.pretend_engine import PretendEngine
from testbed.pretend_operator import engine_directory
from tests.kube.slices import pod, put_slice
from tests.serving.gateway.stage import staged

from .desk import Desk
from .stage import NAMESPACE, Stage

ONE, TWO = "127.0.0.1", "127.0.0.9"
WHERE = (NAMESPACE, "desk")
Object = dict[str, Any]


def at(*hosts: str) -> tuple[str, ...]:
    """Write the addresses of engines on some hosts."""
    return tuple(f"http://{host}:2" for host in hosts)


def put(stage: Stage, *ready: str, unready: tuple[str, ...] = ()) -> None:
    """Let these pods be behind the Service."""
    stage.cluster.put_behind(NAMESPACE, "engines", Behind(ready, unready))


def selecting(stage: Stage) -> Object:
    """The population, which selects its engines."""
    body: Object = stage.manifests.population()
    body["spec"]["serving"] = {"selector": {"service": "engines", "port": 2}, "gateway": {}}
    return body


async def live(stage: Stage) -> str:
    """Bring `dates` live on the one pod that there is; gives its served name."""
    put(stage, ONE)
    dates = stage.manifests.specialist("dates", "dates", 0.6)
    await stage.apply(stage.manifests.suite(), selecting(stage), dates)
    await stage.settle()
    assert stage.state("dates") == "Live Serving"
    name: str = stage.status("dates")["live"]["servedName"]
    return name


def table(stage: Stage) -> RoutingTable:
    """Read the table as a gateway does."""
    return read_table(stage.get("desk-routes", CONFIG_MAP)["data"]["table.json"])


def ready(stage: Stage) -> Object:
    """The population's Ready condition."""
    return stage.condition("desk", POPULATION)


def loads(engine: EngineDouble) -> int:
    """Count what an engine was told to load."""
    return len([call for call in engine.calls if call[0] == "load"])


async def test_a_pod_behind_the_service_is_an_engine(stage: Stage) -> None:
    name = await live(stage)
    assert stage.adapters() == [name]
    assert (table(stage).engines, table(stage).routes[0].live) == (at(ONE), name)
    assert ready(stage)["status"] == "True"
    assert [e["endpoint"] for e in stage.status("desk", POPULATION)["endpoints"]] == list(at(ONE))
    assert "endpoints" not in stage.get("desk", POPULATION)["spec"]["serving"]


async def test_a_new_pod_gets_everything_and_is_proved_before_users_are_sent_there(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = await live(stage)
    new = stage.add_engine(at(TWO)[0])
    meanwhile: list[tuple[str, ...]] = []
    chat = EngineDouble.chat

    async def noted(self: EngineDouble, model: str, prompt: str, max_tokens: int) -> str:
        meanwhile.append(table(stage).engines)
        return await chat(self, model, prompt, max_tokens)

    monkeypatch.setattr(EngineDouble, "chat", noted)
    put(stage, ONE, TWO)
    await stage.settle(2.0)
    assert sorted(new._adapters) == [name]
    assert set(meanwhile) == {at(ONE)}
    assert table(stage).engines == at(ONE, TWO)


async def test_a_new_pod_that_lies_gets_no_users(stage: Stage) -> None:
    await live(stage)
    stage.add_engine(at(TWO)[0]).lies = {Lie.LoadServesBase}
    seen = []
    put(stage, ONE, TWO)
    for _ in range(20):
        await stage.settle(0.25)
        seen.append(table(stage))
    assert all(t.engines == at(ONE) or t.routes[0].live is None for t in seen)


async def test_a_pod_that_goes_leaves_the_table_at_once_and_is_forgotten_without_ado(stage: Stage) -> None:
    name = await live(stage)
    gone = stage.add_engine(at(TWO)[0])
    put(stage, ONE, TWO)
    await stage.settle(2.0)
    events = len(stage.cluster.events)
    gone.down = True
    put(stage, ONE)
    # Nothing but what is due now: no look at any engine comes before it.
    await stage.settle(0.0)
    assert table(stage).engines == at(ONE)
    await stage.settle(1.0)
    assert stage.runtime.residency.known(WHERE) == at(ONE)
    assert stage.state("dates") == "Live Serving"
    assert ready(stage)["status"] == "True"
    assert len(stage.cluster.events) == events
    labels = {"namespace": NAMESPACE, "population": "desk"}
    sample = REGISTRY.get_sample_value
    assert sample("modelecology_adapters_proved", {**labels, "endpoint": at(TWO)[0]}) is None
    assert sample("modelecology_adapters_proved", {**labels, "endpoint": at(ONE)[0]}) == 1
    assert stage.adapters() == [name]


async def test_a_pod_that_left_the_service_and_lives_on_is_unloaded(stage: Stage) -> None:
    name = await live(stage)
    put(stage, TWO)
    await stage.settle(4.0)
    assert stage.adapters() == []
    assert sorted(stage.engines[at(TWO)[0]]._adapters) == [name]
    assert stage.runtime.residency.known(WHERE) == at(TWO)
    assert table(stage).engines == at(TWO)


async def test_a_pod_that_is_not_ready_is_loaded_and_proved_and_gets_users_when_it_is(stage: Stage) -> None:
    name = await live(stage)
    waiting = stage.add_engine(at(TWO)[0])
    put(stage, ONE, unready=(TWO,))
    await stage.settle(3.0)
    assert sorted(waiting._adapters) == [name]
    assert table(stage).engines == at(ONE)
    said = {e["endpoint"]: e.get("message", "") for e in stage.status("desk", POPULATION)["endpoints"]}
    assert {e for e, message in said.items() if "not ready" in message} == set(at(TWO))
    done = loads(waiting)
    put(stage, ONE, TWO)
    await stage.settle(0.0)
    assert table(stage).engines == at(ONE, TWO)
    assert loads(waiting) == done


async def test_a_pod_that_becomes_ready_during_a_look_is_not_taken_for_one_that_left(stage: Stage) -> None:
    name = await live(stage)
    waiting = stage.add_engine(at(TWO)[0])
    put(stage, ONE, unready=(TWO,))
    await stage.settle(3.0)
    runtime, before = stage.runtime, stage.runtime.cache.population(*WHERE)
    assert before is not None
    put(stage, ONE, TWO)
    await reconcile_engines(runtime, before, await stage.log(), runtime.residents[WHERE])
    assert sorted(waiting._adapters) == [name]
    assert ("unload", name) not in waiting.calls


async def test_a_pod_that_starts_keeps_nothing_from_going_on(stage: Stage) -> None:
    put(stage, ONE, unready=(TWO,))
    stage.add_engine(at(TWO)[0]).down = True
    dates = stage.manifests.specialist("dates", "dates", 0.6)
    await stage.apply(stage.manifests.suite(), selecting(stage), dates)
    await stage.settle()
    assert stage.state("dates") == "Live Serving"
    assert ready(stage)["status"] == "True"


async def test_what_a_pod_that_is_not_ready_may_hold_is_not_taken_for_gone(stage: Stage) -> None:
    await live(stage)
    key = stage.status("dates")["live"]["key"]
    waiting = stage.add_engine(at(TWO)[0])
    put(stage, ONE, unready=(TWO,))
    await stage.settle(3.0)
    waiting.down = True
    await stage.want("dates", "Retired")
    assert stage.state("dates") == "Retired Unloading"
    assert stage.store.commit_of(key) is not None
    await stage.restart()
    await stage.settle(5.0)
    assert stage.store.commit_of(key) is not None
    waiting.down = False
    await stage.settle(5.0)
    assert waiting._adapters == {}
    assert stage.store.is_archived(key)


async def test_without_a_ready_pod_the_population_says_so_and_nobody_is_sent_anywhere(stage: Stage) -> None:
    await live(stage)
    put(stage)
    stage.engine.down = True
    await stage.settle(3.0)
    assert (table(stage).engines, table(stage).routes[0].live) == ((), None)
    async with staged([], namespace=NAMESPACE) as gateway:
        gateway.tables.offer(table(stage).canonical())
        status, body, _ = await gateway.ask("dates")
        assert (status, body["error"]["message"]) == (503, "No engine can be reached. Try again in a moment.")
    assert ready(stage)["reason"] == "EngineUnreachable"
    assert "No pod of Service engines is ready." in ready(stage)["message"]
    stage.engine.down = False
    put(stage, ONE)
    await stage.settle(3.0)
    assert table(stage).routes[0].live is not None
    assert stage.state("dates") == "Live Serving"


async def test_until_the_service_is_known_the_last_table_stands_and_nothing_is_taken_for_gone(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = await live(stage)
    before = table(stage)

    async def may_not(
        _self: InMemoryCluster, _namespace: str, _service: str, _seen: object, failed: Callable[[str], None]
    ) -> None:
        failed("HTTP 403: endpointslices is forbidden")
        await asyncio.Event().wait()

    with monkeypatch.context() as patched:
        patched.setattr(InMemoryCluster, "follow_service", may_not)
        await stage.restart()
        await stage.want("dates", "Retired")
        await stage.settle(60.0)
        assert "HTTP 403" in ready(stage)["message"]
        assert "endpointSlices.enabled" in ready(stage)["message"]
        assert table(stage) == before
        assert stage.adapters() == [name]
    await stage.restart()
    await stage.settle()
    assert stage.state("dates") == "Retired Retired"
    assert stage.adapters() == []


async def tells_nothing(*_: object) -> None:
    """Follow a Service of which nothing is ever heard."""
    await asyncio.Event().wait()


async def test_a_quarantine_reaches_the_gateways_though_the_service_is_not_known(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = await live(stage)
    before = table(stage)
    monkeypatch.setattr(InMemoryCluster, "follow_service", tells_nothing)
    await stage.restart()
    word = f"{stage.status('dates')['live']['revision']}/ada@2026-03-01T12:30:00Z"
    patch = {"metadata": {"annotations": {QUARANTINE_ANNOTATION: word}}}
    await stage.cluster.patch(SPECIALIST, NAMESPACE, "dates", patch)
    await reconcile_isolation(stage.runtime, WorkKey(ISOLATION, NAMESPACE, "dates"))
    after = table(stage)
    assert (after.quarantined, after.version) == ((name,), (await stage.log()).sequence)
    (route,) = before.routes
    assert after.routes == (route.model_copy(update={"live": None}),)
    same = {"quarantined": (), "version": before.version, "routes": before.routes}
    assert after.model_copy(update=same) == before


async def test_where_the_service_is_not_known_and_there_is_no_table_none_is_written(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await live(stage)
    monkeypatch.setattr(InMemoryCluster, "follow_service", tells_nothing)
    stage.cluster.delete(CONFIG_MAP, NAMESPACE, "desk-routes")
    await stage.restart()
    await reconcile_routes(stage.runtime, WorkKey(ROUTES, *WHERE))
    assert stage.cluster.get(CONFIG_MAP, NAMESPACE, "desk-routes") is None


async def test_engines_that_are_listed_in_place_of_a_service_are_taken_and_it_is_followed_no_more(
    stage: Stage,
) -> None:
    name = await live(stage)
    (task,) = stage.runtime.selected.tasks()
    body = selecting(stage)
    body["spec"]["serving"] = {"endpoints": list(at(TWO)), "selector": None}
    await stage.apply(body)
    await stage.settle(8.0)
    assert stage.runtime.selected.tasks() == ()
    assert task.cancelled()
    assert sorted(stage.engines[at(TWO)[0]]._adapters) == [name]
    assert stage.adapters() == []


async def test_a_population_that_is_deleted_takes_its_adapters_off_the_pods(stage: Stage) -> None:
    await live(stage)
    stage.cluster.delete(POPULATION, NAMESPACE, "desk")
    await stage.settle(4.0)
    assert stage.adapters() == []
    assert stage.get("desk", POPULATION) == {}
    assert stage.runtime.selected.tasks() == ()


async def test_how_many_pods_there_are_changes_no_price(stage: Stage) -> None:
    await live(stage)
    digest = stage.status("desk", POPULATION)["policyDigest"]
    put(stage, ONE, TWO)
    await stage.settle(3.0)
    assert stage.status("desk", POPULATION)["policyDigest"] == digest


def test_pods_come_and_go_on_a_real_api_server(idle_desk: Desk) -> None:
    desk = idle_desk
    population = desk.manifests.population()
    population["spec"]["serving"] = {"selector": {"service": "engines", "port": 2}, "gateway": {}}
    # An API server takes no address of this machine's own.
    one, two = "10.0.0.1", "10.0.0.2"
    state = desk.operator.directory
    first, second = (PretendEngine(engine_directory(state, e), e) for e in at(one, two))

    def served() -> tuple[str, ...]:
        text = desk.kubectl("get", "configmap", "desk-routes", "--output=jsonpath={.data.table\\.json}")
        return read_table(text).engines

    put_slice(desk.api, desk.namespace, "a", [pod(one)])
    desk.apply(desk.manifests.suite(), population, desk.manifests.specialist("dates", "dates", 0.6))
    desk.operator.start()
    desk.wait_states(dates="Live Serving")
    assert served() == at(one)
    put_slice(desk.api, desk.namespace, "a", [pod(one), pod(two, ready=False)])
    desk.wait(lambda: second.adapters() == first.adapters() != [], "the second pod holds everything")
    assert served() == at(one)
    put_slice(desk.api, desk.namespace, "a", [pod(one, terminating=True), pod(two)])
    desk.wait(lambda: served() == at(two), "users are sent to the second pod alone")
    desk.wait(lambda: first.adapters() == [], "the first is unloaded")
    desk.wait_states(dates="Live Serving")
