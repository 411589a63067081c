"""A person's quarantine through the operator: at once, without store, Ray or engines; and what follows it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from modelecology.api.vocabulary import QUARANTINE_ANNOTATION, RELEASE_ANNOTATION
from modelecology.engines.port import EngineUnreachable
from modelecology.governance.log import Entry
from modelecology.governance.replay import replay
from modelecology.governance.situations import inputs_of
from modelecology.jobs.port import RunnerUnavailable
from modelecology.kube.cluster import DECISION, SPECIALIST, SUITE
from modelecology.kube.decisions import to_entry
from modelecology.reconcile.isolation import ISOLATION, reconcile_isolation
from modelecology.reconcile.queue import WorkKey
from modelecology.store import StoreUnavailable
from modelecology.store.logs import StoredLog

from .stage import NAMESPACE, Stage, live

ADA = "ada@example.org@2026-03-01T12:30:00Z"


async def annotate(stage: Stage, annotation: str, text: str, name: str = "dates") -> None:
    """Write the annotation, and look at nothing yet."""
    patch = {"metadata": {"annotations": {annotation: text}}}
    await stage.cluster.patch(SPECIALIST, NAMESPACE, name, patch)


async def ask(stage: Stage, why: str = "", name: str = "dates") -> None:
    """Ask for the quarantine of what is live."""
    revision = stage.status(name)["live"]["revision"]
    await annotate(stage, QUARANTINE_ANNOTATION, f"{revision}/{ADA} {why}".rstrip(), name)


async def entries(stage: Stage) -> list[Entry]:
    """Read the log, oldest first."""
    found = [to_entry(body) for body in await stage.cluster.list(DECISION, NAMESPACE)]
    return sorted(found, key=lambda e: e.sequence)


async def second(stage: Stage) -> tuple[str, str]:
    """Let a better revision of `plain` take the place of the live one; gives both served names."""
    await stage.apply_desk(stage.manifests.specialist("plain", "dates", 0.45))
    first: str = stage.status("plain")["live"]["servedName"]
    await stage.apply(stage.manifests.specialist("plain", "dates", 0.9, seed=1000))
    await stage.settle(60.0)
    assert (await stage.actions("plain"))[-1] == "Retire Superseded"
    better: str = stage.status("plain")["live"]["servedName"]
    return first, better


async def test_a_person_takes_a_live_revision_out_by_a_decision_that_names_them(stage: Stage) -> None:
    key, name = await live(stage)
    await ask(stage, "It swears.")
    await stage.settle()
    assert stage.state("dates") == "Quarantined QuarantineRequested"
    assert stage.adapters() == []
    last = (await entries(stage))[-1]
    assert (last.action, last.reason, last.actor) == ("Quarantine", "QuarantineRequested", ADA)
    assert last.message == f"{ADA} took {name} out of service. It takes no more requests. Why: It swears."
    condition = stage.condition("dates")
    assert condition["message"].endswith("kubectl ecology release dates.")
    assert "QuarantineRequested" in stage.told("dates")
    assert stage.store.commit_of(key) is not None


async def test_a_quarantine_is_served_once_and_outlives_the_operator(stage: Stage) -> None:
    await live(stage)
    await ask(stage)
    await stage.settle()
    await stage.restart()
    await stage.settle(60.0)
    assert (await stage.actions("dates")).count("Quarantine QuarantineRequested") == 1
    assert stage.state("dates") == "Quarantined QuarantineRequested"


async def test_what_was_recorded_is_replayed_from_what_it_was_made_from(stage: Stage) -> None:
    await second(stage)
    await ask(stage, "It swears.", "plain")
    await stage.settle()
    for entry in (await entries(stage))[-2:]:
        assert entry.premises.inputs is not None
        assert replay(entry, inputs_of(entry.premises.inputs, stage.store.inputs.read)) == ()


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        f"{'f' * 12}/{ADA}",
        "{revision}/ada@noon",
        "{revision}/@2026-03-01T12:30:00Z",
        "{revision}/" + "x" * 300 + "@2026-03-01T12:30:00Z",
    ],
)
async def test_what_names_no_revision_person_and_time_does_nothing(stage: Stage, text: str) -> None:
    await live(stage)
    revision = stage.status("dates")["live"]["revision"]
    await annotate(stage, QUARANTINE_ANNOTATION, text.replace("{revision}", revision))
    await stage.settle()
    assert stage.state("dates") == "Live Serving"


async def test_what_it_replaced_serves_again_with_the_same_weights(stage: Stage) -> None:
    first, _ = await second(stage)
    await ask(stage, name="plain")
    await stage.settle()
    assert (await stage.actions("plain"))[-2:] == ["Quarantine QuarantineRequested", "Restore RolledBack"]
    assert stage.adapters() == [first]
    assert stage.status("plain")["live"]["servedName"] == first
    assert stage.status("plain")["state"] == "Quarantined"
    assert (await entries(stage))[-1].actor == "operator"
    book = (await stage.log()).book
    assert {h.holds.replicas for h in book.held.values() if h.holds.replicas} == {1}


async def test_without_store_and_ray_it_is_out_and_off_the_engines(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await live(stage)

    def no_store(*_: object, **__: object) -> Any:
        raise StoreUnavailable("The store is away; mount it.")

    async def no_ray(*_: object, **__: object) -> Any:
        raise RunnerUnavailable("Ray is away.")

    for name in ("commit_of", "manifest", "read", "is_archived"):
        monkeypatch.setattr(type(stage.store), name, no_store)
    monkeypatch.setattr(type(stage.store.inputs), "keep", no_store)
    for name in ("status", "submit"):
        monkeypatch.setattr(type(stage.runner), name, no_ray)
    await ask(stage)
    await stage.settle()
    assert (await stage.actions("dates"))[-1] == "Quarantine QuarantineRequested"
    assert stage.adapters() == []


async def test_it_waits_for_no_look_that_is_under_way_and_for_no_store_that_hangs(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await second(stage)
    await ask(stage, name="plain")
    released = threading.Event()

    def hangs(*_: object) -> None:
        released.wait(30)

    monkeypatch.setattr(type(stage.store.inputs), "keep", hangs)
    monkeypatch.setattr(StoredLog, "keep", hangs)
    stage.runtime.queue.add(WorkKey("Specialist", NAMESPACE, "plain"))
    try:
        async with asyncio.timeout(10):
            # No other look goes on meanwhile: neither the Specialist's nor the population's.
            await reconcile_isolation(stage.runtime, WorkKey(ISOLATION, NAMESPACE, "plain"))
    finally:
        released.set()
    last = (await entries(stage))[-2:]
    assert [(e.action, e.premises.inputs) for e in last] == [("Quarantine", None), ("Restore", None)]
    await stage.runtime.flush()


async def test_a_new_operator_whose_engines_are_away_records_it_all_the_same(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await live(stage)

    async def away(*_: object) -> Any:
        raise EngineUnreachable("The engine is away.")

    monkeypatch.setattr(type(stage.engine), "models", away)
    await ask(stage)
    await stage.restart()
    await stage.settle()
    assert (await stage.actions("dates"))[-1] == "Quarantine QuarantineRequested"


async def test_it_needs_no_suite(stage: Stage) -> None:
    await live(stage)
    suite = stage.manifests.suite()["metadata"]["name"]
    await ask(stage)
    stage.cluster.delete(SUITE, NAMESPACE, suite)
    await stage.settle()
    assert (await stage.actions("dates"))[-1] == "Quarantine QuarantineRequested"
    assert stage.adapters() == []


async def test_a_released_revision_earns_its_place_again(stage: Stage) -> None:
    _, name = await live(stage)
    await ask(stage)
    await stage.settle()
    revision = stage.status("dates")["candidate"]["revision"]
    await annotate(stage, RELEASE_ANNOTATION, f"{revision}/ada@{stage.clock.now():%Y-%m-%dT%H:%M:%SZ}")
    await stage.settle(60.0)
    actions = await stage.actions("dates")
    since = actions[actions.index("Quarantine QuarantineRequested") + 1 :]
    assert since == [
        "Release Released",
        "Prove ScreenSurvived",
        "Admit PortfolioGainProven",
        "Promote ServedScoreConfirmed",
    ]
    assert stage.state("dates") == "Live Serving"
    assert stage.adapters() == [name]
    # The word that took it out was served: it does not take it out again.
    await stage.restart()
    await stage.settle(60.0)
    assert stage.state("dates") == "Live Serving"


async def test_an_old_release_does_not_answer_a_new_quarantine(stage: Stage) -> None:
    await live(stage)
    revision = stage.status("dates")["live"]["revision"]
    await annotate(stage, RELEASE_ANNOTATION, f"{revision}/bob@2026-03-01T09:00:00Z")
    await ask(stage)
    await stage.settle(60.0)
    assert stage.state("dates") == "Quarantined QuarantineRequested"
