"""A canary from the shadow to all users, and back: by what gateways wrote down, and by nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from modelecology.api.live_records import Answered, Arm, Exchange, Feedback, write_line
from modelecology.api.routing import RoutingTable
from modelecology.kube.cluster import DECISION

from .stage import NAMESPACE, Stage
from .test_routes import desk, table

STEPS = [{"percent": 10, "minimumScored": 20, "minimumDuration": "10m"}, {"percent": 50, "minimumScored": 20}]
LIVE = {"sample": 0.5, "live": {"minimumScored": 20}}
HASH = "0" * 64


class Gateway:
    """Writes down what a gateway would: requests by the table, and what users say of the answers."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._number = 0
        self.folder = stage.directory / "live"
        self.folder.mkdir()

    def asked(self, ours: Sequence[float], theirs: Sequence[float]) -> None:
        """Answer requests of `dates` as canary and as who serves; each is scored at once."""
        (route,) = table(self._stage).routes
        assert route.canary is not None
        for mine, other in zip(ours, theirs, strict=True):
            served = route.live or "generalist"
            self._write(Answered(served=served, text="a", seconds=0.1), Arm.LIVE, score=other)
            trial = Answered(served=route.canary.revision, text="a", seconds=0.1)
            self._write(trial, Arm.CANARY, score=mine)

    def copied(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Answer requests, each with a copy for the shadow; `right` is the label of all."""
        (route,) = table(self._stage).routes
        assert route.shadow is not None
        for served, shadow in pairs:
            answer = Answered(served=route.live or "generalist", text=served, seconds=0.1)
            copy = Answered(served=route.shadow.revision, text=shadow, seconds=0.1)
            self._write(answer, Arm.LIVE, shadow=copy, label="right")

    def _write(self, answer: Answered, arm: Arm, shadow: Answered | None = None, **said: Any) -> None:
        self._number += 1
        time, name = self._stage.runtime.now().timestamp() + self._number / 1e4, f"r{self._number}"
        exchange = Exchange(
            time=time,
            request_id=name,
            population="desk",
            task="dates",
            table="sha256:t",
            arm=arm,
            prompt_sha256=HASH,
            answer=answer,
            shadow=shadow,
        )
        with (self.folder / "live-20260301T120000-000001-g.jsonl.part").open("ab") as file:
            file.write(write_line(exchange) + write_line(Feedback(time=time, request_id=name, **said)))


async def begun(stage: Stage, **policy: Any) -> Gateway:
    """Bring `dates` to where live requests decide."""
    gateway = Gateway(stage)
    body = desk(stage, {"records": f"file://{gateway.folder}"}, **policy)
    dates = stage.manifests.specialist("dates", "dates", 0.6)
    await stage.apply(stage.manifests.suite(), body, dates)
    await stage.settle()
    return gateway


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
