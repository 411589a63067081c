"""Revisions that follow one another: undo windows, superseded ones, and those that share an artifact."""

from __future__ import annotations

from datetime import timedelta

from modelecology.kube.cluster import SPECIALIST

from .stage import NAMESPACE, Stage, live

HOUR = timedelta(hours=1)


async def test_after_its_undo_window_a_retired_revision_is_deleted_with_proof(stage: Stage) -> None:
    key, name = await live(stage)
    await stage.want("dates", "Retired")
    assert stage.state("dates") == "Retired Retired"
    assert stage.store.is_archived(key)
    assert stage.status("dates")["expires"] == "2026-03-08T12:00:08Z"
    await stage.pass_time(167 * HOUR)
    assert stage.store.is_archived(key)
    await stage.pass_time(2 * HOUR)
    assert stage.status("dates")["state"] == "Deleted"
    assert stage.condition("dates")["status"] == "True"
    assert not stage.store.is_archived(key)
    assert stage.store.commit_of(key) is None
    assert ("unload", name) in stage.engine.calls
    assert (await stage.actions("dates"))[-1] == "Delete UndoWindowClosed"
    assert (
        "finalizers" not in stage.get("dates")["metadata"] or not stage.get("dates")["metadata"]["finalizers"]
    )


async def test_a_deleted_revision_that_is_wanted_again_is_made_again(stage: Stage) -> None:
    key, _ = await live(stage)
    await stage.want("dates", "Retired")
    await stage.pass_time(200 * HOUR)
    await stage.want("dates", "Live")
    trainings = [n for n in stage.runner.names() if n.startswith("train-")]
    assert len(trainings) == 2
    assert (await stage.actions("dates")).count("Evaluate ArtifactCommitted") == 2
    assert stage.store.commit_of(key) is not None


async def test_an_older_retired_revision_is_deleted_when_its_window_ends_and_not_an_hour_later(
    stage: Stage,
) -> None:
    await stage.apply_desk(
        stage.manifests.specialist("plain", "dates", 0.6), retirement={"undoWindow": "10m"}
    )
    old = stage.status("plain")["live"]
    await stage.apply(stage.manifests.specialist("plain", "dates", 0.9, seed=1000))
    await stage.settle()
    assert stage.status("plain")["live"]["revision"] != old["revision"]
    assert stage.store.is_archived(old["key"])
    await stage.settle(11 * 60)
    assert not stage.store.is_archived(old["key"])
    assert stage.state("plain") == "Live Serving"


async def test_going_back_to_the_former_source_restores_the_former_revision(stage: Stage) -> None:
    first = stage.manifests.specialist("plain", "dates", 0.6)
    await stage.apply_desk(first)
    old = stage.status("plain")["live"]
    await stage.apply(stage.manifests.specialist("plain", "dates", 0.9, seed=1000))
    await stage.settle()
    new = stage.status("plain")["live"]
    await stage.apply(first)
    await stage.settle()
    assert stage.status("plain")["live"]["revision"] == old["revision"]
    assert stage.state("plain") == "Live Serving"
    assert stage.adapters() == [old["servedName"]]
    assert stage.store.is_archived(new["key"])


async def test_retiring_takes_the_serving_revision_out_though_the_source_changed_too(stage: Stage) -> None:
    await live(stage)
    changed = stage.manifests.specialist("dates", "dates", 0.6, seed=99)
    changed["spec"]["lifecycle"] = {"target": "Retired"}
    await stage.apply(changed)
    await stage.settle()
    assert stage.adapters() == []
    assert stage.status("dates").get("live") is None
    assert stage.condition("dates")["status"] == "True"


async def test_a_changed_source_takes_a_revision_that_is_held_in_shadow_off_the_engine(stage: Stage) -> None:
    held = stage.manifests.specialist("plain", "dates", 0.6)
    held["spec"]["lifecycle"] = {"target": "Shadow"}
    await stage.apply_desk(held)
    assert stage.state("plain") == "Shadow ShadowHeld"
    (old,) = stage.adapters()
    better = stage.manifests.specialist("plain", "dates", 0.6, seed=1000)
    better["spec"]["lifecycle"] = {"target": "Shadow"}
    await stage.apply(better)
    await stage.settle()
    assert stage.state("plain") == "Shadow ShadowHeld"
    (new,) = stage.adapters()
    assert new != old
    assert "Retire Superseded" in await stage.actions("plain")


async def test_a_source_that_changes_while_retired_starts_anew_when_it_is_wanted_again(stage: Stage) -> None:
    await stage.apply_desk(stage.manifests.specialist("plain", "dates", 0.6))
    old = stage.status("plain")["live"]
    await stage.want("plain", "Retired")
    better = stage.manifests.specialist("plain", "dates", 0.6, seed=1000)
    better["spec"]["lifecycle"] = {"target": "Retired"}
    await stage.apply(better)
    await stage.settle()
    assert stage.condition("plain")["status"] == "True"
    assert stage.adapters() == []
    await stage.want("plain", "Live")
    assert stage.state("plain") == "Live Serving"
    assert stage.status("plain")["live"]["revision"] != old["revision"]
    assert stage.store.is_archived(old["key"])


async def test_deleting_one_of_two_that_share_an_artifact_leaves_it_to_the_other(stage: Stage) -> None:
    await stage.apply_desk(stage.manifests.specialist("dates", "dates", 0.6, seed=5))
    await stage.apply(stage.manifests.specialist("twin", "dates", 0.95, seed=5))
    await stage.settle()
    live = stage.status("dates")["live"]
    assert stage.state("twin").startswith("Shelved")
    stage.cluster.delete(SPECIALIST, NAMESPACE, "twin")
    await stage.settle()
    assert not stage.get("twin")
    assert stage.store.commit_of(live["key"]) is not None
    assert stage.state("dates") == "Live Serving"


async def test_a_population_leaves_alone_what_another_of_the_same_store_serves(stage: Stage) -> None:
    await stage.apply_desk(stage.manifests.specialist("dates", "dates", 0.6, seed=5))
    other = stage.manifests.population()
    other["metadata"]["name"] = "second"
    other["spec"]["serving"]["endpoints"] = ["http://127.0.0.1:3"]
    twin = stage.manifests.specialist("twin", "dates", 0.6, seed=5)
    twin["spec"]["populationRef"]["name"] = "second"
    await stage.apply(other, twin)
    await stage.settle()
    assert stage.state("twin") == "Live Serving"
    key = stage.status("dates")["live"]["key"]
    assert stage.status("twin")["live"]["key"] == key
    stage.cluster.delete(SPECIALIST, NAMESPACE, "dates")
    await stage.settle()
    assert not stage.get("dates")
    assert stage.store.commit_of(key) is not None
    stage.cluster.delete(SPECIALIST, NAMESPACE, "twin")
    await stage.settle()
    assert stage.store.commit_of(key) is None


async def test_an_archived_artifact_of_an_equal_key_is_taken_back_and_not_made_again(stage: Stage) -> None:
    key, _ = await live(stage)
    await stage.want("dates", "Retired")
    assert stage.store.is_archived(key)
    await stage.apply(stage.manifests.specialist("twin", "dates", 0.6, seed=sum(b"dates")))
    await stage.settle()
    assert stage.state("twin") == "Live Serving"
    assert stage.status("twin")["live"]["key"] == key
    assert len([n for n in stage.runner.names() if n.startswith("train-")]) == 1
