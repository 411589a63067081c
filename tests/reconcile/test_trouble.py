"""Trouble around the operator, over doubles and a clock that the test moves."""

from __future__ import annotations

import pytest

from modelecology.engines.double import Lie
from modelecology.jobs.port import JobFailure, JobPhase, JobStatus
from modelecology.kube.cluster import DECISION, POPULATION, SPECIALIST, SUITE
from modelecology.reconcile.queue import WorkKey

from .stage import NAMESPACE, Stage, live


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
    (told,) = [t.event for t in stage.cluster.events if "Released" in t.event.message]
    assert told.warning
    assert "http://127.0.0.1:2" in told.message


async def test_a_population_that_is_deleted_ends_the_jobs_of_its_specialists(stage: Stage) -> None:
    await live(stage)
    await stage.apply(stage.manifests.specialist("french", "french", 0.5))
    await stage.settle(1.0, work=False)
    (job,) = stage.runner.unfinished()
    stage.engine.down = True
    stage.cluster.delete(POPULATION, NAMESPACE, "desk")
    await stage.settle(0.01, work=False)
    assert stage.runner.cancels(job) == 1
    assert stage.runner.unfinished() == []


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
    assert stage.state("french") == "Shelved ProofNotPassed"
    assert all(stage.runner.effects(n) == 1 for n in stage.runner.names())


async def test_an_operator_that_fell_behind_the_log_catches_up_before_it_judges(stage: Stage) -> None:
    await live(stage)
    stale = stage.runtime
    await stage.restart()
    await stage.want("dates", "Retired")
    frame = await stale.frame(NAMESPACE, "desk")
    assert frame.log.sequence == 5
    for kind in (POPULATION, SPECIALIST):
        for body in await stage.cluster.list(kind, None):
            stale.cache.put(kind, body)
    assert (await stale.frame(NAMESPACE, "desk")).log.sequence == (await stage.log()).sequence
    await stale.stop_tasks()


async def test_a_lost_end_of_the_log_is_told_and_nothing_is_decided(stage: Stage) -> None:
    await live(stage)
    stage.cluster.delete(DECISION, NAMESPACE, "desk-000000000005")
    await stage.restart()
    await stage.settle()
    assert stage.condition("desk", POPULATION)["reason"] == "LogBroken"
    assert stage.condition("dates")["reason"] == "LogBroken"
    assert stage.status("dates")["state"] == "Live"
    assert len(await stage.cluster.list(DECISION, NAMESPACE)) == 4


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
    assert stage.state("dates") == "Shadow EngineRefused"
    assert "All 0 adapter slots are taken" in stage.condition("dates")["message"]
    told = stage.condition("desk", POPULATION)
    assert (told["status"], told["reason"]) == ("False", "EngineRefused")
    assert "All 0 adapter slots are taken" in told["message"]
    await stage.settle(120.0)
    assert len([call for call in stage.engine.calls if call[0] == "load"]) < 10


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


async def test_what_keeps_the_generalist_from_being_evaluated_is_told_to_those_who_wait_for_it(
    stage: Stage,
) -> None:
    stage.runner.go_down()
    await stage.apply_desk(stage.manifests.specialist("dates", "dates", 0.6))
    assert stage.state("dates") == "Pending RunnerUnavailable"
    assert stage.condition("dates", of="Degraded")["status"] == "True"
    stage.runner.come_back()
    await stage.settle(20.0)
    assert stage.state("dates") == "Live Serving"
    assert stage.told("dates").count("RunnerUnavailable") == 1


async def test_without_its_store_what_serves_still_serves_and_what_was_judged_stays_judged(
    stage: Stage,
) -> None:
    await stage.apply_desk(*stage.manifests.all_specialists())
    store, aside = stage.directory / "store", stage.directory / "aside"
    store.rename(aside)
    await stage.settle(10.0)
    assert stage.condition("desk", POPULATION)["reason"] == "StoreUnavailable"
    assert stage.state("dates") == "Live Serving"
    assert stage.state("french") == "Shelved ProofNotPassed"
    await stage.want("dates", "Retired")
    assert stage.adapters() == []
    aside.rename(store)
    await stage.settle(10.0)
    assert stage.state("dates") == "Retired Retired"


async def test_a_pod_that_the_cluster_does_not_let_in_is_told_as_refused(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "Kubernetes refuses the job's pod: exceeded quota."

    async def status(name: str) -> JobStatus | None:
        known = name in stage.runner.names()
        return JobStatus(name, JobPhase.Pending, said, refused=True) if known else None

    await stage.apply_desk()
    monkeypatch.setattr(stage.runner, "status", status)
    await stage.apply(stage.manifests.specialist("dates", "dates", 0.95))
    await stage.settle(30.0, work=False)
    told = stage.condition("dates")
    assert told["reason"] == "RunnerRefused"
    assert said in told["message"]
    monkeypatch.undo()
    await stage.settle(60.0)
    assert stage.condition("dates")["reason"] == "Serving"


async def test_the_generalists_results_are_acted_upon_while_the_population_is_at_a_slow_engine(
    stage: Stage,
) -> None:
    await stage.apply(
        stage.manifests.suite(),
        stage.manifests.population(),
        stage.manifests.specialist("dates", "dates", 0.95),
    )
    await stage.settle(1.0, work=False)
    queue = stage.runtime.queue
    population = WorkKey("Population", NAMESPACE, "desk")
    queue.add(population)
    assert queue.take() == population  # and it is not given back
    await stage.settle(1.0)
    assert stage.status("dates")["state"] in ("Training", "Evaluating")
