"""Pinned revisions through the operator: they stay on the engines and in the table, for all to see."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from modelecology.api.vocabulary import QUARANTINE_ANNOTATION, RETIRE_ANNOTATION
from modelecology.governance.replay import replay
from modelecology.governance.situations import inputs_of
from modelecology.kube.cluster import POPULATION, SPECIALIST, SUITE

from .gateway import desk, table
from .stage import NAMESPACE, Stage
from .test_isolation import ADA, annotate, entries

Object = dict[str, Any]
SECONDS = 60.0


def better(stage: Stage, *pins: str) -> Object:
    """A revision of `plain` that takes the place of the first."""
    body: Object = stage.manifests.specialist("plain", "dates", 0.9, seed=1000)
    body["spec"]["lifecycle"] = {"target": "Live", "pinned": list(pins)}
    return body


async def pin(stage: Stage, *pins: str) -> None:
    """Set what is pinned, and let the operator see it."""
    patch = {"spec": {"lifecycle": {"pinned": list(pins)}}}
    await stage.cluster.patch(SPECIALIST, NAMESPACE, "plain", patch)
    await stage.settle(SECONDS)


async def replaced(stage: Stage, *, pinned: bool = True, **policy: Any) -> tuple[Object, Object]:
    """Let a better revision replace a first one, which is pinned or not; gives both as a status has them."""
    body = desk(stage, **policy)
    await stage.apply(stage.manifests.suite(), body, stage.manifests.specialist("plain", "dates", 0.45))
    await stage.settle()
    old: Object = stage.status("plain")["live"]
    await stage.apply(better(stage, *((old["revision"],) if pinned else ())))
    await stage.settle(SECONDS)
    return old, stage.status("plain")["live"]


def pinned(stage: Stage) -> tuple[str, str]:
    """Give status and reason of the condition Pinned."""
    found = stage.condition("plain", of="Pinned")
    return found["status"], found["reason"]


async def test_a_pinned_revision_stays_when_a_newer_one_is_live_and_goes_with_its_pin(stage: Stage) -> None:
    old, new = await replaced(stage)
    assert stage.state("plain") == "Live Serving"
    assert new["servedName"] != old["servedName"]
    assert stage.adapters() == sorted([old["servedName"], new["servedName"]])
    (route,) = table(stage).routes
    assert (route.live, route.pinned) == (new["servedName"], (old["servedName"],))
    assert pinned(stage) == ("True", "Pinned")
    (told,) = stage.status("plain")["pinned"]
    assert (told["revision"], told["state"]) == (old["revision"], "Live")
    assert stage.status("desk", POPULATION)["live"] == 1
    assert [m["servedName"] for m in stage.status("desk", POPULATION)["members"]] == [new["servedName"]]

    await pin(stage)
    assert (await stage.actions("plain"))[-1] == "Retire Superseded"
    assert stage.adapters() == [new["servedName"]]
    assert table(stage).routes[0].pinned == ()
    assert not stage.condition("plain", of="Pinned")
    assert stage.store.is_archived(old["key"])


async def test_a_revision_that_is_pinned_too_late_comes_back_by_a_decision_that_can_be_replayed(
    stage: Stage,
) -> None:
    old, new = await replaced(stage, pinned=False)
    assert stage.adapters() == [new["servedName"]]
    await pin(stage, old["revision"])
    assert stage.adapters() == sorted([old["servedName"], new["servedName"]])
    assert (await stage.actions("plain"))[-1] == "Restore Pinned"
    assert stage.status("plain")["live"] == new
    assert pinned(stage) == ("True", "Pinned")
    last = (await entries(stage))[-1]
    assert last.premises.inputs is not None
    assert replay(last, inputs_of(last.premises.inputs, stage.store.inputs.read)) == ()


async def test_a_pin_that_finds_no_slot_waits_for_one_and_says_so(stage: Stage) -> None:
    old, new = await replaced(stage, pinned=False)
    await stage.cluster.patch(
        POPULATION, NAMESPACE, "desk", {"spec": {"serving": {"capacity": {"adapters": 1}}}}
    )
    await stage.settle(SECONDS)
    await pin(stage, old["revision"])
    assert pinned(stage) == ("False", "PinNotHeld")
    said = stage.condition("plain", of="Pinned")["message"]
    assert said.startswith(f"{old['revision']}: it is Retired. 1 of 1 adapter slots are taken.")
    assert stage.adapters() == [new["servedName"]]
    await stage.cluster.patch(
        POPULATION, NAMESPACE, "desk", {"spec": {"serving": {"capacity": {"adapters": 2}}}}
    )
    await stage.settle(SECONDS)
    assert pinned(stage) == ("True", "Pinned")


async def test_a_revision_that_nobody_knows_is_named_and_keeps_nothing_else(stage: Stage) -> None:
    await replaced(stage, pinned=False)
    await pin(stage, "f" * 12)
    assert pinned(stage) == ("False", "PinNotHeld")
    assert "plain has no such revision" in stage.condition("plain", of="Pinned")["message"]
    assert stage.state("plain") == "Live Serving"


async def test_a_pinned_revision_takes_over_at_once_from_one_that_is_quarantined(stage: Stage) -> None:
    old, new = await replaced(stage)
    await annotate(stage, QUARANTINE_ANNOTATION, f"{new['revision']}/{ADA}", "plain")
    await stage.settle(SECONDS)
    assert (await stage.actions("plain"))[-2:] == ["Quarantine QuarantineRequested", "Restore RolledBack"]
    last = (await entries(stage))[-1]
    assert (last.from_state, last.to) == ("Live", "Live")
    (route,) = table(stage).routes
    assert (route.live, route.pinned) == (old["servedName"], ())
    assert stage.status("plain")["live"]["revision"] == old["revision"]


async def test_a_person_takes_a_pinned_revision_out_and_the_one_that_serves_stays(stage: Stage) -> None:
    old, new = await replaced(stage)
    await annotate(stage, QUARANTINE_ANNOTATION, f"{old['revision']}/{ADA}", "plain")
    await stage.settle(SECONDS)
    assert stage.adapters() == [new["servedName"]]
    assert stage.state("plain") == "Live Serving"
    assert pinned(stage) == ("False", "PinNotHeld")
    assert stage.status("plain")["pinned"][0]["state"] == "Quarantined"


async def test_a_pinned_revision_is_evaluated_on_a_new_suite_too_so_that_engines_can_prove_it(
    stage: Stage,
) -> None:
    old, new = await replaced(stage)
    suite = stage.manifests.suite()
    suite["metadata"]["name"] = "next"
    suite["spec"]["shadowShare"] = 0.3
    await stage.apply(suite)
    await stage.cluster.patch(POPULATION, NAMESPACE, "desk", {"spec": {"suiteRef": {"name": "next"}}})
    await stage.settle(900.0)
    stage.engine.restart()
    await stage.settle(SECONDS)
    assert stage.adapters() == sorted([old["servedName"], new["servedName"]])
    assert table(stage).routes[0].pinned == (old["servedName"],)


async def test_a_pin_is_no_cause_to_retire_who_serves_and_none_to_retire_what_is_pinned(stage: Stage) -> None:
    old, new = await replaced(stage, retirement={"mode": "Automatic", "grace": "1h"})
    await stage.pass_time(timedelta(hours=3))
    assert stage.adapters() == sorted([old["servedName"], new["servedName"]])
    assert not stage.condition("plain", of="RetirementProposed")


async def test_going_back_to_a_pinned_revision_makes_it_serve_and_pins_can_keep_the_newer_one(
    stage: Stage,
) -> None:
    old, new = await replaced(stage)
    first: Object = stage.manifests.specialist("plain", "dates", 0.45)
    first["spec"]["lifecycle"] = {"target": "Live", "pinned": [new["revision"]]}
    await stage.apply(first)
    await stage.settle(SECONDS)
    assert (await stage.actions("plain"))[-1] == "Restore Restored"
    (route,) = table(stage).routes
    assert (route.live, route.pinned) == (old["servedName"], (new["servedName"],))
    assert stage.status("plain")["live"]["revision"] == old["revision"]


async def test_what_is_retired_and_wanted_again_brings_its_pins_along(stage: Stage) -> None:
    old, new = await replaced(stage)
    await stage.want("plain", "Retired")
    assert stage.adapters() == []
    assert not stage.condition("plain", of="Pinned")
    await stage.want("plain", "Live")
    await stage.settle(SECONDS)
    assert stage.adapters() == sorted([old["servedName"], new["servedName"]])
    assert stage.status("plain")["live"]["revision"] == new["revision"]
    assert pinned(stage) == ("True", "Pinned")


async def test_without_its_suite_a_status_still_says_what_is_pinned(stage: Stage) -> None:
    old, _ = await replaced(stage)
    stage.cluster.delete(SUITE, NAMESPACE, "desk")
    await stage.settle(SECONDS)
    assert stage.condition("plain")["reason"] == "SuiteNotFound"
    assert [r["revision"] for r in stage.status("plain")["pinned"]] == [old["revision"]]


async def test_a_pin_that_memory_has_no_room_for_is_not_brought_back(stage: Stage) -> None:
    old, new = await replaced(stage, pinned=False)
    patch = {"spec": {"serving": {"capacity": {"memory": "1Ki"}}}}
    await stage.cluster.patch(POPULATION, NAMESPACE, "desk", patch)
    await pin(stage, old["revision"])
    assert stage.adapters() == [new["servedName"]]
    assert "With it the adapters take" in stage.condition("plain", of="Pinned")["message"]


async def test_a_pinned_revision_serves_again_when_the_spec_goes_back_after_evidence_retired_the_newer_one(
    stage: Stage,
) -> None:
    old, new = await replaced(stage)
    acceptance = f"{new['revision']}/ada@example.org@{stage.runtime.now():%Y-%m-%dT%H:%M:%SZ}"
    suite = stage.manifests.suite()
    suite["metadata"]["name"] = "quiet"
    suite["spec"]["tasks"] = [
        t | {"traffic": 0.0} if t["name"] == "dates" else t for t in suite["spec"]["tasks"]
    ]
    await stage.apply(suite)
    await stage.cluster.patch(POPULATION, NAMESPACE, "desk", {"spec": {"suiteRef": {"name": "quiet"}}})
    await stage.settle(300.0)
    assert stage.condition("plain", of="RetirementProposed")["reason"] == "Unused"
    await annotate(stage, RETIRE_ANNOTATION, acceptance, "plain")
    await stage.settle(SECONDS)
    assert (await stage.actions("plain"))[-1] == "Retire Unused"
    assert (table(stage).routes[0].live, table(stage).routes[0].pinned) == (None, (old["servedName"],))
    await stage.apply(stage.manifests.specialist("plain", "dates", 0.45))
    await stage.settle(SECONDS)
    assert "Restore Restored" in await stage.actions("plain")
    assert table(stage).routes[0].live == old["servedName"]
    assert stage.status("plain")["live"]["revision"] == old["revision"]


async def test_with_one_place_left_what_serves_comes_back_before_what_is_pinned(stage: Stage) -> None:
    _, new = await replaced(stage)
    await stage.want("plain", "Retired")
    patch = {"spec": {"serving": {"capacity": {"adapters": 1}}}}
    await stage.cluster.patch(POPULATION, NAMESPACE, "desk", patch)
    await stage.want("plain", "Live")
    await stage.settle(SECONDS)
    assert stage.adapters() == [new["servedName"]]
    assert stage.state("plain") == "Live Serving"
    assert pinned(stage) == ("False", "PinNotHeld")


async def test_without_its_suite_what_is_retired_is_pinned_no_more(stage: Stage) -> None:
    await replaced(stage)
    stage.cluster.delete(SUITE, NAMESPACE, "desk")
    await stage.settle(SECONDS)
    await stage.want("plain", "Retired")
    await stage.settle(SECONDS)
    assert stage.adapters() == []
    assert stage.status("plain").get("pinned", []) == []
