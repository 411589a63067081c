"""What takes days or chance in a cluster, over doubles and a clock that the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from modelecology.engines.double import Lie
from modelecology.jobs.port import JobFailure
from modelecology.kube.cluster import DECISION, POPULATION, SPECIALIST, SUITE
from modelecology.reconcile.queue import WorkKey
from modelecology.store import Progress

from .stage import NAMESPACE, Stage

HOUR = timedelta(hours=1)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """An operator in memory."""
    found = Stage(tmp_path)
    yield found
    await found.runtime.close()


async def live(stage: Stage, **policy: object) -> tuple[str, str]:
    """Bring `dates` live; gives its key and served name."""
    await stage.apply_desk(stage.manifests.specialist("dates", "dates", 0.6), **policy)
    assert stage.state("dates") == "Live Serving"
    revision = stage.status("dates")["live"]
    return revision["key"], revision["servedName"]


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


async def test_a_serving_revision_that_turns_out_wrong_is_quarantined_while_its_successor_trains(
    stage: Stage,
) -> None:
    _, name = await live(stage)
    await stage.apply(stage.manifests.specialist("dates", "dates", 0.95, seed=99))
    await stage.settle(1.0, work=False)
    assert stage.status("dates")["state"] == "Training"
    stage.engine.restart()
    stage.engine.lies = {Lie.LoadServesBase}
    await stage.settle(20.0, work=False)
    log = await stage.log()
    (record,) = log.specialists.values()
    assert {r.served_name: str(r.state) for r in record.revisions.values()}[name] == "Quarantined"
    assert stage.adapters() == []


async def test_with_the_engine_gone_a_deleted_specialist_is_let_go_in_time_with_an_event(
    stage: Stage,
) -> None:
    _, name = await live(stage)
    stage.engine.down = True
    stage.cluster.delete(SPECIALIST, NAMESPACE, "dates")
    await stage.settle(50.0)
    assert stage.get("dates")
    await stage.settle(15.0)
    assert not stage.get("dates")
    (told,) = [t.event for t in stage.cluster.events if "Released" in t.event.message]
    assert told.warning
    assert name in told.message
    stage.engine.down = False
    await stage.settle(5.0)
    assert stage.adapters() == []  # the population still unloads it when the engine is back


async def test_with_its_suite_gone_a_specialist_can_be_deleted(stage: Stage) -> None:
    await live(stage)
    stage.cluster.delete(SUITE, NAMESPACE, "desk")
    await stage.settle()
    assert stage.condition("dates")["reason"] == "SuiteNotFound"
    stage.cluster.delete(SPECIALIST, NAMESPACE, "dates")
    await stage.settle(70.0)
    assert not stage.get("dates")


async def test_with_the_engine_gone_a_deleted_population_is_let_go_in_time(stage: Stage) -> None:
    await live(stage)
    stage.engine.down = True
    stage.cluster.delete(POPULATION, NAMESPACE, "desk")
    await stage.settle(30.0)
    assert stage.get("desk", POPULATION)
    await stage.settle(40.0)
    assert not stage.get("desk", POPULATION)


async def test_at_rest_nothing_is_written_and_nothing_is_kept_of_jobs_that_ended(stage: Stage) -> None:
    await stage.apply_desk(*stage.manifests.all_specialists())
    await stage.settle(60.0)
    written = len(stage.cluster.writes)
    looks = stage.looks
    for _ in range(10):
        await stage.settle(120.0)
        for name in ("dates", "dates-hasty", "capitals", "french"):
            stage.runtime.queue.add(WorkKey("Specialist", NAMESPACE, name))
    assert stage.looks > looks + 100
    assert stage.cluster.writes[written:] == []
    runtime = stage.runtime
    assert (runtime.running, runtime.waiting) == ({}, {})
    assert runtime.slots.held((NAMESPACE, "desk")) == 0


async def test_a_transition_is_one_decision_and_about_one_status_write(stage: Stage) -> None:
    await live(stage)
    decisions = [w for w in stage.cluster.writes if w.kind == "Decision"]
    statuses = [w for w in stage.cluster.writes if (w.verb, w.kind) == ("patch-status", "Specialist")]
    patches = [w for w in stage.cluster.writes if (w.verb, w.kind) == ("patch", "Specialist")]
    assert len(decisions) == 4
    assert len(statuses) <= len(decisions) + 3  # waiting for the generalist's results, and the proof
    assert len(patches) == 1  # the finalizer


async def test_no_more_jobs_run_than_parallelism_allows_and_a_restart_does_not_forget_them(
    stage: Stage,
) -> None:
    names = ("dates", "dates-hasty", "plain")
    await stage.apply_desk()
    await stage.apply(*(stage.manifests.specialist(name, "dates", 0.6) for name in names))
    await stage.settle(1.0, work=False)
    running = stage.runner.unfinished()
    assert len(running) == 2
    queued = [n for n in names if stage.condition(n)["reason"] == "Queued"]
    assert len(queued) == 1
    await stage.restart()
    # The one that waits is looked at first: it must not take a slot that is taken already.
    stage.runtime.queue = type(stage.runtime.queue)(stage.clock.monotonic)
    stage.runtime.queue.add(WorkKey("Specialist", NAMESPACE, queued[0]))
    await stage.settle(1.0, work=False)
    assert stage.runner.unfinished() == running
    await stage.settle()
    assert {stage.state(n).split()[0] for n in names} <= {"Live", "Shelved", "Rejected", "Pending"}
    assert not stage.runner.unfinished()
    assert stage.runtime.slots.held((NAMESPACE, "desk")) == 0


async def test_a_failing_job_is_tried_again_after_a_pause_and_then_given_up_with_its_reason(
    stage: Stage,
) -> None:
    stage.runner.fail("train-", JobFailure("TrainingDiverged", "The loss is NaN at step 3.", False))
    await stage.apply_desk(stage.manifests.specialist("dates", "dates", 0.6))
    assert stage.state("dates") == "Failed TrainingDiverged"
    assert "The loss is NaN at step 3." in stage.condition("dates")["message"]
    assert stage.condition("dates", of="Degraded")["status"] == "True"
    stage.runner.fail("train-", JobFailure("InternalError", "A worker died.", True), times=1)
    await stage.cluster.patch(
        SPECIALIST, NAMESPACE, "dates", {"metadata": {"annotations": {"modelecology.io/retry": "ada@1"}}}
    )
    await stage.settle(3.0)
    assert stage.state("dates") == "Training Backoff"
    await stage.settle(60.0)
    assert stage.state("dates") == "Live Serving"
    actions = await stage.actions("dates")
    assert "Retry RetryRequested" in actions
    assert "Retry JobRetried" in actions
    log = await stage.log()
    (record,) = log.specialists.values()
    assert record.spent.cpu_seconds > 0


async def test_a_failing_evaluation_of_the_generalist_is_tried_again_without_writes_in_between(
    stage: Stage,
) -> None:
    stage.runner.fail("evaluate-", JobFailure("BaseNotFound", "There is no base at /x.", False), times=2)
    await stage.apply_desk(stage.manifests.specialist("dates", "dates", 0.6))
    said = stage.condition("desk", POPULATION)
    assert said["reason"] == "BaseNotFound"
    assert said["message"].count("There is no base at /x.") == 1
    assert "Mend spec.generalist.model" in said["message"]
    written = len(stage.cluster.writes)
    await stage.settle(4.0)
    assert len(stage.cluster.writes) == written
    await stage.settle(60.0)
    assert stage.state("dates") == "Live Serving"
    assert stage.told("desk").count("BaseNotFound") == 2  # once for each failure


async def test_a_lost_answer_of_the_api_loses_no_decision_and_doubles_none(stage: Stage) -> None:
    await stage.apply_desk()
    await stage.apply(*stage.manifests.all_specialists())
    for _ in range(40):
        stage.cluster.lost_replies = 1
        await stage.settle(0.5)
    stage.cluster.lost_replies = 0
    await stage.settle(120.0)
    await stage.log()
    assert stage.state("dates") == "Live Serving"
    assert stage.state("french") == "Shelved PortfolioGainDoesNotRepayCost"
    assert all(stage.runner.effects(n) == 1 for n in stage.runner.names())


async def test_an_operator_that_fell_behind_the_log_catches_up_before_it_judges(stage: Stage) -> None:
    await live(stage)
    stale = stage.runtime
    await stage.restart()
    await stage.want("dates", "Retired")
    frame = await stale.frame(NAMESPACE, "desk")
    assert frame.log.sequence == 4
    for kind in (POPULATION, SPECIALIST):
        for body in await stage.cluster.list(kind, None):
            stale.cache.put(kind, body)
    assert (await stale.frame(NAMESPACE, "desk")).log.sequence == (await stage.log()).sequence
    await stale.stop_tasks()


async def test_a_lost_end_of_the_log_is_told_and_nothing_is_decided(stage: Stage) -> None:
    await live(stage)
    stage.cluster.delete(DECISION, NAMESPACE, "desk-000000000004")
    await stage.restart()
    await stage.settle()
    assert stage.condition("desk", POPULATION)["reason"] == "LogBroken"
    assert stage.condition("dates")["reason"] == "LogBroken"
    assert stage.status("dates")["state"] == "Live"
    assert len(await stage.cluster.list(DECISION, NAMESPACE)) == 3


async def test_what_is_known_of_a_specialist_and_a_population_goes_with_them(stage: Stage) -> None:
    await stage.apply_desk()
    await stage.apply(stage.manifests.specialist("dates", "dates", 0.6))
    await stage.settle(1.0, work=False)
    assert stage.runtime.running
    # A person takes the finalizer off by force.
    await stage.cluster.patch(SPECIALIST, NAMESPACE, "dates", {"metadata": {"finalizers": None}})
    stage.cluster.delete(SPECIALIST, NAMESPACE, "dates")
    await stage.settle(1.0, work=False)
    runtime = stage.runtime
    assert (runtime.running, runtime.waiting, runtime.progress_at) == ({}, {}, {})
    assert runtime.slots.held((NAMESPACE, "desk")) == 0
    stage.cluster.delete(POPULATION, NAMESPACE, "desk")
    await stage.settle(1.0)
    assert (runtime.ready, runtime.attempts, runtime.counted) == (set(), {}, set())


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


async def test_with_two_engines_one_that_is_down_is_named_and_both_are_proved_in_the_end(
    stage: Stage,
) -> None:
    second = stage.add_engine("http://127.0.0.1:3")
    second.down = True
    population = stage.manifests.population()
    population["spec"]["serving"]["endpoints"] = ["http://127.0.0.1:2", "http://127.0.0.1:3"]
    await stage.apply(stage.manifests.suite(), population, stage.manifests.specialist("dates", "dates", 0.6))
    await stage.settle()
    assert stage.state("dates") == "Shadow EngineUnreachable"
    said = stage.condition("dates")["message"]
    assert said.startswith("1 of 2 replicas do not answer.")
    assert "http://127.0.0.1:3" in said
    assert said.count("Start it or mend serving.endpoints") == 1
    second.down = False
    await stage.settle()
    assert stage.state("dates") == "Live Serving"
    assert sorted(second._adapters) == stage.adapters()


async def test_an_engine_that_refuses_to_load_is_named_with_its_words(stage: Stage) -> None:
    stage.engine = stage.add_engine("http://127.0.0.1:2", capacity=0)
    await stage.apply(
        stage.manifests.suite(),
        stage.manifests.population(),
        stage.manifests.specialist("dates", "dates", 0.6),
    )
    await stage.settle(1.0)
    assert stage.state("dates") == "Shadow Proving"
    assert "All 0 adapter slots are taken" in stage.condition("dates")["message"]


async def test_a_new_version_of_the_workloads_leaves_what_is_served_alone_until_it_is_judged_anew(
    stage: Stage,
) -> None:
    _, name = await live(stage)
    await stage.restart(code="sha256:" + "d" * 64)
    await stage.settle(1.0, work=False)
    assert stage.adapters() == [name]
    await stage.settle(30.0)
    assert stage.state("dates") == "Live Serving"
    assert ("unload", name) not in stage.engine.calls


async def test_a_restarted_operator_finds_everything_at_rest_and_writes_nothing(stage: Stage) -> None:
    await stage.apply_desk(*stage.manifests.all_specialists())
    await stage.apply(stage.manifests.specialist("plain", "dates", 0.6))
    await stage.want("plain", "Retired")
    await stage.settle(60.0)
    assert stage.state("dates") == "Live Serving"
    written = len(stage.cluster.writes)
    await stage.restart()
    await stage.settle(60.0)
    assert stage.cluster.writes[written:] == []


async def test_progress_is_shown_and_written_at_most_every_ten_seconds(stage: Stage) -> None:
    await stage.apply_desk()
    await stage.apply(stage.manifests.specialist("dates", "dates", 0.6))
    await stage.settle(1.0, work=False)
    assert stage.state("dates") == "Training Training"
    key = stage.status("dates")["candidate"]["key"]
    written = len(stage.cluster.writes)
    for step in range(60):
        stage.store.write_progress(
            key, Progress(step=step, total=60, loss=2.0 / (step + 1), eta_seconds=60.0 - step, phase="Train")
        )
        stage.runtime.queue.add(WorkKey("Specialist", NAMESPACE, "dates"))
        await stage.settle(1.0, work=False)
    assert 5 <= len(stage.cluster.writes) - written <= 7
    shown = stage.status("dates")["progress"]
    assert shown["total"] == 60
    assert shown["step"] >= 49
    await stage.settle(30.0)
    assert stage.state("dates") == "Live Serving"
    assert stage.status("dates").get("progress") is None
