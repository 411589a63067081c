"""From the Decision of a quarantine to the table that gateways watch: nothing comes between or gets lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelecology.api.routing import CanaryRoute, RoutingTable, ShadowRoute, TaskRoute, read_table
from modelecology.api.vocabulary import State
from modelecology.engines.port import EngineUnreachable
from modelecology.governance.facts import RevisionRecord
from modelecology.governance.log import LogState, SpecialistRecord
from modelecology.kube.cluster import DECISION, Kind
from modelecology.kube.double import CONFIG_MAP, InMemoryCluster
from modelecology.kube.errors import ApiUnavailable
from modelecology.reconcile.boards import Standing
from modelecology.reconcile.isolation import reconcile_isolation
from modelecology.reconcile.population import reconcile_population
from modelecology.reconcile.queue import WorkKey
from modelecology.reconcile.routes import isolated
from modelecology.reconcile.worker import look
from modelecology.store import StoreUnavailable
from modelecology.store.logs import StoredLog

from .gateway import desk, table
from .stage import NAMESPACE, START, Object, Stage
from .test_routes import ISOLATING, quarantine, served


class Crash(BaseException):
    """The end of the process."""


async def crashed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> str:
    """End the operator after the Decision of a quarantine and before the table; gives what is to be out."""
    name = await served(stage)

    async def ends(*_: object) -> Any:
        raise Crash

    await quarantine(stage)
    with monkeypatch.context() as patched:
        patched.setattr(InMemoryCluster, "patch_config_map", ends)
        with pytest.raises(Crash):
            await reconcile_isolation(stage.runtime, ISOLATING)
    assert (await stage.actions("dates"))[-1] == "Quarantine QuarantineRequested"
    assert table(stage).routes[0].live == name
    await stage.restart()
    return name


async def test_the_next_operator_writes_the_table_that_its_predecessor_did_not(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = await crashed(stage, monkeypatch)
    await reconcile_isolation(stage.runtime, ISOLATING)
    assert (table(stage).routes[0].live, table(stage).quarantined) == (None, (name,))


async def test_a_look_at_a_population_begins_with_what_is_quarantined_and_changes_no_more_of_the_table(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = await crashed(stage, monkeypatch)
    before = table(stage)
    body = desk(stage)
    body["spec"]["serving"]["endpoints"] = ["http://127.0.0.1:3"]
    await stage.apply(body)
    hung = asyncio.Event()

    async def hangs(*_: object) -> Any:
        hung.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(type(stage.runtime), "read_usage", hangs)
    look = asyncio.create_task(reconcile_population(stage.runtime, WorkKey("Population", NAMESPACE, "desk")))
    await hung.wait()
    after = table(stage)
    look.cancel()
    await asyncio.wait({look})
    assert (after.routes[0].live, after.quarantined) == (None, (name,))
    assert after.engines == before.engines


async def test_a_lost_answer_to_the_decision_keeps_nothing_from_the_table(stage: Stage) -> None:
    name = await served(stage)
    await quarantine(stage)
    stage.cluster.lost_replies = 1
    with pytest.raises(ApiUnavailable):
        await reconcile_isolation(stage.runtime, ISOLATING)
    assert (table(stage).routes[0].live, table(stage).quarantined) == (None, (name,))


@pytest.mark.parametrize("lost", [False, True], ids=["its answer comes", "its answer is lost"])
async def test_after_a_quarantine_by_no_person_nothing_comes_before_the_table(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    name = await served(stage)
    decided: list[str] = []
    early: list[str] = []
    create, patch = InMemoryCluster.create, InMemoryCluster.patch

    def note(what: str) -> None:
        if decided and name not in table(stage).quarantined:
            early.append(what)

    async def creates(self: InMemoryCluster, kind: Kind, namespace: str, body: Object) -> Object:
        made = await create(self, kind, namespace, body)
        if kind == DECISION:
            decided.append(f"{body['spec']['action']} {body['spec']['reason']}")
            if lost:
                raise ApiUnavailable("The answer was lost.")
        return made

    async def patches(self: InMemoryCluster, kind: Kind, *given: Any, **how: Any) -> Object:
        if kind != CONFIG_MAP:
            note(f"{kind.kind} is written")
        return await patch(self, kind, *given, **how)

    async def asked(*_: object) -> Any:
        note("engine or Ray")
        raise EngineUnreachable("It is away.")

    def stored(*_: object) -> Any:
        note("store")
        raise StoreUnavailable("It is away.")

    view = stage.runtime.residency.view((NAMESPACE, "desk"), "http://127.0.0.1:2")
    view.standing[name] = Standing.MISMATCHED
    monkeypatch.setattr(InMemoryCluster, "create", creates)
    monkeypatch.setattr(InMemoryCluster, "patch", patches)
    for port, what, how in (
        (type(stage.engine), "models", asked),
        (type(stage.runner), "status", asked),
        (StoredLog, "keep", stored),
        (StoredLog, "contents", stored),
    ):
        monkeypatch.setattr(port, what, how)
    await look(stage.runtime, WorkKey("Specialist", NAMESPACE, "dates"))
    assert decided == ["Quarantine FingerprintMismatch"]
    assert early == []
    assert (table(stage).routes[0].live, table(stage).quarantined) == (None, (name,))


NAMES = [f"dates-{c * 12}" for c in "abcd"]
NAMED = st.sampled_from(NAMES)


@given(
    st.builds(
        TaskRoute,
        task=st.just("dates"),
        specialist=st.sampled_from(["dates", None]),
        live=st.none() | NAMED,
        shadow=st.none() | st.builds(ShadowRoute, revision=NAMED, share=st.just(0.5)),
        canary=st.none() | st.builds(CanaryRoute, revision=NAMED, percent=st.just(5)),
        pinned=st.lists(NAMED, unique=True).map(tuple),
    ),
    st.sets(NAMED),
)
def test_what_is_quarantined_is_taken_out_of_each_part_of_a_table_and_nothing_else(
    lane: TaskRoute, out: set[str]
) -> None:
    records = {
        name: RevisionRecord(name[6:], name, State.QUARANTINED if name in out else State.LIVE, START, START)
        for name in NAMES
    }
    log = LogState(sequence=9, specialists={"u1": SpecialistRecord("dates", "u1", records)})
    here = RoutingTable(
        version=3,
        namespace=NAMESPACE,
        population="desk",
        generalist="smol",
        engines=("http://127.0.0.1:2",),
        routes=(lane,),
    )
    after = isolated(here, log)
    (left,) = after.routes

    def held(route: TaskRoute) -> list[tuple[str, str]]:
        trials = (("shadow", route.shadow), ("canary", route.canary))
        named = [(part, trial.revision) for part, trial in trials if trial is not None]
        live = [("live", route.live)] if route.live is not None else []
        return [*live, *named, *(("pinned", name) for name in route.pinned)]

    assert held(left) == [(part, name) for part, name in held(lane) if name not in out]
    assert (after.version, after.quarantined) == (9, tuple(sorted(out)))
    same = {"version": 3, "quarantined": (), "routes": (lane,)}
    assert after.model_copy(update=same) == here
    assert (left.task, left.specialist) == (lane.task, lane.specialist)
    assert read_table(after.canonical()) == after
