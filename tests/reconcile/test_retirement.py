"""Retirement by evidence through the operator: proposed, accepted or automatic, and taken back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from modelecology.api.vocabulary import RETIRE_ANNOTATION, UNDO_ANNOTATION
from modelecology.kube.cluster import POPULATION, SPECIALIST

from .stage import NAMESPACE, Stage, live

DEAR = {"prices": {"gibHour": "1000000"}}  # no adapter is worth its place any more
CHEAP = {"prices": {"gibHour": "0.01"}}
PROPOSED = "RetirementProposed"


async def under(stage: Stage, **policy: Any) -> None:
    """Change the policy, and let everything come to rest."""
    await stage.apply(stage.manifests.population(**policy))
    await stage.settle()


async def say(stage: Stage, annotation: str, actor: str = "ada") -> str:
    """Give a person's word about the revision that is live, or was; gives the word."""
    status = stage.status("dates")
    revision = (status.get("live") or status["previous"])["revision"]
    word = f"{revision}/{actor}@{stage.clock.now():%Y-%m-%dT%H:%M:%SZ}"
    await stage.cluster.patch(
        SPECIALIST, NAMESPACE, "dates", {"metadata": {"annotations": {annotation: word}}}
    )
    await stage.settle()
    return word.partition("/")[2]


async def test_a_member_is_worth_what_the_population_would_lose_without_it(stage: Stage) -> None:
    _, name = await live(stage)
    status = stage.status("desk", POPULATION)
    (member,) = status["members"]
    assert (member["servedName"], member["task"]) == (name, "dates")
    assert float(member["low"]) < float(member["point"]) < float(member["high"])
    assert abs(float(member["point"]) - float(status["value"])) < 0.01
    assert not stage.condition("dates", of=PROPOSED)


async def test_what_no_longer_pays_is_proposed_and_serves_on_until_a_person_accepts(stage: Stage) -> None:
    _, name = await live(stage)
    await under(stage, **DEAR)
    assert (await stage.actions("dates"))[-1] == "Hold NegativeValue"
    assert stage.state("dates") == "Live Serving"
    condition = stage.condition("dates", of=PROPOSED)
    assert (condition["status"], condition["reason"]) == ("True", "NegativeValue")
    assert condition["message"].startswith(f"{name}, since ")
    assert condition["message"].endswith("Let it go: kubectl ecology retire dates.")
    assert stage.adapters() == [name]

    by = await say(stage, RETIRE_ANNOTATION)
    assert (await stage.actions("dates"))[-1] == "Retire NegativeValue"
    assert stage.state("dates") == "Retired Retired"
    assert stage.adapters() == []
    assert not stage.condition("dates", of=PROPOSED)
    record = (await stage.log()).specialists[stage.get("dates")["metadata"]["uid"]]
    assert record.last is not None
    assert record.last.actor == by


async def test_a_proposal_is_recorded_once_and_outlives_the_operator(stage: Stage) -> None:
    await live(stage)
    await under(stage, **DEAR)
    since = stage.condition("dates", of=PROPOSED)["message"]
    await stage.pass_time(timedelta(hours=30))
    await stage.restart()
    await stage.settle()
    assert (await stage.actions("dates")).count("Hold NegativeValue") == 1
    assert stage.condition("dates", of=PROPOSED)["message"] == since


async def test_a_cause_that_passes_ends_the_proposal(stage: Stage) -> None:
    await live(stage)
    await under(stage, **DEAR)
    await under(stage, **CHEAP)
    assert (await stage.actions("dates"))[-1] == "Hold StillViable"
    assert not stage.condition("dates", of=PROPOSED)
    assert stage.state("dates") == "Live Serving"


async def test_automatic_retires_after_the_grace_and_deletes_after_the_window(stage: Stage) -> None:
    await live(stage)
    automatic = {"retirement": {"mode": "Automatic", "grace": "6h", "undoWindow": "48h"}}
    await under(stage, **automatic, **DEAR)
    assert "It goes by itself at" in stage.condition("dates", of=PROPOSED)["message"]
    await stage.pass_time(timedelta(hours=5, minutes=59))
    assert stage.state("dates") == "Live Serving"
    await stage.pass_time(timedelta(minutes=2))
    assert stage.state("dates") == "Retired Retired"
    assert "kubectl ecology undo dates" in stage.condition("dates")["message"]
    await stage.pass_time(timedelta(hours=49))
    assert (await stage.actions("dates"))[-2:] == ["Retire NegativeValue", "Delete UndoWindowClosed"]
    await stage.pass_time(timedelta(hours=49))
    # The spec has asked for it all along; that alone trains nothing again.
    assert stage.status("dates")["state"] == "Deleted"


async def test_a_cause_that_was_interrupted_begins_its_grace_anew(stage: Stage) -> None:
    await live(stage)
    automatic = {"retirement": {"mode": "Automatic", "grace": "6h"}}
    await under(stage, **automatic, **DEAR)
    await stage.pass_time(timedelta(hours=5))
    await under(stage, **automatic, **CHEAP)
    await under(stage, **automatic, **DEAR)
    await stage.pass_time(timedelta(hours=5))
    assert stage.state("dates") == "Live Serving"
    await stage.pass_time(timedelta(hours=2))
    assert stage.state("dates") == "Retired Retired"


async def test_a_person_takes_a_retirement_back_once(stage: Stage) -> None:
    _, name = await live(stage)
    at_once = {"retirement": {"mode": "Automatic", "grace": "0s"}}
    await under(stage, **at_once, **DEAR)
    assert stage.state("dates") == "Retired Retired"
    await under(stage, **CHEAP)
    assert stage.state("dates") == "Retired Retired"
    by = await say(stage, UNDO_ANNOTATION)
    assert stage.state("dates") == "Live Serving"
    assert stage.adapters() == [name]
    record = (await stage.log()).specialists[stage.get("dates")["metadata"]["uid"]]
    assert record.last is not None
    assert (record.last.action, record.last.actor) == ("Restore", by)
    # The same word does not undo the next one, though both clocks say the same minute.
    await under(stage, **at_once, **DEAR)
    assert stage.state("dates") == "Retired Retired"


async def test_an_old_word_does_not_accept_a_new_proposal(stage: Stage) -> None:
    await live(stage)
    await say(stage, RETIRE_ANNOTATION)
    await stage.pass_time(timedelta(hours=1))
    await under(stage, **DEAR)
    assert (await stage.actions("dates"))[-1] == "Hold NegativeValue"
    assert stage.state("dates") == "Live Serving"


async def test_a_task_that_leaves_the_suite_takes_its_specialist_along(stage: Stage) -> None:
    await live(stage)
    suite = stage.manifests.suite()
    suite["metadata"]["name"] = "other"
    suite["spec"]["tasks"] = [t for t in suite["spec"]["tasks"] if t["name"] != "dates"]
    population = stage.manifests.population()
    population["spec"]["suiteRef"]["name"] = "other"
    await stage.apply(suite, population)
    await stage.settle()
    assert (await stage.actions("dates"))[-1] == "Hold ContractWithdrawn"


async def test_a_member_that_a_better_one_replaced_as_the_route_is_dominated(stage: Stage) -> None:
    await stage.apply_desk(stage.manifests.specialist("plain", "dates", 0.45))
    assert stage.state("plain") == "Live Serving"
    await stage.apply(stage.manifests.specialist("dates", "dates", 0.7))
    await stage.settle()
    assert stage.state("dates") == "Live Serving"
    await stage.settle()
    assert (await stage.actions("plain"))[-1] == "Hold Dominated"
    assert not stage.condition("dates", of=PROPOSED)
    worth = {m["servedName"].partition("-")[0]: m for m in stage.status("desk", POPULATION)["members"]}
    assert list(worth) == ["dates", "plain"]
    # It serves nobody, so that it is sure what it is worth: its upkeep less than nothing.
    assert worth["plain"]["low"] == worth["plain"]["high"]
    assert float(worth["plain"]["point"]) < 0 < float(worth["dates"]["low"])
