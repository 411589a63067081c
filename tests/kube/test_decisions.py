"""The log as objects: whoever creates the next name has decided; everybody else looks again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelecology.api.vocabulary import Action, Outcome, State
from modelecology.governance.log import Entry, LogBroken, LogState, NameTaken, Premises, Subject, sealed
from modelecology.kube.cluster import DECISION, POPULATION
from modelecology.kube.decisions import DecisionLog, LogMoved, to_body, to_entry
from modelecology.kube.double import InMemoryCluster
from modelecology.kube.errors import AlreadyExists, ApiUnavailable
from testbed.pretend_desk import PretendDesk

from .conftest import Place

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def entry(state: LogState, specialist: str = "dates", reason: str = "GapProven") -> Entry:
    return Entry(
        population="desk",
        sequence=state.sequence + 1,
        time=NOW,
        subject=Subject(specialist, f"uid-{specialist}", "a" * 12, "k" * 64),
        action=Action.PROPOSE,
        from_state=State.PENDING,
        to=State.TRAINING,
        outcome=Outcome.PASS,
        reason=reason,
        actor="operator",
        previous=state.digest,
        message="äöü, and 0.5",
        premises=Premises(policy="sha256:" + "1" * 64),
    )


def log_of(place: Place, uid: str) -> DecisionLog:
    return DecisionLog(place.cluster, place.namespace, "desk", uid)


@pytest.fixture
async def uid(place: Place, tmp_path: Path) -> str:
    """The uid of a population that is there; a log without its owner is garbage."""
    body = await place.cluster.create(POPULATION, place.namespace, PretendDesk(tmp_path).population())
    return str(body["metadata"]["uid"])


async def test_what_was_appended_is_read_back_whole_by_another_process(place: Place, uid: str) -> None:
    log = log_of(place, uid)
    first = await log.append(entry(await log.state()))
    second = await log.append(entry(await log.state(), "cron"))
    assert (first.sequence, second.sequence) == (1, 2)
    assert second.previous == first.digest
    assert await log_of(place, uid).state() == await log.state()


async def test_of_two_processes_that_decide_at_once_one_must_look_again(place: Place, uid: str) -> None:
    ours, theirs = log_of(place, uid), log_of(place, uid)
    seen = await ours.state()
    assert await theirs.state() == seen
    await theirs.append(entry(seen, "cron"))
    with pytest.raises(LogMoved, match="written before"):
        await ours.append(entry(seen, "dates"))
    after = await ours.state()
    assert list(after.specialists) == ["uid-cron"]
    await ours.append(entry(after, "dates"))
    assert (await log_of(place, uid).state()).sequence == 2


async def test_a_decision_from_an_older_state_is_not_appended_though_its_name_would_be_free(
    place: Place, uid: str
) -> None:
    log = log_of(place, uid)
    seen = await log.state()
    await log.append(entry(seen, "cron"))
    with pytest.raises(LogMoved, match="older state"):
        await log.append(entry(seen, "dates"))
    assert (await log.state()).sequence == 1


async def test_decisions_of_a_deleted_population_of_the_same_name_are_not_ours(
    place: Place, uid: str
) -> None:
    log = log_of(place, uid)
    await log.append(entry(await log.state()))
    assert (await log_of(place, "new").state()).sequence == 0


async def test_a_name_that_somebody_elses_decision_has_breaks_the_log_until_it_is_free() -> None:
    cluster = InMemoryCluster()
    old, log = DecisionLog(cluster, "d", "desk", "old"), DecisionLog(cluster, "d", "desk", "new")
    await old.append(entry(await old.state()))
    seen = await log.state()
    with pytest.raises(AlreadyExists, match="desk-000000000001 is taken by a Decision that belongs to old"):
        await log.append(entry(seen))
    for _ in range(2):
        with pytest.raises(NameTaken, match="is taken by a Decision that belongs to old"):
            await log.state()
    cluster.delete(DECISION, "d", "desk-000000000001")
    await log.append(entry(await log.state()))
    assert (await log.state()).sequence == 1


async def test_an_answer_that_was_lost_is_looked_up_in_the_log() -> None:
    cluster = InMemoryCluster()
    log = DecisionLog(cluster, "desk", "desk", "u1")
    seen = await log.state()
    cluster.lost_replies = 1
    with pytest.raises(ApiUnavailable):
        await log.append(entry(seen))
    assert (await log.state()).sequence == 1
    with pytest.raises(LogMoved):
        await log.append(entry(seen))


async def test_a_log_that_somebody_has_seen_longer_is_read_again_and_a_lost_end_is_found() -> None:
    cluster = InMemoryCluster()
    ours, theirs = DecisionLog(cluster, "d", "desk", "u1"), DecisionLog(cluster, "d", "desk", "u1")
    await ours.state()
    await theirs.append(entry(await theirs.state()))
    assert (await ours.reach(1, ours=True)).sequence == 1
    looked = cluster.lists
    assert (await ours.reach(5, ours=False)).sequence == 1
    assert (await ours.reach(5, ours=False)).sequence == 1
    assert cluster.lists == looked + 1
    with pytest.raises(LogBroken, match="names decision 5, but the log ends with 1"):
        await ours.reach(5, ours=True)


async def test_a_decision_that_was_changed_or_taken_away_breaks_the_log() -> None:
    cluster = InMemoryCluster()
    log = DecisionLog(cluster, "d", "desk", "u1")
    for name in ("dates", "cron", "poems"):
        await log.append(entry(await log.state(), name))
    cluster.delete(DECISION, "d", "desk-000000000002")
    log.forget()
    with pytest.raises(LogBroken, match="decision 3 follows 1"):
        await log.state()
    await cluster.patch(DECISION, "d", "desk-000000000003", {"spec": {"message": "another"}})
    cluster.delete(DECISION, "d", "desk-000000000001")
    with pytest.raises(LogBroken):
        await log.state()


async def test_an_entry_survives_its_way_through_an_object() -> None:
    original = sealed(entry(LogState()))
    assert to_entry(to_body(original, "u1") | {"kind": "Decision"}) == original
