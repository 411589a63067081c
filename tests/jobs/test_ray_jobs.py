"""What RayJobsRunner makes of answers that a healthy Ray does not give; a small server gives them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from modelecology.jobs.port import JobFailure, JobPhase, JobSpec, RunnerRefused, RunnerUnavailable
from modelecology.jobs.ray_entry import unexpanded
from modelecology.jobs.ray_jobs import RayJobsRunner, last_run_of, token_from_file

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_SPEC = JobSpec("train-a", '{"kind":"Train"}', cpus=1.5, gpus=0.5, memory_bytes=1 << 30)


class Ray:
    """A server that answers as told, by method and path, and keeps the requests."""

    def __init__(self) -> None:
        self.answers: dict[str, Handler] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.bodies: list[dict[str, object]] = []
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self.server = TestServer(app)

    def on(self, request: str, status: int = 200, body: object = None, text: str | None = None) -> None:
        async def answer(_: web.Request) -> web.StreamResponse:
            return web.Response(status=status, text=json.dumps(body) if text is None else text)

        self.answers[request] = answer

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        name = f"{request.method} {request.path}"
        self.requests.append((name, request.headers.get("Authorization")))
        if request.can_read_body:
            self.bodies.append(cast(dict[str, object], await request.json()))
        handler = self.answers.get(name)
        return (
            await handler(request) if handler else web.Response(status=404, text="Job train-a does not exist")
        )


@pytest.fixture
async def ray() -> AsyncIterator[Ray]:
    ray = Ray()
    async with ray.server:
        yield ray


@pytest.fixture
async def runner(ray: Ray) -> AsyncIterator[RayJobsRunner]:
    runner = RayJobsRunner(str(ray.server.make_url("/")), lambda: "secret", call_seconds=0.5)
    yield runner
    await runner.close()


def _details(status: str, **more: object) -> dict[str, object]:
    return {"submission_id": "train-a", "status": status, **more}


async def test_a_submission_says_what_the_job_needs(ray: Ray, runner: RayJobsRunner) -> None:
    ray.on("POST /api/jobs/", body={"submission_id": "train-a"})
    await runner.submit(_SPEC)
    assert ray.bodies == [
        {
            "submission_id": "train-a",
            "entrypoint": "python -m modelecology.workloads",
            "runtime_env": {"env_vars": {"OMP_NUM_THREADS": "1", "MODELECOLOGY_INTENT": '{"kind":"Train"}'}},
            "entrypoint_num_cpus": 1.5,
            "entrypoint_num_gpus": 0.5,
            "entrypoint_memory": 1 << 30,
        }
    ]
    assert ray.requests == [("POST /api/jobs/", "Bearer secret")]


@pytest.mark.parametrize("status", [400, 409, 500])
async def test_a_submission_that_is_turned_down_adopts_the_job_that_is_there(
    ray: Ray, runner: RayJobsRunner, status: int
) -> None:
    ray.on("POST /api/jobs/", status, text="Traceback ... ValueError: whatever the wording is")
    ray.on("GET /api/jobs/train-a", body=_details("PENDING"))
    await runner.submit(_SPEC)


async def test_a_submission_that_fails_without_a_job_is_to_be_retried(
    ray: Ray, runner: RayJobsRunner
) -> None:
    ray.on("POST /api/jobs/", 500, text="Traceback\n  deep\nNo available agent to submit job")
    with pytest.raises(
        RunnerUnavailable, match=r"submit job train-a \(HTTP 500: No available agent"
    ) as caught:
        await runner.submit(_SPEC)
    assert caught.value.retry
    assert caught.value.reason == "RunnerUnavailable"


async def test_a_submission_that_is_malformed_is_refused(ray: Ray, runner: RayJobsRunner) -> None:
    ray.on("POST /api/jobs/", 400, text="TypeError: entrypoint_num_cpus must be a number")
    with pytest.raises(RunnerRefused, match="must be a number") as caught:
        await runner.submit(_SPEC)
    assert not caught.value.retry
    assert caught.value.reason == "RunnerRefused"


@pytest.mark.parametrize(
    ("said", "phase"),
    [
        ("PENDING", JobPhase.Pending),
        ("RUNNING", JobPhase.Running),
        ("STOPPED", JobPhase.Cancelled),
        ("SUCCEEDED", JobPhase.Succeeded),
        ("FAILED", JobPhase.Failed),
    ],
)
async def test_each_state_of_ray_has_a_phase(
    ray: Ray, runner: RayJobsRunner, said: str, phase: JobPhase
) -> None:
    ray.on("GET /api/jobs/train-a", body=_details(said, message="so it is"))
    status = await runner.status("train-a")
    assert status is not None
    assert status.phase is phase
    assert (status.failure is not None) == (phase is JobPhase.Failed)


async def test_a_failure_is_read_from_rays_message_where_the_log_is_gone(
    ray: Ray, runner: RayJobsRunner
) -> None:
    line = '{"modelecologyFailure":{"reason":"DataEmpty","message":"No rows.","retry":false}}'
    message = f"Job entrypoint command failed with exit code 1, last available logs:\n{line}\n"
    ray.on("GET /api/jobs/train-a", body=_details("FAILED", message=message, driver_exit_code=1))
    ray.on("GET /api/jobs/train-a/logs", 500, text="the node is gone")
    status = await runner.status("train-a")
    assert status is not None
    assert status.failure == JobFailure("DataEmpty", "No rows.", retry=False)


async def test_a_killed_job_names_memory_as_the_likely_cause(ray: Ray, runner: RayJobsRunner) -> None:
    error = "JOB_ENTRYPOINT_COMMAND_ERROR"
    ray.on("GET /api/jobs/train-a", body=_details("FAILED", driver_exit_code=-9, error_type=error))
    ray.on("GET /api/jobs/train-a/logs", body={"logs": "step 3\nKilled\n"})
    status = await runner.status("train-a")
    assert status is not None
    assert status.failure is not None
    assert status.failure.retry
    assert status.failure.message == (
        "The job ended by SIGKILL (often: out of memory, raise spec.jobs.resources.memory) "
        "without saying why. Its last lines:\nstep 3\nKilled"
    )


async def test_a_job_that_ray_lost_is_rays_fault_and_may_be_retried(ray: Ray, runner: RayJobsRunner) -> None:
    error = "JOB_SUPERVISOR_ACTOR_DIED"
    ray.on("GET /api/jobs/train-a", body=_details("FAILED", message="The node died.", error_type=error))
    ray.on("GET /api/jobs/train-a/logs", body={"logs": ""})
    status = await runner.status("train-a")
    assert status is not None
    assert status.failure == JobFailure(
        "RunnerUnavailable", f"Ray could not run the job ({error}): The node died.", retry=True
    )


async def test_a_job_that_ray_found_no_room_for_uses_up_an_attempt_and_never_ran(
    ray: Ray, runner: RayJobsRunner
) -> None:
    error = "JOB_SUPERVISOR_ACTOR_START_TIMEOUT"
    ended = _details("FAILED", message="Timed out.", error_type=error, start_time=1_000, end_time=9_000)
    ray.on("GET /api/jobs/train-a", body=ended)
    ray.on("GET /api/jobs/train-a/logs", body={"logs": ""})
    status = await runner.status("train-a")
    assert status is not None
    assert status.failure is not None
    assert status.failure.retry
    assert status.failure.reason == "DeadlineExceeded"
    assert status.failure.message.startswith("Ray had no room for the job in time. Add nodes")
    assert (status.submitted, status.started, status.ended) == (1.0, None, 9.0)
    assert status.ran_seconds == 0.0


async def test_a_job_says_when_it_ran(ray: Ray, runner: RayJobsRunner) -> None:
    ray.on("GET /api/jobs/train-a", body=_details("PENDING", start_time=1_000))
    status = await runner.status("train-a")
    assert status is not None
    assert (status.submitted, status.started, status.ended) == (1.0, None, None)
    ended = _details("STOPPED", start_time=1_000, end_time=3_500, driver_node_id="ab12")
    ray.on("GET /api/jobs/train-a", body=ended)
    status = await runner.status("train-a")
    assert status is not None
    assert (status.started, status.ended, status.ran_seconds) == (1.0, 3.5, 2.5)


async def test_a_long_log_gives_a_bounded_message(ray: Ray, runner: RayJobsRunner) -> None:
    ray.on("GET /api/jobs/train-a", body=_details("FAILED", driver_exit_code=1))
    ray.on("GET /api/jobs/train-a/logs", body={"logs": "x" * 100_000 + "\nthe end"})
    status = await runner.status("train-a")
    assert status is not None
    assert status.failure is not None
    assert len(status.failure.message) == 1000
    assert status.failure.message.startswith("The job ended with exit code 1")
    assert status.failure.message.endswith("the end")


async def test_a_slow_ray_is_unavailable(ray: Ray, runner: RayJobsRunner) -> None:
    released = asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        await released.wait()
        return web.Response()

    ray.answers["GET /api/jobs/train-a"] = hang
    with pytest.raises(RunnerUnavailable, match=r"did not answer within 0\.5 s"):
        await runner.status("train-a")
    released.set()


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_a_busy_ray_is_unavailable(ray: Ray, runner: RayJobsRunner, status: int) -> None:
    ray.on("GET /api/jobs/train-a", status, text="upstream connect error")
    with pytest.raises(RunnerUnavailable, match="upstream connect error"):
        await runner.status("train-a")


async def test_a_redirect_is_not_followed_so_that_the_token_stays_here(
    ray: Ray, runner: RayJobsRunner
) -> None:
    async def redirect(_: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    ray.answers["GET /api/jobs/train-a"] = redirect
    with pytest.raises(RunnerRefused, match=r"not the Jobs API.*HTTP 302"):
        await runner.status("train-a")
    assert [path for path, _ in ray.requests] == ["GET /api/jobs/train-a"]


@pytest.mark.parametrize("text", ["<html>Welcome</html>", '{"status":"SLEEPING"}', "[]", "{}"])
async def test_an_answer_that_ray_would_not_give_is_refused(
    ray: Ray, runner: RayJobsRunner, text: str
) -> None:
    ray.on("GET /api/jobs/train-a", text=text)
    with pytest.raises(RunnerRefused, match="not the Jobs API"):
        await runner.status("train-a")


async def test_somebody_elses_404_is_not_taken_for_a_lost_job(ray: Ray, runner: RayJobsRunner) -> None:
    ray.on("GET /api/jobs/train-a", 404, text="<html>no such page</html>")
    with pytest.raises(RunnerRefused, match="not the Jobs API"):
        await runner.status("train-a")


async def test_an_address_that_is_no_url_is_refused() -> None:
    runner = RayJobsRunner("ray-head:8265")
    with pytest.raises(RunnerRefused, match=r"spec\.jobs\.ray\.address"):
        await runner.status("train-a")
    await runner.close()


async def test_a_rotated_token_is_used_at_once(ray: Ray, tmp_path: Path) -> None:
    path = tmp_path / "token"
    runner = RayJobsRunner(str(ray.server.make_url("/")), token_from_file(str(path)))
    for token in ("first", "second\n"):
        path.write_text(token)
        assert await runner.status("train-a") is None
    await runner.close()
    assert [token for _, token in ray.requests] == ["Bearer first", "Bearer second"]


async def test_a_token_may_come_from_a_coroutine(ray: Ray) -> None:
    async def token() -> str:
        return "async"

    runner = RayJobsRunner(str(ray.server.make_url("/")), token)
    assert await runner.status("train-a") is None
    await runner.close()
    assert ray.requests[0][1] == "Bearer async"


async def test_a_token_file_that_is_missing_is_refused_by_name(tmp_path: Path) -> None:
    path = str(tmp_path / "token")
    runner = RayJobsRunner("http://127.0.0.1:9", token_from_file(path))
    with pytest.raises(RunnerRefused, match=rf"{path} cannot be read.*tokenSecretRef"):
        await runner.status("train-a")
    await runner.close()


@pytest.mark.parametrize("token", ["", "two words", "tab\there", "umläut", "new\nline"])
async def test_a_broken_token_is_refused_and_not_shown(token: str) -> None:
    runner = RayJobsRunner("http://127.0.0.1:9", lambda: token)
    with pytest.raises(RunnerRefused, match="tokenSecretRef") as caught:
        await runner.status("train-a")
    assert not token or token not in str(caught.value)


@given(
    st.recursive(
        st.text() | st.integers() | st.none(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_an_intent_says_the_same_without_dollar_signs(intent: object) -> None:
    for ascii_only in (True, False):
        safe = unexpanded(json.dumps(intent, ensure_ascii=ascii_only))
        assert "$" not in safe
        assert json.loads(safe) == intent


def test_a_log_is_cut_to_the_last_run_of_the_name() -> None:
    run = "2026-11-24 INFO -- Runtime env is setting up.\nRunning entrypoint for job train-a: python\n{}\n"
    assert last_run_of(run.format("old") + run.format("new"), "train-a") == "new\n"
    assert last_run_of("no marks\n", "train-a") == "no marks\n"
