"""At rest nothing is written, a transition is one write, and nothing is kept of what is over."""

from __future__ import annotations

from modelecology.kube.cluster import POPULATION, SPECIALIST
from modelecology.reconcile.queue import WorkKey
from modelecology.store import Progress

from .stage import NAMESPACE, Stage, live


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
    assert len(decisions) == 5  # propose, evaluate, prove, admit, promote
    assert len(statuses) <= len(decisions) + 3  # waiting for the generalist's results, and the proof
    assert len(patches) == 1  # the finalizer


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
