"""A canary from the shadow to all users, and back: by what gateways wrote down, and by nothing else."""

from __future__ import annotations

import json
from datetime import timedelta

from modelecology.api.routing import RoutingTable
from modelecology.kube.cluster import DECISION

from .gateway import begun, table
from .stage import NAMESPACE, Stage

STEPS = [{"percent": 10, "minimumScored": 20, "minimumDuration": "10m"}, {"percent": 50, "minimumScored": 20}]
LIVE = {"sample": 0.5, "live": {"minimumScored": 20}}


async def decisions(stage: Stage) -> list[str]:
    bodies = await stage.cluster.list(DECISION, NAMESPACE)
    specs = sorted((b["spec"] for b in bodies), key=lambda spec: spec["sequence"])
    return [f"{s['action']} {s['to']} {s['reason']}" for s in specs]


def percent(found: RoutingTable) -> int | None:
    (route,) = found.routes
    return route.canary.percent if route.canary is not None else None


async def test_a_canary_goes_step_by_step_to_all_users_and_each_step_is_a_decision(stage: Stage) -> None:
    gateway = await begun(stage, promotion={"steps": STEPS})
    assert stage.state("dates") == "Canary CanaryRunning"
    assert percent(table(stage)) == 10
    gateway.asked([1.0] * 60, [0.0, 1.0] * 30)
    await stage.pass_time(timedelta(minutes=1))
    # All is proven, but the step takes ten minutes.
    assert stage.state("dates") == "Canary CanaryRunning"
    await stage.pass_time(timedelta(minutes=10))
    assert percent(table(stage)) == 50
    gateway.asked([1.0] * 20, [0.0, 1.0] * 10)
    await stage.pass_time(timedelta(minutes=1))
    assert stage.state("dates") == "Live Serving"
    assert percent(table(stage)) is None
    assert (await decisions(stage))[-3:] == [
        "StartCanary Canary ServedScoreConfirmed",
        "Advance Canary StepPassed",
        "Promote Live StepPassed",
    ]


async def test_a_canary_that_users_are_worse_off_with_is_aborted_and_who_served_before_serves_all(
    stage: Stage,
) -> None:
    gateway = await begun(stage, promotion={"steps": STEPS})
    gateway.asked([0.0] * 30, [1.0] * 30)
    await stage.pass_time(timedelta(minutes=1))
    assert stage.state("dates") == "Rejected LiveScoreRefuted"
    assert stage.condition("dates", of="Degraded")["status"] == "True"
    assert (percent(table(stage)), stage.adapters()) == (None, [])
    assert (await decisions(stage))[-1] == "Reject Rejected LiveScoreRefuted"


async def test_what_users_got_stands_in_the_decision_and_the_same_verdict_comes_of_it_again(
    stage: Stage,
) -> None:
    gateway = await begun(stage, promotion={"steps": STEPS})
    gateway.asked([0.0] * 30, [1.0] * 30)
    await stage.pass_time(timedelta(minutes=1))
    bodies = await stage.cluster.list(DECISION, NAMESPACE)
    (last,) = [b["spec"] for b in bodies if b["spec"]["to"] == "Rejected"]
    checks = {c["name"]: c for c in last["checks"]}
    assert checks["LiveGain"]["outcome"] == "Fail"
    assert checks["LiveErrors"]["observed"] == "0 of 30"
    inputs = json.loads(stage.store.inputs.read(last["premises"]["inputs"]))
    live = inputs["inputs"]["made"]["of"]["situation"]["evidence"]["live"]
    assert live["differences"] == [-1.0] * len(live["differences"])


async def test_an_operator_that_starts_anew_goes_on_where_the_log_is(stage: Stage) -> None:
    gateway = await begun(stage, promotion={"steps": STEPS})
    gateway.asked([1.0] * 60, [0.0, 1.0] * 30)
    await stage.pass_time(timedelta(minutes=11))
    await stage.restart()
    await stage.settle(60.0)
    assert percent(table(stage)) == 50
    gateway.asked([1.0] * 20, [0.0, 1.0] * 10)
    await stage.pass_time(timedelta(minutes=1))
    assert stage.state("dates") == "Live Serving"


async def test_a_shadow_goes_live_once_copies_of_live_requests_have_proven_its_lead(stage: Stage) -> None:
    gateway = await begun(stage, shadow=LIVE)
    assert stage.state("dates") == "Shadow LiveScoring"
    gateway.copied([("wrong", "right")] * 10)
    await stage.pass_time(timedelta(minutes=1))
    assert stage.state("dates") == "Shadow LiveScoring"
    gateway.copied([("wrong", "right")] * 10)
    await stage.pass_time(timedelta(minutes=1))
    assert stage.state("dates") == "Live Serving"


async def test_a_shadow_that_copies_of_live_requests_refute_is_rejected(stage: Stage) -> None:
    gateway = await begun(stage, shadow=LIVE)
    gateway.copied([("right", "wrong")] * 20)
    await stage.pass_time(timedelta(minutes=1))
    assert stage.state("dates") == "Rejected LiveScoreRefuted"
