"""The player of jobs, with the naive operator's orders: they need no cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.desk import BenchDesk, playbook
from bench.job_process import Player, ends_of
from bench.naive_jobs import Wish
from modelecology.jobs.double import InMemoryRunner
from modelecology.jobs.port import JobPhase
from modelecology.store import ArtifactStore


def wish(desk: BenchDesk) -> Wish:
    manifest = desk.naive_specialist("member-00")
    return Wish.of("member-00", manifest["spec"])


async def test_a_job_ends_when_its_time_is_over_and_its_commit_is_the_moment_that_counts(
    tmp_path: Path,
) -> None:
    desk = BenchDesk(tmp_path, count=1, parallelism=1)
    state = tmp_path / "jobs"
    runner = InMemoryRunner(directory=state)
    job = wish(desk).training()
    await runner.submit(job)
    player = Player(state, playbook(1), seconds=1.0)
    player.look(0.0)
    player.look(0.4)
    running = await runner.status(job.name)
    assert running is not None
    assert running.phase is JobPhase.Running
    player.look(1.6)
    ended = await runner.status(job.name)
    assert ended is not None
    assert ended.phase is JobPhase.Succeeded
    (end,) = ends_of(state)
    path = Path(ArtifactStore.open(desk.store).local_path(wish(desk).adapter_key))
    assert end.specialist == "member-00"
    assert end.committed == pytest.approx((path.parent / "commit.json").stat().st_mtime)


async def test_the_naive_operators_scores_are_those_of_the_playbook(tmp_path: Path) -> None:
    desk = BenchDesk(tmp_path, count=1, parallelism=1)
    state = tmp_path / "jobs"
    runner = InMemoryRunner(directory=state)
    player = Player(state, playbook(1), seconds=0.0)
    wanted = wish(desk)
    for job in (wanted.training(), wanted.evaluation("Main"), wanted.evaluation("Shadow")):
        await runner.submit(job)
        player.look(0.0)
        player.look(1.0)
    assert {end.specialist for end in ends_of(state)} == {"member-00"}
    assert wanted.score("Main") == pytest.approx(0.8, abs=0.1)
    assert wanted.score("Shadow") == pytest.approx(0.8, abs=0.15)
