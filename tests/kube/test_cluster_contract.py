"""What the operator relies on of the Kubernetes API, proved for the double and for a real API server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modelecology.api.meta import API_VERSION
from modelecology.kube.cluster import POPULATION, SPECIALIST, SUITE, EventText
from modelecology.kube.double import InMemoryCluster
from modelecology.kube.errors import AlreadyExists, ApiUnavailable, Conflict, NotFound, Refused
from testbed.pretend_desk import PretendDesk

from .conftest import Place

Body = dict[str, Any]
CONDITION = {
    "type": "Ready",
    "status": "False",
    "observedGeneration": 1,
    "lastTransitionTime": "2026-03-01T12:00:00Z",
    "reason": "Queued",
    "message": "It waits.",
}


@pytest.fixture
def dates(tmp_path: Path) -> Body:
    """A specialist, not created yet."""
    return PretendDesk(tmp_path).specialist("dates", "dates", 0.6)


async def made(place: Place, body: Body) -> Body:
    return await place.cluster.create(SPECIALIST, place.namespace, body)


async def test_a_created_object_has_a_uid_a_version_and_its_first_generation(
    place: Place, dates: Body
) -> None:
    body = await made(place, dates)
    assert body["metadata"]["uid"]
    assert body["metadata"]["resourceVersion"]
    assert body["metadata"]["generation"] == 1
    assert body["metadata"]["creationTimestamp"]
    (listed,) = await place.cluster.list(SPECIALIST, place.namespace)
    assert listed["metadata"]["resourceVersion"] == body["metadata"]["resourceVersion"]
    assert listed["spec"] == body["spec"]


async def test_the_same_name_again_is_there_already(place: Place, dates: Body) -> None:
    await made(place, dates)
    with pytest.raises(AlreadyExists, match="dates"):
        await made(place, dates)


async def test_a_patch_of_an_older_version_is_a_conflict(place: Place, dates: Body) -> None:
    old = await made(place, dates)
    version = old["metadata"]["resourceVersion"]
    fresh = {"metadata": {"resourceVersion": version, "labels": {"a": "b"}}}
    new = await place.cluster.patch(SPECIALIST, place.namespace, "dates", fresh)
    assert new["metadata"]["resourceVersion"] != version
    stale = {"metadata": {"resourceVersion": version, "labels": {"a": "c"}}}
    with pytest.raises(Conflict):
        await place.cluster.patch(SPECIALIST, place.namespace, "dates", stale)


async def test_a_patch_of_what_is_not_there_is_not_found(place: Place) -> None:
    with pytest.raises(NotFound):
        await place.cluster.patch(SPECIALIST, place.namespace, "nobody", {"metadata": {"labels": {"a": "b"}}})


async def test_status_and_spec_are_written_apart_and_only_the_spec_moves_the_generation(
    place: Place, dates: Body
) -> None:
    await made(place, dates)
    both = {"spec": {"lifecycle": {"target": "Retired"}}, "status": {"score": "1", "conditions": [CONDITION]}}
    of_status = await place.cluster.patch(SPECIALIST, place.namespace, "dates", both, status=True)
    assert of_status["status"]["score"] == "1"
    assert of_status["spec"].get("lifecycle", {}).get("target", "Live") == "Live"
    assert of_status["metadata"]["generation"] == 1
    of_spec = await place.cluster.patch(
        SPECIALIST, place.namespace, "dates", {"spec": both["spec"], "status": {"score": "2"}}
    )
    assert of_spec["status"]["score"] == "1"
    assert of_spec["spec"]["lifecycle"]["target"] == "Retired"
    assert of_spec["metadata"]["generation"] == 2


async def test_a_null_takes_away_and_a_list_is_replaced(place: Place, dates: Body) -> None:
    await made(place, dates)
    first = {"status": {"score": "1", "conditions": [CONDITION, {**CONDITION, "type": "Degraded"}]}}
    await place.cluster.patch(SPECIALIST, place.namespace, "dates", first, status=True)
    second = {"status": {"score": None, "conditions": [CONDITION]}}
    after = await place.cluster.patch(SPECIALIST, place.namespace, "dates", second, status=True)
    assert "score" not in after["status"]
    assert [c["type"] for c in after["status"]["conditions"]] == ["Ready"]


async def test_a_patch_that_changes_nothing_gives_no_new_version(place: Place, dates: Body) -> None:
    await made(place, dates)
    patch = {"status": {"score": "1"}}
    first = await place.cluster.patch(SPECIALIST, place.namespace, "dates", patch, status=True)
    again = await place.cluster.patch(SPECIALIST, place.namespace, "dates", patch, status=True)
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_lists_are_by_namespace_and_label(place: Place, dates: Body, tmp_path: Path) -> None:
    await made(place, {**dates, "metadata": {"name": "dates", "labels": {"team": "a", "tier": "x"}}})
    other = PretendDesk(tmp_path).specialist("cron", "dates", 0.6)
    await made(place, {**other, "metadata": {"name": "cron", "labels": {"team": "b", "tier": "x"}}})

    async def names(labels: str, namespace: str | None = place.namespace) -> list[str]:
        bodies = await place.cluster.list(SPECIALIST, namespace, labels)
        return [b["metadata"]["name"] for b in bodies if b["metadata"]["namespace"] == place.namespace]

    assert await names("") == ["cron", "dates"]
    assert await names("team=a") == ["dates"]
    assert await names("team=b,tier=x") == ["cron"]
    assert await names("team=c") == []
    assert await names("tier=x", None) == ["cron", "dates"]
    assert await place.cluster.list(SUITE, place.namespace) == []


async def test_what_does_not_fit_the_kind_is_refused_for_good(place: Place, dates: Body) -> None:
    dates["spec"]["contract"]["target"] = 7
    with pytest.raises(Refused, match=r"spec.contract.target"):
        await made(place, dates)
    assert not Refused.retry


async def test_a_config_map_is_made_read_and_patched(place: Place, dates: Body) -> None:
    cluster, where = place.cluster, place.namespace
    uid = (await made(place, dates))["metadata"]["uid"]
    assert await cluster.config_map(where, "desk-routes") is None
    patch = {"data": {"table.json": "two"}}
    with pytest.raises(NotFound):
        await cluster.patch_config_map(where, "desk-routes", patch)
    owner = {"apiVersion": API_VERSION, "kind": "Specialist", "name": "dates", "uid": uid}
    metadata = {"name": "desk-routes", "labels": {"a": "b"}, "ownerReferences": [owner]}
    body = {"metadata": metadata, "data": {"table.json": "one", "other": "kept"}}
    await cluster.create_config_map(where, body)
    with pytest.raises(AlreadyExists):
        await cluster.create_config_map(where, body)
    await cluster.patch_config_map(where, "desk-routes", patch)
    found = await cluster.config_map(where, "desk-routes")
    assert found is not None
    assert found["data"] == {"table.json": "two", "other": "kept"}
    assert found["metadata"]["labels"] == {"a": "b"}
    assert [o["uid"] for o in found["metadata"]["ownerReferences"]] == [uid]


async def test_events_are_taken(place: Place, dates: Body) -> None:
    body = await made(place, dates)
    told = EventText(True, "Queued", "Wait", "It waits.")
    await place.cluster.post_event(SPECIALIST, place.namespace, "dates", body["metadata"]["uid"], told)
    if isinstance(place.cluster, InMemoryCluster):
        assert [t.event for t in place.cluster.events] == [told]


async def test_the_double_can_be_down_or_lose_a_reply(tmp_path: Path) -> None:
    cluster = InMemoryCluster(lost_replies=1)
    with pytest.raises(ApiUnavailable):
        await cluster.create(POPULATION, "desk", PretendDesk(tmp_path).population())
    assert cluster.get(POPULATION, "desk", "desk") is not None
    cluster.down = True
    with pytest.raises(ApiUnavailable):
        await cluster.list(POPULATION, None)


async def test_the_double_keeps_what_has_a_finalizer_and_collects_what_it_owned(dates: Body) -> None:
    cluster = InMemoryCluster()
    seen: list[str] = []
    cluster.watch(lambda event, _kind, _body: seen.append(event))
    await cluster.create(SPECIALIST, "desk", dates)
    await cluster.patch(SPECIALIST, "desk", "dates", {"metadata": {"finalizers": ["a/b"]}})
    cluster.delete(SPECIALIST, "desk", "dates")
    held = cluster.get(SPECIALIST, "desk", "dates")
    assert held is not None
    assert held["metadata"]["deletionTimestamp"]
    await cluster.patch(SPECIALIST, "desk", "dates", {"metadata": {"finalizers": []}})
    assert cluster.get(SPECIALIST, "desk", "dates") is None
    assert seen == ["ADDED", "MODIFIED", "MODIFIED", "DELETED"]


async def test_an_object_is_removed_by_its_uid_and_another_of_its_name_is_not(
    place: Place, dates: Body
) -> None:
    body = await made(place, dates)
    with pytest.raises(Conflict):
        await place.cluster.remove(SPECIALIST, place.namespace, "dates", "another")
    uid = str(body["metadata"]["uid"])
    for _ in range(2):
        await place.cluster.remove(SPECIALIST, place.namespace, "dates", uid)
    assert await place.cluster.list(SPECIALIST, place.namespace) == []
