"""The log's copy in the store: entry by entry, then sealed, after which objects go; and the way back."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from modelecology.api.population import Population
from modelecology.api.vocabulary import Action, Outcome, State
from modelecology.governance.chain import Chain, entry_of_line
from modelecology.governance.log import Entry, LogBroken, LogState, Subject, fold
from modelecology.governance.segments import Signature
from modelecology.governance.verify import Copy, verify
from modelecology.kube.cluster import DECISION, POPULATION
from modelecology.kube.decisions import DecisionLog, LogOutOfReach, to_entry
from modelecology.kube.errors import Refused
from modelecology.reconcile import sealing
from modelecology.reconcile.log_copy import LogCopy
from modelecology.store import ArtifactStore, KeyUnusable, StoreUnavailable
from modelecology.store.logs import StoredLog, stored_logs

from .stage import NAMESPACE, START, Stage, live

NOW = START
SMALL = {"retain": 100, "segment": 10}


def held(state: LogState, name: str = "poems") -> Entry:
    """The next decision, one that changes nothing."""
    return Entry(
        population="desk",
        sequence=state.sequence + 1,
        time=NOW,
        subject=Subject(name, f"uid-{name}", "a" * 12),
        action=Action.HOLD,
        from_state=State.PENDING,
        to=State.PENDING,
        outcome=Outcome.INCONCLUSIVE,
        reason="InsufficientEvidence",
        actor="operator",
        previous=state.digest,
        message="äöü",
    )


def desk(stage: Stage) -> Population:
    """The population as the operator knows it."""
    found = stage.runtime.cache.population(NAMESPACE, "desk")
    assert found is not None
    return found


async def grow(stage: Stage, count: int) -> None:
    """Let the log grow by decisions that change nothing."""
    log = stage.runtime.log(desk(stage))
    for _ in range(count):
        await log.append(held(await log.state()))


def uid(stage: Stage) -> str:
    return str(stage.get("desk", POPULATION)["metadata"]["uid"])


def stored(stage: Stage) -> StoredLog:
    return StoredLog(stage.store.files, uid(stage))


async def objects(stage: Stage) -> list[Entry]:
    found = [to_entry(b) for b in await stage.cluster.list(DECISION, NAMESPACE)]
    return sorted(found, key=lambda e: e.sequence)


async def small(stage: Stage) -> None:
    """A desk whose log is sealed soon."""
    await stage.apply_desk()
    population = stage.get("desk", POPULATION)
    population["spec"]["log"] = SMALL
    await stage.apply(population)
    await stage.settle()


async def test_every_entry_is_in_the_store_as_soon_as_it_is_recorded(stage: Stage) -> None:
    await live(stage)
    kept = [entry_of_line(line, "a line") for line in stored(stage).lines()]
    assert kept == await objects(stage)
    assert [(w.uid, w.population) for w in stored_logs(stage.store.files)] == [(uid(stage), "desk")]


async def test_what_could_not_be_copied_is_copied_later_in_its_order(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.apply_desk()

    def fails(*_: object) -> None:
        raise StoreUnavailable("The store failed while creating; mount it.")

    with monkeypatch.context() as patch:
        patch.setattr(StoredLog, "keep", fails)
        await stage.apply(stage.manifests.specialist("dates", "dates", 0.6))
        await stage.settle()
        assert stage.state("dates") == "Live Serving"
        assert stored(stage).contents().length == 0
    await stage.settle(20.0)
    assert stored(stage).contents().whole == (await stage.log()).sequence > 0


async def test_what_is_older_than_asked_for_is_sealed_and_pruned_and_the_operator_goes_on(
    stage: Stage,
) -> None:
    await small(stage)
    await stage.apply(stage.manifests.specialist("dates", "dates", 0.6))
    await stage.settle()
    await grow(stage, 135)
    await stage.settle(20.0)
    contents = stored(stage).contents()
    total = (await stage.runtime.log_state(desk(stage))).sequence
    assert contents.sealed == (total - 100) // 10 * 10
    left = await objects(stage)
    assert [e.sequence for e in left] == list(range(contents.sealed + 1, total + 1))
    assert min(contents.entries) == contents.sealed + 1
    await stage.restart()
    await stage.want("dates", "Retired")
    assert stage.state("dates") == "Retired Retired"
    chain = Chain()
    for line in stored(stage).lines():
        chain.follow(line)
    last = (await objects(stage))[-1]
    assert (chain.sequence, chain.digest) == (last.sequence, last.digest)
    assert last.sequence > total


async def test_a_pruned_log_waits_without_the_store_and_says_so(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await small(stage)
    await stage.apply(stage.manifests.specialist("dates", "dates", 0.6))
    await stage.settle()
    await grow(stage, 120)
    await stage.settle(20.0)

    def fails(*_: object) -> None:
        raise StoreUnavailable("The store's root is not there; mount it.")

    with monkeypatch.context() as patch:
        patch.setattr(StoredLog, "contents", fails)
        await stage.restart()
        await stage.settle()
        assert stage.condition("desk", POPULATION)["reason"] == "StoreUnavailable"
    await stage.settle(60.0)
    assert stage.condition("desk", POPULATION)["reason"] == "Ready"


async def test_an_object_that_differs_from_its_sealed_entry_is_not_deleted(stage: Stage) -> None:
    await small(stage)
    await grow(stage, 110)
    copy = stage.runtime.log_copy(desk(stage))
    forged = [replace(e, message="All is well.") for e in await objects(stage)]
    with pytest.raises(LogBroken, match="decision 1 was changed"):
        copy.seal(forged, 10)
    assert stored(stage).contents().segments == ()


async def test_an_end_that_the_cluster_lost_is_found_by_the_copy(stage: Stage) -> None:
    await live(stage)
    last = (await objects(stage))[-1]
    stage.cluster.delete(DECISION, NAMESPACE, f"desk-{last.sequence:012d}")
    log = DecisionLog(
        stage.cluster,
        NAMESPACE,
        "desk",
        uid(stage),
        LogCopy(lambda: stage.store, uid(stage), NAMESPACE, "desk"),
    )
    with pytest.raises(LogBroken, match=f"keeps {last.sequence} decisions, but the log ends with"):
        await log.state()


async def test_a_rebuilt_log_is_not_read_without_the_store(tmp_path: Path, stage: Stage) -> None:
    gone = ArtifactStore.open(f"file://{tmp_path}/nowhere")
    for rebuilt in (False, True):
        archive = LogCopy(lambda: gone, "u1", NAMESPACE, "desk")
        log = DecisionLog(stage.cluster, NAMESPACE, "desk", "u2", archive, rebuilt=rebuilt)
        if rebuilt:
            with pytest.raises(LogOutOfReach):
                await log.state()
        else:
            assert (await log.state()).sequence == 0


async def test_a_pruning_that_was_cut_short_goes_on_where_it_was(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await small(stage)
    await grow(stage, 150)
    with monkeypatch.context() as patch:
        patch.setattr(sealing, "MOST_DELETIONS", 3)
        await stage.runtime.log(desk(stage)).state()
        await sealing.tend_log(stage.runtime, desk(stage))
    assert (await objects(stage))[0].sequence == 4
    await stage.restart()
    await stage.settle(20.0)
    assert (await objects(stage))[0].sequence == 51
    everything = fold(entry_of_line(line, "a line") for line in stored(stage).lines())
    assert everything == await stage.runtime.log_state(desk(stage))


async def test_without_the_right_to_delete_the_log_is_sealed_all_the_same(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: object) -> None:
        raise Refused("decisions is forbidden")

    await small(stage)
    await grow(stage, 120)
    monkeypatch.setattr(type(stage.cluster), "remove", refused)
    await stage.settle(20.0)
    assert stored(stage).contents().sealed == 20
    assert (await objects(stage))[0].sequence == 1
    assert stage.condition("desk", POPULATION)["reason"] == "Ready"


def sign(statement: bytes) -> Signature:
    """A key of the test."""
    return Signature("sha256:" + "a" * 64, hashlib.sha512(statement).hexdigest())


def check(statement: bytes, value: bytes) -> bool:
    return value == hashlib.sha512(statement).digest()


async def test_with_a_key_every_segment_is_signed_for_this_log(stage: Stage) -> None:
    stage.runtime.sign = sign
    await small(stage)
    await grow(stage, 130)
    await stage.settle(20.0)
    log = stored(stage)
    copy = Copy(log.sealed(), log.contents().entries, log.line, uid(stage))
    whole = verify(None, copy, keys={"sha256:" + "a" * 64: check})
    assert (whole.segments, whole.signed, whole.signed_to) == (3, 3, 30)
    assert (await objects(stage))[0].sequence == 31


async def test_nothing_is_sealed_while_the_key_cannot_be_used_and_everything_once_it_can(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_: bytes) -> Signature:
        raise KeyUnusable("The key file /a/key.pem cannot be read: No such file or directory.")

    stage.runtime.sign = fails
    await small(stage)
    await grow(stage, 120)
    await stage.settle(20.0)
    assert stored(stage).contents().segments == ()
    assert stage.condition("desk", POPULATION)["reason"] == "Ready"
    told = [r.message for r in caplog.records if "/a/key.pem cannot be read" in r.message]
    assert len(told) == 1
    await stage.restart()
    stage.runtime.sign = sign
    await stage.settle(20.0)
    assert stored(stage).contents().sealed == 20
