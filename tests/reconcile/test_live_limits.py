"""Through the operator: a live revision that fails its users goes, and only for its own faults."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from modelecology.engines.port import EngineUnreachable
from modelecology.governance.replay import replay
from modelecology.governance.situations import inputs_of
from modelecology.kube.cluster import DECISION
from modelecology.kube.decisions import to_entry
from modelecology.reconcile.observe import Observer
from modelecology.store import StoreUnavailable

from .gateway import Gateway, begun, table
from .stage import NAMESPACE, Stage

LIMITS = {"maximumErrors": 0.1, "latency": {"most": "2s"}, "minimumScore": 0.3}


async def serving(stage: Stage, quarantine: dict[str, Any]) -> tuple[Gateway, str]:
    """Bring `dates` live under these limits, with some good answers; gives its served name."""
    gateway = await begun(stage, {"sample": 0.5}, quarantine=quarantine)
    assert stage.state("dates") == "Live Serving"
    gateway.answered([1.0] * 100)
    await stage.pass_time(timedelta(minutes=10))
    assert stage.state("dates") == "Live Serving"
    return gateway, stage.status("dates")["live"]["servedName"]


async def last(stage: Stage) -> dict[str, Any]:
    """The last decision's spec."""
    bodies = await stage.cluster.list(DECISION, NAMESPACE)
    found: dict[str, Any] = max((b["spec"] for b in bodies), key=lambda spec: spec["sequence"])
    return found


@pytest.mark.parametrize(
    ("error", "seconds", "score", "said"),
    [
        ("HTTP 500", 0.1, None, "answers failed; allowed: at most 10 %."),
        (None, 3.0, None, "answers took longer than 2 s; allowed: at most 10 %."),
        ("HTTP 499", 3.0, None, "answers took longer than 2 s; allowed: at most 10 %."),
        ("HTTP 504", 300.0, None, "answers failed; allowed: at most 10 %."),
        (None, 0.1, 0.0, "answers were wrong; allowed: at most 70 %."),
    ],
)
async def test_it_is_quarantined_and_its_users_get_the_fallback(
    stage: Stage, error: str | None, seconds: float, score: float | None, said: str
) -> None:
    gateway, name = await serving(stage, LIMITS)
    gateway.fared(error=error, seconds=seconds, score=score, times=60)
    await stage.settle(20.0)
    assert stage.state("dates") == "Quarantined LiveLimitBroken"
    assert table(stage).quarantined == (name,)
    decision = await last(stage)
    assert (decision["action"], decision["reason"]) == ("Quarantine", "LiveLimitBroken")
    assert said in decision["message"]


@pytest.mark.parametrize("error", ["HTTP 503", "NotResident", "HTTP 400", "HTTP 429", "HTTP 499"])
async def test_what_engines_and_clients_do_wrong_takes_nothing_out(stage: Stage, error: str) -> None:
    gateway, _ = await serving(stage, LIMITS)
    # What is said is of the answer that the user got, which is somebody else's.
    gateway.fared(error=error, seconds=0.1, score=0.0, times=200)
    await stage.settle(20.0)
    assert stage.state("dates") == "Live Serving"


async def test_what_was_asked_before_an_engine_was_well_again_takes_nothing_out(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, _ = await serving(stage, LIMITS)
    with monkeypatch.context() as away:
        away.setattr(stage.engine, "models", unreachable)
        gateway.fared(error="HTTP 502", times=60)
        await stage.settle(20.0)
        # These users waited until it was back.
        gateway.fared(error="HTTP 504", seconds=300.0, times=60)
    await stage.settle(20.0)
    assert stage.state("dates") == "Live Serving"
    await stage.pass_time(timedelta(minutes=1))
    gateway.fared(error="HTTP 500", times=60)
    await stage.settle(20.0)
    assert stage.state("dates") == "Quarantined LiveLimitBroken"


async def test_copies_that_are_written_down_for_a_shadow_do_not_hide_failures(stage: Stage) -> None:
    gateway, _ = await serving(stage, {"maximumErrors": 0.1})
    for _ in range(60):
        gateway.fared(sampled=False, times=20)
        gateway.fared(error="HTTP 500")
    await stage.settle(20.0)
    assert stage.state("dates") == "Quarantined LiveLimitBroken"


async def test_without_the_store_a_broken_limit_is_seen_all_the_same(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, _ = await serving(stage, {"maximumErrors": 0.1})
    gateway.fared(error="HTTP 500", times=60)
    monkeypatch.setattr(Observer, "see", away_store)
    await stage.settle(20.0)
    assert stage.state("dates") == "Quarantined LiveLimitBroken"


async def unreachable() -> None:
    raise EngineUnreachable("it is away")


def away_store(_: Observer) -> None:
    raise StoreUnavailable("it is away")


async def test_without_limits_failures_take_nothing_out(stage: Stage) -> None:
    gateway = await begun(stage, {"sample": 0.5})
    gateway.fared(error="HTTP 500", times=60)
    await stage.settle(20.0)
    assert stage.state("dates") == "Live Serving"


async def test_the_decision_can_be_made_again_from_what_was_kept(stage: Stage) -> None:
    gateway, _ = await serving(stage, {"maximumErrors": 0.1})
    gateway.fared(error="HTTP 500", times=60)
    await stage.settle(20.0)
    bodies = await stage.cluster.list(DECISION, NAMESPACE)
    entry = next(e for b in bodies if (e := to_entry(b)).reason == "LiveLimitBroken")
    assert entry.premises.inputs is not None
    assert replay(entry, inputs_of(entry.premises.inputs, stage.store.inputs.read)) == ()
