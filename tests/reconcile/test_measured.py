"""What gateways count and what users say of live answers: traffic, non-use, drift, and the bill."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from modelecology.api.live_records import Used
from modelecology.kube.cluster import DECISION, POPULATION

from .gateway import Gateway, begun, table
from .stage import NAMESPACE, Stage

PROPOSED = "RetirementProposed"


async def live(stage: Stage, gateway: dict[str, Any] | None = None, **policy: Any) -> tuple[Gateway, str]:
    """Bring `dates` live behind a gateway that writes records; gives its served name."""
    found = await begun(stage, gateway, **policy)
    assert stage.state("dates") == "Live Serving"
    return found, stage.status("dates")["live"]["servedName"]


async def test_counted_requests_take_the_place_of_declared_ones_once_they_were_counted_that_long(
    stage: Stage,
) -> None:
    gateway, name = await live(stage, viability={"requestsPerDay": 1000, "measuredOver": "3h"})
    (declared,) = stage.status("desk", POPULATION)["members"]
    await gateway.count(2, Used(task="dates", served=name, requests=25, tokens=100))
    assert "traffic" not in stage.status("desk", POPULATION)
    await gateway.count(
        4, Used(task="dates", served=name, requests=30, tokens=100), Used(requests=70, tokens=0)
    )
    status = stage.status("desk", POPULATION)
    assert status["traffic"]["requestsPerDay"] == 2400
    assert {"task": "dates", "share": 0.3} in status["traffic"]["tasks"]
    (member,) = status["members"]
    share = next(t["traffic"] for t in stage.manifests.suite()["spec"]["tasks"] if t["name"] == "dates")
    expected = Decimal(declared["point"]) * Decimal(2400) * Decimal("0.3") / (1000 * Decimal(str(share)))
    assert abs(Decimal(member["point"]) - expected) < Decimal("0.01") * expected


async def test_an_operator_that_starts_anew_reads_the_counts_again(stage: Stage) -> None:
    gateway, name = await live(stage, viability={"measuredOver": "2h"})
    await gateway.count(3, Used(task="dates", served=name, requests=50, tokens=100))
    before = stage.status("desk", POPULATION)["traffic"]
    await stage.restart()
    await stage.settle()
    assert stage.status("desk", POPULATION)["traffic"] == before


async def test_a_specialist_whose_task_nobody_asks_for_is_proposed_for_retirement(stage: Stage) -> None:
    gateway, name = await live(stage, retirement={"idleAfter": "3h"})
    await gateway.count(2, Used(task="dates", served=name, requests=1, tokens=1))
    await gateway.count(3)
    assert not stage.condition("dates", of=PROPOSED)
    await gateway.count(1)
    await gateway.count(1)
    condition = stage.condition("dates", of=PROPOSED)
    assert condition["reason"] == "Unused"
    bodies = await stage.cluster.list(DECISION, NAMESPACE)
    (said,) = (b["spec"]["message"] for b in bodies if b["spec"]["reason"] == "Unused")
    assert "dates: nobody has asked for it in 3 h." in said
    await gateway.count(1, Used(task="dates", served=name, requests=1, tokens=1))
    await gateway.count(1)
    assert (await stage.actions("dates"))[-1] == "Hold StillViable"


async def test_hours_in_which_nobody_counted_make_nobody_unused(stage: Stage) -> None:
    await live(stage, retirement={"idleAfter": "3h"})
    await stage.pass_time(timedelta(hours=12))
    assert not stage.condition("dates", of=PROPOSED)
    assert (await stage.actions("dates"))[-1].startswith("Promote")


async def test_answers_that_users_find_worse_than_was_promised_are_drift(stage: Stage) -> None:
    gateway, _ = await live(stage, {"sample": 0.5})
    assert table(stage).recorded == 0.5
    gateway.answered([1.0, 1.0, 0.0, 1.0] * 10)
    await stage.pass_time(timedelta(hours=1))
    assert not stage.condition("dates", of=PROPOSED)
    (member,) = stage.status("desk", POPULATION)["members"]
    assert member["live"]["low"] < 0.75 < member["live"]["high"]
    gateway.answered([0.0] * 200)
    await stage.pass_time(timedelta(hours=1))
    await stage.pass_time(timedelta(hours=1))
    assert stage.condition("dates", of=PROPOSED)["reason"] == "QualityDrifted"
    assert (await stage.actions("dates"))[-1] == "Hold QualityDrifted"


async def test_served_tokens_are_told_by_the_hour_and_charged_by_the_next_decision(stage: Stage) -> None:
    gateway, name = await live(stage, prices={"tokenMillion": "50"})
    await gateway.count(2, Used(task="dates", served=name, requests=10, tokens=150_000))
    await gateway.count(1, Used(task="dates", served="generalist", requests=9, tokens=1))
    for ledger in (stage.status("dates")["ledger"], stage.status("desk", POPULATION)["ledger"]):
        assert ledger["servedTokens"] == 300_000
    await stage.want("dates", "Retired")
    bodies = await stage.cluster.list(DECISION, NAMESPACE)
    (retired,) = (b["spec"] for b in bodies if b["spec"]["action"] == "Retire")
    assert retired["cost"]["servedTokens"] == 300_000
    assert Decimal(retired["cost"]["cost"]) >= 15
    assert stage.status("dates")["ledger"]["servedTokens"] == 300_000
