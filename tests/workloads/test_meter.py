"""How far a job is, and what it has taken until then."""

from __future__ import annotations

from pathlib import Path

from modelecology.store import ArtifactStore, Cost, Progress
from modelecology.workloads.meter import PROGRESS_PAUSE, Meter, ProgressReport

KEY = "a" * 64


def test_a_report_tells_what_the_job_has_taken_so_far(tmp_path: Path) -> None:
    store = ArtifactStore.create(f"file://{tmp_path}")
    seconds = iter((0.0, 10.0, 11.0, 20.0))
    costs = iter((Cost(cpu_seconds=9.0, tokens=5), Cost(cpu_seconds=18.0, tokens=9)))
    report = ProgressReport(store, KEY, 10, lambda: next(seconds), lambda: next(costs))
    report.report(1, "Training", 0.5)
    assert store.progress(KEY) == Progress(1, 10, 0.5, 90.0, "Training", Cost(cpu_seconds=9.0, tokens=5))
    assert PROGRESS_PAUSE > 1.0
    report.report(2, "Training", 0.4)  # too soon
    report.report(4, "Training", 0.3)
    told = store.progress(KEY)
    assert told is not None
    assert (told.step, told.cost) == (4, Cost(cpu_seconds=18.0, tokens=9))


def test_a_meter_charges_the_gpu_while_it_is_held() -> None:
    seconds = iter((0.0, 2.0, 5.0))
    meter = Meter(lambda: next(seconds))
    assert meter.cost().gpu_seconds == 0.0
    meter.on_gpu, meter.tokens = True, 3
    found = meter.cost()
    assert (found.gpu_seconds, found.wall_seconds, found.tokens) == (5.0, 5.0, 3)
