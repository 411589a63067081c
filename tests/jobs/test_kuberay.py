"""The KubeRay runner on a double of KubeRay: what is adopted, what is refused and why, what is told."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from modelecology.jobs.kuberay import KEPT_SECONDS, KubeRayRunner
from modelecology.jobs.kuberay_double import InMemoryRayJobs
from modelecology.jobs.port import JobPhase, JobSpec, RunnerError, RunnerRefused, RunnerUnavailable
from tests.jobs.populations import IMAGE, population

_SPEC = JobSpec("train-a", '{"kind":"Train"}', cpus=1)
_START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _runner(client: InMemoryRayJobs, uid: str | None = None, image: str | None = IMAGE) -> KubeRayRunner:
    of = population() if uid is None else population(uid=uid)
    return KubeRayRunner(client, of, image, now=lambda: client.now().timestamp())


async def _refusal(client: InMemoryRayJobs) -> RunnerError:
    with pytest.raises(RunnerError) as refused:
        await _runner(client).submit(_SPEC)
    return refused.value


async def test_a_kuberay_without_tokens_is_refused_and_nothing_runs() -> None:
    client = InMemoryRayJobs(unknown=frozenset({"spec.rayClusterSpec.authOptions"}))
    error = await _refusal(client)
    assert isinstance(error, RunnerRefused)
    assert "too old to run jobs with a token" in error.message
    assert "KubeRay 1.5.1 or newer" in error.message
    assert client.jobs == {}


async def test_a_template_with_an_unknown_field_is_told_from_an_old_kuberay() -> None:
    client = InMemoryRayJobs(unknown=frozenset({"spec.rayClusterSpec.headGroupSpec.template.spec.hostname"}))
    runner = KubeRayRunner(client, population({"podTemplate": {"spec": {"hostname": "x"}}}), IMAGE)
    with pytest.raises(RunnerRefused, match=r"spec\.jobs\.kubeRay\.podTemplate has a field"):
        await runner.submit(_SPEC)


async def test_a_cluster_without_kuberay_names_the_remedy() -> None:
    error = await _refusal(InMemoryRayJobs(installed=False))
    assert isinstance(error, RunnerRefused)
    assert "Install KubeRay 1.5.1 or newer" in error.message
    with pytest.raises(RunnerRefused, match="Install KubeRay"):
        await _runner(InMemoryRayJobs(installed=False)).status("train-a")


@pytest.mark.parametrize("verb", ["create", "get", "delete", "list"])
async def test_a_missing_right_names_the_value_of_the_chart(verb: str) -> None:
    client = InMemoryRayJobs()
    runner = _runner(client)
    if verb != "create":
        await runner.submit(_SPEC)
    client.forbidden = frozenset({verb})
    calls = {
        "create": lambda: runner.submit(_SPEC),
        "get": lambda: runner.status("train-a"),
        "delete": lambda: runner.cancel("train-a"),
        "list": runner.tidy,
    }
    with pytest.raises(RunnerRefused, match=r"kubeRay\.enabled"):
        await calls[verb]()


async def test_an_api_server_that_is_away_is_asked_again() -> None:
    error = await _refusal(InMemoryRayJobs(down=True))
    assert isinstance(error, RunnerUnavailable)


async def test_without_an_image_nothing_is_created() -> None:
    client = InMemoryRayJobs()
    with pytest.raises(RunnerRefused, match="--job-image"):
        await _runner(client, image=None).submit(_SPEC)
    assert client.calls == []


async def test_the_populations_image_comes_before_the_operators() -> None:
    client = InMemoryRayJobs()
    await KubeRayRunner(client, population({"image": "mine"}), IMAGE).submit(_SPEC)
    template = client.jobs["train-a"]["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]
    assert template["spec"]["containers"][0]["image"] == "mine"


async def test_in_a_cluster_that_is_there_no_image_is_needed() -> None:
    client = InMemoryRayJobs()
    shared = population({"clusterSelector": {"ray.io/cluster": "shared"}})
    await KubeRayRunner(client, shared, None).submit(_SPEC)
    assert client.jobs["train-a"]["spec"]["clusterSelector"] == {"ray.io/cluster": "shared"}


async def test_a_job_that_a_queue_holds_back_runs_when_it_is_let_go() -> None:
    client = InMemoryRayJobs()
    runner = KubeRayRunner(client, population({"queue": "team-a"}), IMAGE)
    await runner.submit(_SPEC)
    client.finish("train-a")
    status = await runner.status("train-a")
    assert status is not None
    assert (status.phase, status.submitted) == (JobPhase.Pending, None)
    client.resume("train-a")
    client.finish("train-a")
    status = await runner.status("train-a")
    assert status is not None
    assert status.phase is JobPhase.Succeeded


async def test_a_job_of_an_earlier_population_of_the_name_is_not_adopted() -> None:
    client = InMemoryRayJobs()
    await _runner(client, uid="0b8a8c1e-0000-4000-8000-000000000009").submit(_SPEC)
    error = await _refusal(client)
    assert isinstance(error, RunnerUnavailable)
    assert "earlier Population" in error.message


async def test_a_name_is_free_again_once_kuberay_has_let_go_of_it() -> None:
    client = InMemoryRayJobs(work=lambda _job: None)
    runner = _runner(client)
    await runner.submit(_SPEC)
    client.finish("train-a")
    client.operating = False
    await runner.cancel("train-a")
    assert await runner.status("train-a") is None
    error = await _refusal(client)
    assert isinstance(error, RunnerUnavailable)
    assert "is being deleted" in error.message
    await runner.cancel("train-a")
    client.operating = True
    client.step("train-a")
    await runner.submit(_SPEC)
    status = await runner.status("train-a")
    assert status is not None
    assert status.phase is JobPhase.Pending


async def test_a_job_whose_pod_is_gone_has_failed_and_can_be_taken_away() -> None:
    client = InMemoryRayJobs(work=lambda _job: None)
    runner = _runner(client)
    await runner.submit(_SPEC)
    client.finish("train-a")
    client.lose_pod("train-a")
    status = await runner.status("train-a")
    assert status is not None
    assert status.failure is not None
    assert (status.phase, status.failure.retry) == (JobPhase.Failed, True)
    # KubeRay would leave it there, and a queue's room with it.
    await runner.cancel("train-a")
    client.step("train-a")
    assert client.jobs == {}


async def test_a_right_that_is_missing_on_clusters_is_told_and_not_hidden() -> None:
    client = InMemoryRayJobs(work=lambda _job: None)
    runner = _runner(client)
    await runner.submit(_SPEC)
    client.finish("train-a")
    client.clusters.clear()
    status = await runner.status("train-a")
    assert status is not None  # KubeRay makes the cluster anew
    assert status.phase is JobPhase.Running


async def test_finished_jobs_are_kept_for_a_day_and_then_deleted() -> None:
    moment = _START
    client = InMemoryRayJobs(now=lambda: moment)
    runner = _runner(client)
    hanging = JobSpec("train-b", "{}", cpus=1)
    await runner.submit(_SPEC)
    client.finish("train-a")
    client.work = lambda _job: None
    await runner.submit(hanging)
    client.finish("train-b")
    moment += timedelta(seconds=KEPT_SECONDS - 60)
    await runner.tidy()
    assert sorted(client.jobs) == ["train-a", "train-b"]
    moment += timedelta(seconds=120)
    await runner.tidy()
    client.step("train-a")
    assert sorted(client.jobs) == ["train-b"]


async def test_changes_are_told_by_name() -> None:
    client = InMemoryRayJobs()
    runner = _runner(client)
    await runner.submit(_SPEC)
    told: list[str] = []
    task = asyncio.create_task(runner.changes(told.append))
    for _ in range(5):
        await asyncio.sleep(0)
    assert told == ["train-a"]  # what was there before
    client.finish("train-a")
    assert told.count("train-a") > 1
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_right_that_is_missing_for_tidying_does_not_end_the_watch(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = InMemoryRayJobs(forbidden=frozenset({"list"}))
    task = asyncio.create_task(_runner(client).changes(lambda _name: None))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()
    assert "old RayJobs cannot be deleted" in caplog.text
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_closing_lets_go_of_the_connections() -> None:
    client = InMemoryRayJobs()
    await _runner(client).close()
    assert client.closed
