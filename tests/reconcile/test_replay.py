"""Every verdict can be made again from what it was made from, equal to the byte."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from modelecology.api.vocabulary import Action
from modelecology.governance.log import Entry, LogState, apply
from modelecology.governance.replay import replay, replay_deletion, rests_on_the_log_alone
from modelecology.governance.situations import Judgement, inputs_of
from modelecology.kube.cluster import DECISION
from modelecology.kube.decisions import to_entry
from modelecology.store import StoreUnavailable
from tests.upgrade.scenario import play

from .stage import NAMESPACE, Stage, live


async def entries(stage: Stage) -> list[Entry]:
    """Read the log, oldest first."""
    found = [to_entry(body) for body in await stage.cluster.list(DECISION, NAMESPACE)]
    return sorted(found, key=lambda e: e.sequence)


@pytest.fixture
async def played(tmp_path: Path) -> AsyncIterator[Stage]:
    """A desk that has seen every state of the lifecycle."""
    stage = Stage(tmp_path)
    await play(stage)
    yield stage
    await stage.runtime.close()


async def test_every_decision_of_a_desk_in_all_states_is_replayed_to_the_byte(played: Stage) -> None:
    log = await entries(played)
    state, alone, read = LogState(), 0, played.store.inputs.read
    for entry in log:
        if rests_on_the_log_alone(entry):
            assert replay_deletion(entry, state) == ()
            alone += 1
        else:
            assert entry.premises.inputs is not None, f"{entry.sequence} {entry.action} {entry.reason}"
            assert replay(entry, inputs_of(entry.premises.inputs, read)) == (), entry.sequence
        state = apply(state, entry)
    actions = {e.action for e in log}
    assert {Action.PROPOSE, Action.ADMIT, Action.REJECT, Action.SHELVE, Action.PROMOTE} <= actions
    assert {Action.RETIRE, Action.DELETE, Action.QUARANTINE, Action.FAIL, Action.RETRY} <= actions
    assert alone < len(log) / 4


async def test_what_differs_is_said_field_by_field(played: Stage) -> None:
    entry = next(e for e in await entries(played) if e.action is Action.PROMOTE)
    inputs = inputs_of(str(entry.premises.inputs), played.store.inputs.read)
    made = inputs.made
    assert isinstance(made, Judgement)
    forged = replace(entry, message="All is well.", cost=replace(entry.cost, tokens=entry.cost.tokens + 1))
    assert {d.field for d in replay(forged, inputs)} == {"message", "cost.tokens"}
    stricter = replace(made.situation.policy, minimum_scored=1000)
    strict = Judgement(replace(made.situation, policy=stricter))
    found = replay(entry, replace(inputs, made=strict))
    assert ("action", "Promote", "Shelve") in {(d.field, d.recorded, d.replayed) for d in found}
    other = Judgement(replace(made.situation, policy_digest="sha256:" + "0" * 64))
    assert [d.field for d in replay(entry, replace(inputs, made=other))] == ["premises.policy"]


async def test_a_verdict_waits_while_its_inputs_cannot_be_kept(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.apply_desk()
    keep = type(stage.store.inputs).keep

    def fails(*_: object) -> None:
        raise StoreUnavailable("The store failed while creating inputs; mount it.")

    monkeypatch.setattr(type(stage.store.inputs), "keep", fails)
    await stage.apply(stage.manifests.specialist("dates", "dates", 0.6))
    await stage.settle()
    assert await entries(stage) == []
    assert stage.state("dates") == "Pending StoreUnavailable"
    monkeypatch.setattr(type(stage.store.inputs), "keep", keep)
    await stage.settle(30.0)
    assert stage.state("dates") == "Live Serving"


async def test_a_retirement_does_not_wait_for_its_inputs(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await live(stage)

    def fails(*_: object) -> None:
        raise StoreUnavailable("The store is gone.")

    monkeypatch.setattr(type(stage.store.inputs), "keep", fails)
    await stage.want("dates", "Retired")
    (last,) = (await entries(stage))[-1:]
    assert (last.action, last.premises.inputs) == (Action.RETIRE, None)
