"""Jobs that have not started: what their Specialist says meanwhile, and when they are given up."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from modelecology.jobs.double import InMemoryRunner
from modelecology.jobs.port import JobPhase, JobStatus
from modelecology.kube.cluster import DECISION
from modelecology.reconcile.act import probe_seconds
from modelecology.reconcile.status import PROGRESS_SECONDS
from tests.jobs.populations import population
from tests.reconcile.stage import NAMESPACE, Stage

_SAID = "The job's pod is not ready: ImagePullBackOff: no such image"


class Telling(InMemoryRunner):
    """A runner that says of trainings what keeps them from starting, while something does."""

    stuck = True

    async def status(self, name: str) -> JobStatus | None:
        status = await super().status(name)
        if status is None or not self.stuck or not name.startswith("train-"):
            return status
        return replace(status, phase=JobPhase.Pending, message=_SAID, failure=None, started=None, ended=None)


async def _stuck(directory: Path) -> tuple[Stage, Telling]:
    stage = Stage(directory)
    runner = Telling(now=lambda: stage.clock.now().timestamp())
    runner._effect = stage.runner._effect
    stage.runner = runner
    await stage.apply_desk()
    await stage.apply(stage.manifests.specialist("dates", "dates", 0.6))
    await stage.settle(float(PROGRESS_SECONDS) + 1, work=False)
    return stage, runner


async def test_a_job_that_does_not_start_says_why(tmp_path: Path) -> None:
    stage, runner = await _stuck(tmp_path)
    assert stage.state("dates") == "Training Queued"
    assert _SAID in stage.condition("dates")["message"]
    runner.stuck = False
    await stage.settle()
    assert stage.state("dates") == "Live Serving"
    await stage.runtime.close()


async def test_a_job_that_never_started_is_given_up_with_what_kept_it(tmp_path: Path) -> None:
    stage, _ = await _stuck(tmp_path)
    stage.clock.seconds += timedelta(hours=2).total_seconds()
    await stage.settle(work=False)
    retries = [a for a in await stage.actions("dates") if a.startswith("Retry")]
    assert retries == ["Retry JobRetried"]
    decisions = await stage.cluster.list(DECISION, NAMESPACE)
    (retry,) = [body["spec"] for body in decisions if body["spec"]["action"] == "Retry"]
    assert _SAID in retry["message"]
    await stage.runtime.close()


def test_a_bucket_is_looked_into_less_often_than_a_directory() -> None:
    assert probe_seconds(population()) == 0.01
    assert probe_seconds(population(store={"uri": "s3://bucket"})) == 0.25
