"""The ledger is whole: what is held, what was cut short, and what belongs to nobody is charged, each once."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from modelecology.api.decision import Decision
from modelecology.api.vocabulary import RETRY_ANNOTATION
from modelecology.governance.book import GIB
from modelecology.governance.facts import Cost
from modelecology.jobs.port import JobFailure, JobPhase, JobStatus
from modelecology.kube.cluster import DECISION, POPULATION, SPECIALIST, SUITE
from modelecology.reconcile.accounts import at_least, interrupted
from modelecology.store import Cost as StoredCost
from modelecology.store import Progress

from .stage import NAMESPACE, Stage, live

ADAPTER = 5_000_000  # bytes of the double's weights
FILES = ADAPTER + 2  # with its config
DAY = timedelta(hours=24)


async def decisions(stage: Stage, name: str | None = None) -> list[Decision]:
    bodies = await stage.cluster.list(DECISION, NAMESPACE)
    found = sorted((Decision.model_validate(b) for b in bodies), key=lambda d: d.spec.sequence)
    return [d for d in found if name in (None, d.spec.subject.specialist)]


def ledger(stage: Stage, name: str) -> dict[str, Any]:
    found: dict[str, Any] = stage.status(name)["ledger"]
    return found


def gib_hours(size: int, hours: float) -> float:
    return size * hours / GIB


async def retire(stage: Stage, name: str) -> None:
    """Ask for a retirement while the jobs stand still."""
    patch = {"spec": {"lifecycle": {"target": "Retired"}}}
    await stage.cluster.patch(SPECIALIST, NAMESPACE, name, patch)
    await stage.settle(1.0, work=False)


async def training(stage: Stage) -> str:
    await stage.apply(stage.manifests.suite(), stage.manifests.population())
    await stage.settle()
    await stage.apply(stage.manifests.specialist("dates", "dates", 0.6))
    await stage.settle(1.0, work=False)
    (job,) = (name for name in stage.runner.unfinished() if name.startswith("train-"))
    return job


async def test_a_live_specialist_is_charged_its_residence_in_the_status_without_a_decision(
    stage: Stage,
) -> None:
    await live(stage)
    written = len(await decisions(stage))
    for _ in range(14):
        await stage.pass_time(DAY)
    found = ledger(stage, "dates")
    assert len(await decisions(stage)) == written
    hours = 14 * 24
    assert float(found["residentGibHours"]) == pytest.approx(gib_hours(ADAPTER, hours), rel=0.01)
    assert float(found["storedGibHours"]) == pytest.approx(gib_hours(FILES, hours), rel=0.01)
    assert found["until"].endswith(":00:00Z")
    work = float(found["cpuSeconds"]) / 3600 * 0.05
    assert float(found["cost"]) - work == pytest.approx(float(found["residentGibHours"]) / 100, abs=1e-5)
    told = stage.status("desk", POPULATION)["ledger"]
    assert told["until"] == found["until"]
    assert told["residentGibHours"] == found["residentGibHours"]


async def test_the_decision_that_takes_it_out_carries_what_it_held_and_the_archive_is_charged_on(
    stage: Stage,
) -> None:
    await live(stage, retirement={"undoWindow": "48h"})
    (promoted,) = [d for d in await decisions(stage) if d.spec.to == "Live"]
    assert promoted.spec.account is not None
    assert promoted.spec.account.holds is not None
    assert promoted.spec.account.holds.model_dump() == {
        "stored_bytes": FILES,
        "resident_bytes": ADAPTER,
        "replicas": 1,
    }
    await stage.pass_time(10 * DAY)
    await stage.want("dates", "Retired")
    retired = (await decisions(stage))[-1].spec
    seconds = (retired.time - promoted.spec.time).total_seconds()
    resident = retired.cost.resident_gib_hours
    assert resident is not None
    assert float(resident) == pytest.approx(gib_hours(ADAPTER, seconds / 3600))
    assert float(retired.cost.cost) == pytest.approx(float(resident) / 100, abs=1e-6)
    await stage.pass_time(3 * DAY)
    deleted = (await decisions(stage))[-1].spec
    assert deleted.action == "Delete"
    assert deleted.cost.resident_gib_hours is None
    assert deleted.account is not None
    assert deleted.account.holds is None
    kept = (deleted.time - retired.time).total_seconds() / 3600
    assert float(deleted.cost.stored_gib_hours or 0) == pytest.approx(gib_hours(FILES, kept))
    total = ledger(stage, "dates")
    await stage.pass_time(10 * DAY)
    assert ledger(stage, "dates") == total
    assert total.get("until") is None


async def test_an_engine_more_is_charged_from_the_next_decision_on(stage: Stage) -> None:
    await live(stage)
    population = stage.manifests.population()
    population["spec"]["serving"]["endpoints"].append("http://127.0.0.1:3")
    await stage.apply(population)
    await stage.settle()
    await stage.pass_time(DAY)
    resident = float(ledger(stage, "dates")["residentGibHours"])
    assert resident == pytest.approx(gib_hours(ADAPTER, 24), rel=0.05)


async def test_stored_bytes_have_a_price_where_the_policy_gives_one(stage: Stage) -> None:
    await live(stage, prices={"gibHour": "0", "cpuHour": "0", "storedGibHour": "2"})
    await stage.pass_time(DAY)
    found = ledger(stage, "dates")
    assert float(found["cost"]) == pytest.approx(2 * float(found["storedGibHours"]), abs=1e-5)


async def test_the_generalists_results_are_paid_by_the_population_once(stage: Stage) -> None:
    await stage.apply_desk()
    waiting = stage.status("desk", POPULATION)
    assert waiting["ownLedger"]["cpuSeconds"] == waiting["ledger"]["cpuSeconds"] == "21"  # 7 results
    await stage.apply(*stage.manifests.all_specialists())
    await stage.settle(60.0)
    told = [d.spec.account for d in await decisions(stage) if d.spec.account and d.spec.account.population]
    assert len(told[0].population_results) == 7
    keys = [key for account in told for key in account.population_results]
    assert len(set(keys)) == len(keys)
    after = stage.status("desk", POPULATION)
    own = Decimal(after["ownLedger"]["cpuSeconds"])
    assert 21 <= own <= 21 + 6  # and what the one that went live is asked beside its trial
    log = await stage.log()
    assert own - log.book.own.cpu_seconds in (0, 3, 6)  # that waits for the next decision
    by_specialist = sum(s.spent.cpu_seconds for s in log.specialists.values())
    assert Decimal(after["ledger"]["cpuSeconds"]) == by_specialist + own


async def test_a_live_specialist_that_is_evaluated_anew_costs_the_population_and_not_a_candidate(
    stage: Stage,
) -> None:
    await live(stage)
    before = await stage.log()
    await stage.restart("sha256:" + "d" * 64)  # other code of the workloads: all results are made again
    await stage.settle(60.0)
    assert stage.state("dates") == "Live Serving"
    own = Decimal(stage.status("desk", POPULATION)["ownLedger"]["cpuSeconds"])
    assert own == 21 + 21 + 6  # and the specialist's two
    await stage.want("dates", "Retired")
    log = await stage.log()
    assert log.book.own.cpu_seconds == own
    spent = [s.spent.cpu_seconds for s in log.specialists.values()]
    assert spent == [s.spent.cpu_seconds for s in before.specialists.values()]


async def test_results_that_are_judged_again_are_not_paid_again(stage: Stage) -> None:
    await stage.apply_desk(stage.manifests.specialist("dates-hasty", "dates", 0.6))
    assert stage.state("dates-hasty").startswith("Rejected")
    spent = ledger(stage, "dates-hasty")["cpuSeconds"]
    patch = {"metadata": {"annotations": {RETRY_ANNOTATION: "ada@2026-03-01T12:30:00Z"}}}
    await stage.cluster.patch(SPECIALIST, NAMESPACE, "dates-hasty", patch)
    await stage.settle(60.0)
    assert len([a for a in await stage.actions("dates-hasty") if a.startswith("Reject")]) == 2
    assert ledger(stage, "dates-hasty")["cpuSeconds"] == spent


async def test_a_trial_that_its_owner_ends_is_charged_what_its_job_has_reported(stage: Stage) -> None:
    job = await training(stage)
    stage.runner.step(job)
    stage.clock.seconds += 100.0
    key = stage.status("dates")["candidate"]["key"]
    stage.store.write_progress(key, Progress(10, 60, cost=StoredCost(cpu_seconds=77.5, tokens=123)))
    await retire(stage, "dates")
    ended = (await decisions(stage, "dates"))[-1].spec
    assert (ended.action, ended.cost.cpu_seconds, ended.cost.tokens) == ("Retire", Decimal("77.5"), 123)
    assert stage.runner.cancels(job) == 1
    await stage.pass_time(DAY)
    assert ledger(stage, "dates")["cpuSeconds"] == "77.5"


async def test_a_trial_whose_job_has_reported_nothing_is_charged_its_cpus_for_its_time(stage: Stage) -> None:
    job = await training(stage)
    stage.runner.step(job)
    stage.clock.seconds += 100.0
    await stage.apply(stage.manifests.specialist("dates", "dates", 0.6, seed=77))
    await stage.settle(1.0, work=False)
    (gone,) = [d.spec for d in await decisions(stage, "dates") if d.spec.reason == "Superseded"]
    spec = stage.runner.spec(job)
    assert spec is not None
    assert float(gone.cost.cpu_seconds) == pytest.approx(100.0 * spec.cpus, abs=2.0)


async def test_a_trial_whose_specialist_is_deleted_is_charged_too(stage: Stage) -> None:
    job = await training(stage)
    stage.runner.step(job)
    stage.clock.seconds += 100.0
    stage.cluster.delete(SPECIALIST, NAMESPACE, "dates")
    await stage.settle(2.0, work=False)
    gone = (await decisions(stage, "dates"))[-1].spec
    assert gone.action == "Delete"
    assert float(gone.cost.cpu_seconds) == pytest.approx(100.0, abs=2.0)


@pytest.mark.parametrize("end", ["Retire", "Delete", "Supersede"])
async def test_a_training_that_ends_well_when_nobody_wants_it_any_more_is_charged(
    stage: Stage, end: str
) -> None:
    job = await training(stage)
    stage.runner.finish(job)
    if end == "Retire":
        await retire(stage, "dates")
    elif end == "Delete":
        stage.cluster.delete(SPECIALIST, NAMESPACE, "dates")
        await stage.settle(2.0, work=False)
    else:
        await stage.apply(stage.manifests.specialist("dates", "dates", 0.6, seed=77))
        await stage.settle(1.0, work=False)
    gone = next(d.spec for d in await decisions(stage, "dates") if d.spec.action in ("Retire", "Delete"))
    assert gone.cost.cpu_seconds == 12
    if end == "Retire":
        assert gone.account is not None
        assert gone.account.holds is not None
        assert gone.account.holds.stored_bytes == FILES
        # Whoever wants the same is given it, and pays nothing for it.
        await stage.apply(stage.manifests.specialist("twin", "dates", 0.6, seed=sum(b"dates")))
        await stage.settle(60.0)
        assert "Evaluate ArtifactAdopted" in await stage.actions("twin")


async def test_a_trial_that_never_ran_costs_nothing(stage: Stage) -> None:
    await training(stage)
    await stage.settle(600.0, work=False)
    await retire(stage, "dates")
    assert (await decisions(stage, "dates"))[-1].spec.cost.cpu_seconds == 0


async def test_what_was_live_is_charged_also_where_its_suite_is_gone(stage: Stage) -> None:
    await live(stage)
    await stage.pass_time(DAY)
    stage.cluster.delete(SUITE, NAMESPACE, "desk")
    await stage.want("dates", "Retired")
    retired = (await decisions(stage, "dates"))[-1].spec
    assert retired.action == "Retire"
    assert float(retired.cost.resident_gib_hours or 0) == pytest.approx(gib_hours(ADAPTER, 24), rel=0.01)
    assert retired.cost.cost > 0
    assert retired.account is not None
    assert retired.account.holds is not None
    assert retired.account.holds.replicas == 0


async def test_a_report_is_believed_up_to_what_the_job_can_have_taken(stage: Stage) -> None:
    await stage.apply_desk()
    frame = await stage.runtime.frame(NAMESPACE, "desk")
    key = "a" * 64
    stage.store.write_progress(key, Progress(1, 2, cost=StoredCost(cpu_seconds=500.0, gpu_seconds=1.0)))
    start = stage.clock.now().timestamp()
    running = JobStatus("job", JobPhase.Running, submitted=start - 50, started=start - 10)
    now = stage.clock.now()
    assert await interrupted(frame, running, 2.0, 1.0, key, now) == Cost(Decimal(20), Decimal(1))
    ended = JobStatus("job", JobPhase.Cancelled, started=start - 10, ended=start - 5)
    assert await interrupted(frame, ended, 2.0, 0.0, "", now) == Cost(Decimal(10))
    waiting = JobStatus("job", JobPhase.Pending, submitted=start - 50)
    done = JobStatus("job", JobPhase.Succeeded, started=start - 50, ended=start)
    for status in (None, waiting, done):
        assert await interrupted(frame, status, 2.0, 0.0, "", now) == Cost()


def test_of_two_accounts_of_the_same_work_the_greater_counts() -> None:
    one, other = Cost(Decimal(1), Decimal(5), 7), Cost(Decimal(2), Decimal(3), 9)
    assert at_least(one, other) == Cost(Decimal(2), Decimal(5), 9)


async def test_a_training_that_fails_is_charged_once_and_not_as_cut_short(stage: Stage) -> None:
    job = await training(stage)
    stage.runner.fail(job, JobFailure("DataNotFound", "There is no file.", False))
    stage.runner.step(job)
    stage.clock.seconds += 10.0
    stage.runner.step(job)
    await stage.settle(30.0)
    assert stage.state("dates") == "Failed DataNotFound"
    assert Decimal(ledger(stage, "dates")["cpuSeconds"]) == 10
