"""What has no object any more, or no place any more: it goes all the same, and what stays is served on."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from modelecology.api.reasons import Reason
from modelecology.engines.double import EngineDouble
from modelecology.kube.cluster import DECISION, POPULATION, SPECIALIST, SUITE
from modelecology.reconcile.queue import WorkKey
from modelecology.reconcile.worker import look
from modelecology.store import ArtifactStore

from .stage import NAMESPACE, Stage, live

SECOND = "http://127.0.0.1:3"
FINALIZERS: dict[str, object] = {"metadata": {"finalizers": []}}


async def test_a_specialist_whose_finalizer_was_taken_off_by_hand_leaves_nothing_behind(stage: Stage) -> None:
    key, _ = await live(stage)
    await stage.cluster.patch(SPECIALIST, NAMESPACE, "dates", FINALIZERS)
    stage.cluster.delete(SPECIALIST, NAMESPACE, "dates")
    assert not stage.get("dates")
    await stage.settle()
    assert stage.adapters() == []
    assert stage.store.commit_of(key) is None
    assert (await stage.actions("dates"))[-1] == "Delete Deleted"
    assert "Deleted" in stage.told("desk")
    assert not stage.get("desk", POPULATION)["metadata"].get("finalizers")


async def test_a_specialist_that_the_watch_lost_but_the_api_has_is_no_orphan(stage: Stage) -> None:
    _, name = await live(stage)
    stage.runtime.cache._objects.pop((SPECIALIST, NAMESPACE, "dates"))
    await stage.settle()
    assert stage.adapters() == [name]
    assert "Delete Deleted" not in await stage.actions("dates")


async def test_a_specialist_that_cannot_be_read_is_no_orphan(stage: Stage) -> None:
    _, name = await live(stage)
    stage.runtime.cache._objects.pop((SPECIALIST, NAMESPACE, "dates"))
    stage.runtime.cache._unreadable[SPECIALIST, NAMESPACE, "dates"] = "7"
    listed = stage.cluster.lists
    await stage.settle()
    assert stage.adapters() == [name]
    assert stage.cluster.lists == listed


async def test_a_specialist_that_is_deleted_while_its_suite_is_gone_is_recorded_and_unloaded(
    stage: Stage,
) -> None:
    key, _ = await live(stage)
    stage.cluster.delete(SUITE, NAMESPACE, "desk")
    await stage.settle()
    stage.cluster.delete(SPECIALIST, NAMESPACE, "dates")
    await stage.settle(20.0)
    assert not stage.get("dates")
    assert stage.adapters() == []
    assert (await stage.actions("dates"))[-1] == "Delete Deleted"
    assert not [t for t in stage.cluster.events if "Released" in t.event.message]
    await stage.apply(stage.manifests.suite())
    await stage.settle(20.0)
    assert stage.store.commit_of(key) is None


async def test_a_suite_that_is_gone_stops_no_retirement_and_what_serves_goes_on(stage: Stage) -> None:
    _, name = await live(stage)
    stage.cluster.delete(SUITE, NAMESPACE, "desk")
    await stage.settle()
    assert stage.condition("desk", POPULATION)["reason"] == "SuiteNotFound"
    assert stage.adapters() == [name]
    await stage.want("dates", "Retired")
    await stage.settle(40.0)
    assert stage.adapters() == []
    assert (await stage.actions("dates"))[-1] == "Retire RetirementRequested"
    assert stage.state("dates") == "Retired SuiteNotFound"
    assert "live" not in stage.status("dates")
    await stage.apply(stage.manifests.suite())
    await stage.settle(40.0)
    assert stage.state("dates") == "Retired Retired"


async def test_an_artifact_that_is_lost_takes_down_nobody_else(stage: Stage) -> None:
    plain = stage.manifests.specialist("plain", "capitals", 0.85)
    await stage.apply_desk(stage.manifests.specialist("dates", "dates", 0.6), plain)
    key, name = stage.status("dates")["live"]["key"], stage.status("dates")["live"]["servedName"]
    other = [n for n in stage.adapters() if n != name]
    shutil.rmtree(stage.directory / "store" / "artifacts" / key)
    stage.engine.restart()
    await stage.restart()
    await stage.settle(20.0)
    assert stage.condition("desk", POPULATION)["reason"] == "ArtifactMissing"
    assert stage.adapters() == other
    assert name not in stage.adapters()


async def two_engines(stage: Stage) -> tuple[EngineDouble, str]:
    second = stage.add_engine(SECOND)
    population = stage.manifests.population()
    population["spec"]["serving"]["endpoints"].append(SECOND)
    await stage.apply(stage.manifests.suite(), population, stage.manifests.specialist("dates", "dates", 0.6))
    await stage.settle()
    assert stage.state("dates") == "Live Serving"
    return second, stage.status("dates")["live"]["servedName"]


def endpoints(stage: Stage) -> list[str]:
    return [e["endpoint"] for e in stage.status("desk", POPULATION)["endpoints"]]


async def test_an_engine_that_leaves_the_population_is_unloaded_and_forgotten_though_we_restarted(
    stage: Stage,
) -> None:
    second, name = await two_engines(stage)
    assert list(second._adapters) == [name]
    await stage.runtime.stop_tasks()
    stage.runtime = stage._fresh()
    await stage.apply(stage.manifests.population())
    await stage.restart()
    await stage.settle()
    assert list(second._adapters) == []
    assert stage.adapters() == [name]
    assert endpoints(stage) == ["http://127.0.0.1:2"]
    asked = len(second.calls)
    await stage.settle(30.0)
    assert len(second.calls) == asked


async def test_nothing_is_proved_gone_while_an_engine_that_left_may_serve_it(stage: Stage) -> None:
    second, name = await two_engines(stage)
    second.down = True
    await stage.apply(stage.manifests.population())
    await stage.want("dates", "Retired")
    assert stage.adapters() == []
    assert stage.state("dates") == "Retired Unloading"
    assert endpoints(stage) == ["http://127.0.0.1:2", SECOND]
    await stage.settle(70.0)
    assert stage.state("dates") == "Retired Retired"
    assert endpoints(stage) == ["http://127.0.0.1:2"]
    (told,) = [t.event for t in stage.cluster.events if "without proof" in t.event.message]
    assert told.warning
    assert SECOND in told.message
    assert name in told.message


async def test_an_artifact_that_is_asked_for_again_while_an_engine_unloads_it_is_not_archived(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, name = await live(stage)
    unload, archive = stage.engine.unload, ArtifactStore.archive
    restored, archived = asyncio.Event(), []

    async def slow(which: str, drain_seconds: float = 0.0) -> None:
        await unload(which, drain_seconds)
        if not restored.is_set():
            restored.set()
            # Another worker looks at the specialist meanwhile, whose owner wants it back.
            patch = {"spec": {"lifecycle": {"target": "Live"}}}
            await stage.cluster.patch(SPECIALIST, NAMESPACE, "dates", patch)
            await look(stage.runtime, WorkKey("Specialist", NAMESPACE, "dates"))

    def noting(store: ArtifactStore, which: str) -> None:
        archived.append(which)
        archive(store, which)

    monkeypatch.setattr(stage.engine, "unload", slow)
    monkeypatch.setattr(ArtifactStore, "archive", noting)
    await stage.want("dates", "Retired")
    assert restored.is_set()
    assert archived == []
    assert stage.state("dates") == "Live Serving"
    assert stage.adapters() == [name]
    assert stage.store.commit_of(key) is not None


async def test_a_name_that_a_foreign_decision_has_is_told_and_waited_for(stage: Stage) -> None:
    await stage.apply_desk()
    body = {"metadata": {"name": "desk-000000000001"}, "spec": {}}
    await stage.cluster.create(DECISION, NAMESPACE, body)
    await stage.apply(stage.manifests.specialist("dates", "dates", 0.6))
    before = stage.looks
    await stage.settle(30.0)
    said = stage.condition("dates")
    assert said["reason"] == "DecisionNameTaken"
    assert "desk-000000000001 is taken" in said["message"]
    assert said["message"].endswith(f" {Reason.DECISION_NAME_TAKEN.remedy}")
    assert stage.looks - before < 40
    stage.cluster.delete(DECISION, NAMESPACE, "desk-000000000001")
    await stage.settle(60.0)
    assert stage.state("dates") == "Live Serving"
