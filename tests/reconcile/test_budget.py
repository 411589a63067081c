"""A proposal that the budget cannot hold now is parked, and goes on at the moment at which it can."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from modelecology.jobs.port import JobFailure
from modelecology.kube.cluster import POPULATION
from modelecology.reconcile.queue import WorkKey

from .stage import NAMESPACE, START, Stage

DAY = timedelta(hours=24)
DIED = JobFailure("InternalError", "A worker died.", True)


def at_work(stage: Stage) -> list[str]:
    return [name for name in stage.runner.unfinished() if name.startswith("train-")]


async def evaluated(stage: Stage, **budget: Any) -> None:
    """Bring the population to where the generalist is evaluated."""
    await stage.apply(stage.manifests.suite(), stage.manifests.population(budget={"window": "24h", **budget}))
    await stage.settle()


async def begin(stage: Stage, name: str, target: float = 0.6) -> None:
    """Apply a specialist, and let it come to its training or to where it waits."""
    await stage.apply(stage.manifests.specialist(name, "dates", target))
    await stage.settle(1.0, work=False)


async def fail_after(stage: Stage, cpu_seconds: float) -> datetime:
    """Let the one training that runs fail once it has taken so much; gives the time of the decision."""
    (job,) = at_work(stage)
    spec = stage.runner.spec(job)
    assert spec is not None
    stage.runner.fail(job, DIED)
    stage.runner.step(job)
    stage.clock.seconds += cpu_seconds / spec.cpus
    stage.runner.step(job)
    stage.runtime.job_changed(job)
    await stage.settle(1.0, work=False)
    record = next(s for s in (await stage.log()).specialists.values() if s.last and s.last.action == "Retry")
    assert record.last is not None
    return record.last.time


async def proposed(stage: Stage, name: str) -> bool:
    return "Propose GapProven" in await stage.actions(name)


async def go_to(stage: Stage, moment: datetime) -> None:
    """Let time pass until a moment, and look at what is due up to then."""
    end = (moment - START).total_seconds()
    stage.clock.seconds = max(stage.clock.seconds, end - 1.0)
    await stage.settle(end - stage.clock.seconds, work=False)


async def test_a_window_for_two_trainings_parks_the_third_and_resumes_it_when_the_window_moves(
    stage: Stage,
) -> None:
    """What a trial takes here is little; what tells are the failed tries, 0.4 CPU-hours each."""
    await evaluated(stage, cpuHours="0.9")
    await begin(stage, "dates")
    first = await fail_after(stage, 1440.0)
    await stage.settle(30.0)
    assert stage.state("dates") == "Live Serving"
    await stage.pass_time(timedelta(hours=2))
    await begin(stage, "second", 0.95)
    assert await proposed(stage, "second")
    await fail_after(stage, 1440.0)
    await stage.settle(60.0)
    assert stage.state("second").split()[0] == "Shelved"
    await begin(stage, "third", 0.95)
    assert stage.state("third") == "Pending BudgetSpent"
    moment = first + DAY
    assert "of 0.9 are spent in 24 h. " in stage.condition("third")["message"]
    assert f"It goes on at {moment:%Y-%m-%d %H:%M:%S} UTC" in stage.condition("third")["message"]
    assert await stage.actions("third") == []
    await go_to(stage, moment - timedelta(seconds=1))
    assert stage.state("third") == "Pending BudgetSpent"
    assert await stage.actions("third") == []
    await go_to(stage, moment)
    assert await proposed(stage, "third")
    (decision,) = [b for b in (await stage.log()).specialists.values() if b.name == "third"]
    assert decision.last is not None
    assert decision.last.time == moment


async def parked(stage: Stage) -> None:
    """Spend the budget on a training that fails, and let the proposal of `other` wait for more."""
    await evaluated(stage, cpuHours="0.5")
    await begin(stage, "dates")
    await fail_after(stage, 1440.0)
    await stage.settle(30.0)
    await begin(stage, "other", 0.95)
    assert stage.state("other") == "Pending BudgetSpent"


async def test_a_parked_proposal_is_no_failure_and_writes_nothing_while_it_waits(stage: Stage) -> None:
    await parked(stage)
    degraded = stage.condition("other", of="Degraded")
    assert degraded["status"] == "False"
    before = [w for w in stage.cluster.writes if w.name == "other"]
    for _ in range(5):
        await stage.pass_time(timedelta(hours=1))
    assert [w for w in stage.cluster.writes if w.name == "other"] == before


async def test_a_budget_that_is_raised_lets_a_parked_proposal_go_on_at_once(stage: Stage) -> None:
    await parked(stage)
    await stage.apply(stage.manifests.population(budget={"window": "24h", "cpuHours": "5"}))
    await stage.settle(1.0, work=False)
    assert await proposed(stage, "other")


async def test_one_specialist_cannot_spend_what_the_others_are_to_have(stage: Stage) -> None:
    await evaluated(stage, cpuHours="10", perSpecialist={"cpuHours": "0.5"})
    await begin(stage, "dates")
    await fail_after(stage, 1440.0)
    await stage.settle(30.0)
    assert stage.state("dates") == "Live Serving"
    again = stage.manifests.specialist("dates", "dates", 0.95, 7)
    await stage.apply(again)
    await stage.settle(1.0, work=False)
    assert "0.5 of dates are spent in 24 h" in stage.condition("dates")["message"]
    await begin(stage, "other", 0.95)
    assert stage.state("other").split()[0] == "Training"


async def test_the_end_of_a_trial_under_way_wakes_what_waits_for_its_place(stage: Stage) -> None:
    await evaluated(stage, cpuHours="0.25")
    await begin(stage, "dates")
    await begin(stage, "other", 0.95)
    assert stage.state("other") == "Pending BudgetSpent"
    assert "when a trial that is under way has ended" in stage.condition("other")["message"]
    await stage.settle(60.0)
    assert await proposed(stage, "other")


@pytest.mark.parametrize("seconds", [0.0, 600.0])
async def test_a_failed_evaluation_of_the_generalist_counts_too(stage: Stage, seconds: float) -> None:
    await stage.apply(
        stage.manifests.suite(), stage.manifests.population(budget={"window": "24h", "cpuHours": "5"})
    )
    await stage.settle(1.0, work=False)
    (job,) = stage.runner.unfinished()
    stage.runner.fail(job, DIED)
    stage.runner.step(job)
    stage.clock.seconds += seconds
    stage.runner.step(job)
    stage.runtime.queue.add(WorkKey("Population", NAMESPACE, "desk"))
    await stage.settle(60.0)
    await begin(stage, "dates")
    own = (await stage.log()).book.own
    spec = stage.runner.spec(job)
    assert spec is not None
    assert float(own.cpu_seconds) == pytest.approx(7 * 3 + seconds * spec.cpus)
    told = stage.status("desk", POPULATION)["ownLedger"]["cpuSeconds"]
    assert float(told) == float(own.cpu_seconds)
