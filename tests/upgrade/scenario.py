"""A desk in which one specialist stands in each state: what a release leaves to the next one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from modelecology.api.vocabulary import APPROVE_ANNOTATION, RETRY_ANNOTATION
from modelecology.engines.double import Lie
from modelecology.jobs.port import JobFailure
from modelecology.kube.cluster import SPECIALIST
from testbed.playbook import Playbook

from ..reconcile.stage import NAMESPACE, Stage

PLAYBOOK = Playbook(
    generalist={"dates": 0.05, "capitals": 0.9, "french": 0.02, "everyday": 0.75},
    specialists={
        "asked": {"dates": 0.97, "everyday": 0.78},
        "dates": {"dates": 0.8, "everyday": 0.78},
        "deleted": {"dates": 0.8, "everyday": 0.78},
        "french": {"french": 0.08, "everyday": 0.76},
        "hasty": {"dates": 0.9, "everyday": 0.05},
        "held": {"dates": 0.95, "everyday": 0.78},
        "older": {"dates": 0.3, "everyday": 0.76},
        "older#1000": {"dates": 0.5, "everyday": 0.76},
        "quarantined": {"dates": 0.8, "everyday": 0.78},
        "retired": {"dates": 0.8, "everyday": 0.78},
        "shelved": {"dates": 0.8, "everyday": 0.78},
    },
)
_NEVER = 1_000_000
_HOUR = timedelta(hours=1)
Object = dict[str, Any]


async def play(stage: Stage) -> None:
    """Bring a desk to a moment at which every state has its specialist, mostly named after it."""
    stage.runner._effect = PLAYBOOK.effect
    await stage.apply(stage.manifests.suite(), _population(stage))
    await stage.settle()
    await stage.apply(*_without_frame(stage))
    await _past(stage)
    await _resting(stage)
    await _on_the_way(stage)


async def _past(stage: Stage) -> None:
    """What was live once: one deleted after its undo window, one retired, one put out of service."""
    await _live(stage, "deleted", 0.6)
    await stage.want("deleted", "Retired")
    await stage.pass_time(26 * _HOUR)
    await _live(stage, "retired", 0.6)
    await stage.want("retired", "Retired")
    stage.engine.lies = {Lie.LoadServesBase}
    await _apply(stage, "quarantined", 0.6)
    stage.engine.lies = set()


async def _resting(stage: Stage) -> None:
    """What rests: two live ones, one of them in its second revision, and all kinds of refusals and waits."""
    await _live(stage, "older", 0.2)
    await _live(stage, "older", 0.4, seed=1000)
    await _live(stage, "dates", 0.6)
    await _apply(stage, "asked", 0.95)
    await _apply(stage, "capitals", 0.85)
    await _apply(stage, "french", 0.5)
    await _apply(stage, "hasty", 0.95)
    await _apply(stage, "shelved", 0.95)
    stage.runner.fail("train-", JobFailure("TrainingDiverged", "The loss is not finite at step 3.", False))
    await _apply(stage, "failed", 0.95)
    stage.runner.fail("train-", JobFailure("InternalError", "A worker died.", True), times=4)
    await _annotate(stage, "failed", RETRY_ANNOTATION, "ada@2026-03-02T16:00:00Z")
    await stage.settle(120.0)
    held = stage.manifests.specialist("held", "dates", 0.95)
    held["spec"]["lifecycle"] = {"target": "Shadow"}
    await stage.apply(held)
    await stage.settle()


async def _on_the_way(stage: Stage) -> None:
    """What is at work when the next release comes: an evaluation, a training, and one that is queued."""
    await stage.apply(stage.manifests.specialist("evaluating", "dates", 0.95))
    await stage.settle(1.0, work=False)
    stage.runner.slow_down(_NEVER)
    (training,) = stage.runner.unfinished()
    stage.runner.finish(training)
    stage.runtime.job_changed(training)
    await stage.settle(1.0, work=False)
    await stage.apply(stage.manifests.specialist("training", "dates", 0.95))
    await stage.settle(1.0, work=False)
    await stage.apply(stage.manifests.specialist("waiting", "dates", 0.95))
    await stage.settle(12.0, work=False)


async def _apply(stage: Stage, name: str, target: float, seed: int | None = None) -> None:
    task = name if name in PLAYBOOK.generalist else "dates"
    await stage.apply(stage.manifests.specialist(name, task, target, seed))
    await stage.settle(20.0)


async def _live(stage: Stage, name: str, target: float, seed: int | None = None) -> None:
    await _apply(stage, name, target, seed)
    revision = stage.status(name)["candidate"]["revision"]
    await _annotate(stage, name, APPROVE_ANNOTATION, f"{revision}/ada@2026-03-02T12:00:00Z")


async def _annotate(stage: Stage, name: str, annotation: str, value: str) -> None:
    patch = {"metadata": {"annotations": {annotation: value}}}
    await stage.cluster.patch(SPECIALIST, NAMESPACE, name, patch)
    await stage.settle()


def _population(stage: Stage) -> Object:
    """A population that sets every field of its policy."""
    population = stage.manifests.population(
        confidence=0.95,
        minimumGap=0.05,
        viability={"threshold": "1", "horizon": "720h", "requestsPerDay": 2000},
        prices={"gpuHour": "2.00", "cpuHour": "0.05", "gibHour": "0.01"},
        shadow={"minimumScored": 30, "maximumDuration": "24h"},
        promotion={"mode": "Manual"},
        retirement={"undoWindow": "24h"},
        budget={"window": "720h", "gpuHours": "10", "cpuHours": "50"},
    )
    population["spec"]["serving"]["capacity"] = {"adapters": 6, "maxRank": 16}
    return population


def _without_frame(stage: Stage) -> tuple[Object, ...]:
    """A population without its suite, a specialist that waits with it, and one without a population."""
    population = stage.manifests.population()
    population["metadata"]["name"] = "without-suite"
    population["spec"]["suiteRef"] = {"name": "to-come"}
    unsuited, orphan = (stage.manifests.specialist(name, "dates", 0.6) for name in ("unsuited", "orphan"))
    unsuited["spec"]["populationRef"] = {"name": "without-suite"}
    orphan["spec"]["populationRef"] = {"name": "to-come"}
    orphan["spec"]["source"] = {
        "artifact": {"uri": "store:///given/orphan", "digest": "sha256:" + "e" * 64},
    }
    orphan["spec"]["resources"] = {"cpu": "500m", "memory": "4Gi", "gpu": 1}
    return population, unsuited, orphan
