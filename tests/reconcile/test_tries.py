"""Each try of a job is its own: no old failure is taken for a new one, and nothing runs that nobody wants."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from modelecology.jobs.port import JobFailure, JobPhase
from modelecology.kube.cluster import POPULATION, SPECIALIST
from modelecology.kube.errors import NotFound
from modelecology.reconcile import worker
from modelecology.reconcile.queue import WorkKey
from modelecology.reconcile.runtime import Runtime

from .stage import NAMESPACE, Stage, live

NOT_FOUND = JobFailure("DataNotFound", "There is no file at /x.", False)
SEED = sum(b"dates")


def trainings(stage: Stage) -> list[str]:
    return [name for name in stage.runner.names() if name.startswith("train-")]


def at_work(stage: Stage) -> list[str]:
    return [name for name in stage.runner.unfinished() if name.startswith("train-")]


async def in_training(stage: Stage, jobs: dict[str, Any] | None = None, **policy: Any) -> str:
    """Bring `dates` to its training and give the job's name; the generalist is evaluated by then."""
    population = stage.manifests.population(**policy)
    population["spec"]["jobs"].update(jobs or {})
    await stage.apply(stage.manifests.suite(), population)
    await stage.settle()
    await stage.apply(stage.manifests.specialist("dates", "dates", 0.6))
    await stage.settle(1.0, work=False)
    (job,) = at_work(stage)
    return job


async def test_a_specialist_that_is_applied_anew_runs_anew_and_does_not_inherit_a_failure(
    stage: Stage,
) -> None:
    stage.runner.fail("train-", NOT_FOUND)
    await stage.apply_desk(stage.manifests.specialist("dates", "dates", 0.6))
    assert stage.state("dates") == "Failed DataNotFound"
    stage.cluster.delete(SPECIALIST, NAMESPACE, "dates")
    await stage.settle()
    await stage.apply(stage.manifests.specialist("dates", "dates", 0.6))
    await stage.settle()
    assert stage.state("dates") == "Live Serving"
    assert len(trainings(stage)) == 2


async def test_a_specialist_of_the_same_key_does_not_inherit_a_failure(stage: Stage) -> None:
    stage.runner.fail("train-", NOT_FOUND)
    await stage.apply_desk(stage.manifests.specialist("dates", "dates", 0.6))
    await stage.apply(stage.manifests.specialist("twin", "dates", 0.6, seed=SEED))
    await stage.settle()
    assert stage.state("dates") == "Failed DataNotFound"
    assert stage.state("twin") == "Live Serving"


async def test_old_failures_do_not_use_up_the_attempts_of_a_new_object(stage: Stage) -> None:
    stage.runner.fail("train-", JobFailure("InternalError", "A worker died.", True), times=4)
    await stage.apply_desk(stage.manifests.specialist("dates", "dates", 0.6))
    await stage.settle(200.0)
    assert stage.state("dates") == "Failed AttemptsExhausted"
    stage.cluster.delete(SPECIALIST, NAMESPACE, "dates")
    await stage.settle()
    await stage.apply(stage.manifests.specialist("dates", "dates", 0.6))
    await stage.settle()
    assert stage.state("dates") == "Live Serving"


async def test_what_is_being_made_for_one_is_waited_for_and_adopted_by_another(stage: Stage) -> None:
    await in_training(stage)
    await stage.apply(stage.manifests.specialist("twin", "dates", 0.6, seed=SEED))
    await stage.settle(1.0, work=False)
    assert stage.state("twin") == "Training Queued"
    assert "dates" in stage.condition("twin")["message"]
    assert len(trainings(stage)) == 1
    await stage.settle(30.0)
    assert len(trainings(stage)) == 1
    assert "Evaluate ArtifactAdopted" in await stage.actions("twin")


async def test_one_that_waits_for_the_job_of_another_runs_its_own_when_that_one_is_ended(
    stage: Stage,
) -> None:
    job = await in_training(stage)
    await stage.apply(stage.manifests.specialist("twin", "dates", 0.6, seed=SEED))
    await stage.settle(1.0, work=False)
    patch = {"spec": {"lifecycle": {"target": "Retired"}}}
    await stage.cluster.patch(SPECIALIST, NAMESPACE, "dates", patch)
    await stage.settle(1.0, work=False)
    await stage.settle(30.0)
    assert stage.runner.cancels(job) == 1
    assert stage.state("twin") == "Live Serving"


@pytest.mark.parametrize("down", [False, True])
async def test_a_changed_source_ends_the_training_that_nobody_wants_any_more(
    stage: Stage, down: bool
) -> None:
    old = await in_training(stage)
    await stage.apply(stage.manifests.specialist("dates", "dates", 0.6, seed=99))
    if down:
        await stage.restart()
    await stage.settle(1.0, work=False)
    (new,) = at_work(stage)
    assert new != old
    assert stage.runner.cancels(old) == 1
    assert stage.runtime.slots.held((NAMESPACE, "desk")) == 1


async def test_a_job_that_was_ended_and_is_wanted_again_has_not_failed(stage: Stage) -> None:
    await in_training(stage)
    while "live" not in stage.status("dates"):
        stage.runner.finish()
        await stage.settle(30.0, work=False)
    (rest,) = stage.runner.unfinished()
    for target in ("Retired", "Live"):
        patch = {"spec": {"lifecycle": {"target": target}}}
        await stage.cluster.patch(SPECIALIST, NAMESPACE, "dates", patch)
        await stage.settle(1.0, work=False)
    assert stage.runner.cancels(rest) == 1
    (again,) = stage.runner.unfinished()
    assert again.startswith(rest)
    await stage.settle()
    assert stage.state("dates") == "Live Serving"
    assert not [said for said in stage.told("desk") if "InternalError" in said]


@pytest.mark.parametrize("down", [False, True])
async def test_with_its_specialist_a_training_ends_that_nobody_wants_any_more(
    stage: Stage, down: bool
) -> None:
    job = await in_training(stage)
    stage.cluster.delete(SPECIALIST, NAMESPACE, "dates")
    if down:
        await stage.restart()
    await stage.settle(1.0, work=False)
    assert stage.runner.cancels(job) == 1
    assert not stage.runner.unfinished()


async def test_an_evaluation_that_an_earlier_process_began_is_ended_with_its_revision(stage: Stage) -> None:
    await in_training(stage)
    stage.runner.finish()
    await stage.settle(30.0, work=False)
    (old,) = stage.runner.unfinished()
    assert old.startswith("evaluate-")
    await stage.apply(stage.manifests.specialist("dates", "dates", 0.6, seed=99))
    await stage.restart()
    await stage.settle(1.0, work=False)
    assert stage.runner.cancels(old) == 1
    assert at_work(stage)


async def test_a_job_that_has_committed_is_left_to_end_by_itself(stage: Stage) -> None:
    job = await in_training(stage)
    spec = stage.runner.spec(job)
    assert spec is not None
    stage.runner._effect(spec)  # type: ignore[misc]  # it commits, and has yet to end
    stage.runtime.job_changed(job)
    await stage.settle(1.0, work=False)
    assert stage.status("dates")["state"] == "Evaluating"
    assert stage.runner.cancels(job) == 0


async def test_a_candidate_is_asked_only_what_its_verdict_waits_for(stage: Stage) -> None:
    suite = stage.manifests.suite()
    for task in suite["spec"]["tasks"]:
        if task["role"] == "Invariant":
            task["scope"] = "Routed"
    await stage.apply(suite, stage.manifests.population(), stage.manifests.specialist("dates", "dates", 0.6))
    await stage.settle()
    assert stage.state("dates") == "Live Serving"
    specs = [stage.runner.spec(name) for name in stage.runner.names() if name.startswith("evaluate-")]
    intents = [json.loads(spec.intent_json) for spec in specs if spec is not None]
    asked = [task["task"] for intent in intents if intent["adapter"] for task in intent["tasks"]]
    assert set(asked) == {"dates"}


async def test_something_that_is_not_found_does_not_stop_the_looks_at_what_is_there(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await live(stage)

    async def gone(_runtime: Runtime, _key: WorkKey) -> None:
        raise NotFound("a Decision")

    for kind in (SPECIALIST.kind, POPULATION.kind):
        monkeypatch.setitem(worker._STAGES, kind, gone)
    stage.runtime.queue = type(stage.runtime.queue)(stage.clock.monotonic)
    await worker.look(stage.runtime, WorkKey("Specialist", NAMESPACE, "nobody"))
    await worker.look(stage.runtime, WorkKey("Population", NAMESPACE, "nobody"))
    assert stage.runtime.queue.next_due() is None
    await worker.look(stage.runtime, WorkKey("Specialist", NAMESPACE, "dates"))
    assert stage.runtime.queue.next_due() is not None
    stage.runtime.queue = type(stage.runtime.queue)(stage.clock.monotonic)
    await worker.look(stage.runtime, WorkKey("Population", NAMESPACE, "desk"))
    assert stage.runtime.queue.next_due() is not None


@pytest.mark.parametrize("reason", ["InternalError", "DeadlineExceeded", "EvidenceError"])
async def test_a_broken_judge_of_the_generalist_is_told_to_those_who_wait_for_it(
    stage: Stage, reason: str
) -> None:
    stage.runner.fail("evaluate-", JobFailure(reason, "The scorer broke.", True))
    await stage.apply(
        stage.manifests.suite(),
        stage.manifests.population(),
        stage.manifests.specialist("dates", "dates", 0.6),
    )
    await stage.settle(2.0)
    assert stage.state("dates") == f"Pending {reason}"
    assert "The scorer broke." in stage.condition("dates")["message"]
    assert stage.told("dates").count(reason) == 1
    await stage.settle(30.0)
    assert stage.state("dates") == "Live Serving"


async def test_a_job_that_never_starts_is_ended_and_given_up_in_time(stage: Stage) -> None:
    job = await in_training(stage, {"deadline": "60s", "retries": 1})
    await stage.settle(55.0, work=False)
    assert stage.state("dates") == "Training Training"
    await stage.settle(20.0, work=False)
    assert stage.state("dates") == "Training Backoff"
    assert stage.runner.cancels(job) == 1
    assert stage.runtime.slots.held((NAMESPACE, "desk")) == 0
    await stage.settle(120.0, work=False)
    assert stage.state("dates") == "Failed AttemptsExhausted"
    assert "Ray has no room for" in stage.condition("dates")["message"]
    assert not stage.runner.unfinished()
    (record,) = (await stage.log()).specialists.values()
    assert record.spent.cpu_seconds == 0  # what never ran costs nothing


async def test_a_job_that_hangs_past_its_deadline_is_ended_and_charged(stage: Stage) -> None:
    stage.runner.slow_down(1_000_000)
    population = stage.manifests.population()
    population["spec"]["jobs"]["deadline"] = "60s"
    await stage.apply(stage.manifests.suite(), population)
    await stage.settle(1.0, work=False)
    (job,) = stage.runner.unfinished()  # the evaluation of the generalist
    stage.runner.step()
    await stage.settle(400.0, work=False)
    assert stage.runner.cancels(job) == 0
    await stage.settle(60.0, work=False)
    assert stage.runner.cancels(job) == 1


async def test_a_failed_try_is_charged_the_time_that_it_ran_and_not_the_time_that_it_waited(
    stage: Stage,
) -> None:
    job = await in_training(stage)
    stage.runner.fail(job, NOT_FOUND)
    await stage.settle(1000.0, work=False)
    stage.runner.step(job)
    stage.clock.seconds += 10.0
    stage.runner.step(job)
    status = await stage.runner.status(job)
    assert status is not None
    assert status.phase is JobPhase.Failed
    assert status.ran_seconds == 10.0
    spec = stage.runner.spec(job)
    assert spec is not None
    await stage.settle(30.0)
    assert stage.state("dates") == "Failed DataNotFound"
    (record,) = (await stage.log()).specialists.values()
    assert record.spent.cpu_seconds == Decimal(10) * Decimal(str(spec.cpus))


async def test_a_trial_under_way_counts_against_the_budget(stage: Stage) -> None:
    await in_training(stage, budget={"window": "720h", "cpuHours": "0.25"})
    await stage.apply(stage.manifests.specialist("plain", "dates", 0.6))
    await stage.settle(1.0, work=False)
    assert stage.state("plain") == "Pending BudgetSpent"
    patch = {"spec": {"lifecycle": {"target": "Retired"}}}
    await stage.cluster.patch(SPECIALIST, NAMESPACE, "dates", patch)
    await stage.settle(1.0, work=False)
    await stage.pass_time(timedelta(hours=1))
    assert (await stage.actions("plain"))[0] == "Propose GapProven"


async def test_two_spellings_of_one_store_are_one_store(stage: Stage) -> None:
    key, _ = await live(stage)
    other = stage.manifests.population()
    other["metadata"]["name"] = "other"
    other["spec"]["store"]["uri"] += "//"
    await stage.apply(other)
    frame = await stage.runtime.frame(NAMESPACE, "other")
    assert key in await stage.runtime.places(frame)
