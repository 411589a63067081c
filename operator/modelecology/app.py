"""The operator process: start-up, watches, probes. Every event only puts a key on the queue."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modelecology import __version__
from modelecology.api.population import Population
from modelecology.engines.port import Engine
from modelecology.engines.vllm import VllmEngine
from modelecology.jobs.code import code_digest
from modelecology.jobs.port import JobRunner
from modelecology.jobs.ray_jobs import RayJobsRunner, token_from_file
from modelecology.kube.cache import InvalidObject, ObjectCache
from modelecology.kube.cluster import ApiCluster, Body, Kind
from modelecology.kube.errors import KubeError
from modelecology.kube.health import Answer, serve_health
from modelecology.kube.watchdog import EVERY_SECONDS, KINDS, DeafWatch, Watchdog
from modelecology.kube.watches import EXITING_SECONDS, run_watches, watch_registry
from modelecology.reconcile.metrics import REGISTRY
from modelecology.reconcile.queue import WorkQueue
from modelecology.reconcile.runtime import Engines, Runners, Runtime
from modelecology.reconcile.worker import seen, work

_LOG = logging.getLogger("modelecology")
EXIT_DEAF = 70
STUCK_SECONDS = 300.0
_START_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    namespaces: tuple[str, ...]
    health_host: str
    health_port: int
    secrets: Path
    job_python: str
    workers: int
    json_logs: bool
    watchdog_seconds: float


class Watching:
    """Takes what the watches say into the cache, and queues what it concerns."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def seen(self, kind: Kind, body: Body) -> None:
        """Note a new version of an object. The echo of our own write says nothing new."""
        meta = body["metadata"]
        where = (kind, str(meta.get("namespace", "")), str(meta["name"]))
        if self._runtime.cache.version(*where) == meta["resourceVersion"]:
            return
        try:
            self._runtime.cache.put(kind, body)
        except InvalidObject as error:
            _LOG.error("%s %s/%s cannot be read: %s", kind.kind, meta.get("namespace"), meta["name"], error)
            return
        seen(self._runtime, *where)

    def gone(self, kind: Kind, namespace: str, name: str) -> None:
        """Note that an object is gone."""
        self._runtime.cache.drop(kind, namespace, name)
        seen(self._runtime, kind, namespace, name)


def ray_runners(options: Options) -> Runners:
    """Open runners on Ray; a token is read from the mounted Secret at each request, so it can be rotated."""

    def open_runner(population: Population) -> JobRunner:
        ray = population.spec.jobs.ray
        token = None
        if ray.token_secret_ref is not None:
            path = (
                options.secrets
                / population.metadata.namespace
                / ray.token_secret_ref.name
                / ray.token_secret_ref.key
            )
            token = token_from_file(str(path))
        return RayJobsRunner(ray.address, token, options.job_python)

    return open_runner


def open_engine(endpoint: str) -> Engine:
    """Open an engine that speaks vLLM's API."""
    return VllmEngine(endpoint)


async def operate(options: Options, runners: Runners, engines: Engines, code: str | None = None) -> int:
    """Run the operator until it is told to stop, or until a part of it has died; gives the exit code.

    `code` is the digest of the workloads' code, which is computed if it is left out.
    """
    stop, ready = asyncio.Event(), asyncio.Event()
    _stop_on_signals(stop)
    runtime = Runtime(
        cluster=await ApiCluster.connect(),
        cache=ObjectCache(),
        queue=WorkQueue(time.monotonic),
        open_runner=runners,
        open_engine=engines,
        now=lambda: datetime.now(UTC),
        code=code or code_digest(),
    )
    async with _probes(options, runtime, ready):
        try:
            return await _run(options, runtime, stop, ready)
        finally:
            await runtime.close()


@contextlib.asynccontextmanager
async def _probes(options: Options, runtime: Runtime, ready: asyncio.Event) -> AsyncIterator[None]:
    def is_ready() -> Answer:
        return Answer(ready.is_set(), "watching" if ready.is_set() else "not everything was listed yet")

    probes = await serve_health(
        options.health_host, options.health_port, lambda: alive(runtime), is_ready, REGISTRY
    )
    try:
        yield
    finally:
        await probes.cleanup()


def _stop_on_signals(stop: asyncio.Event) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


async def _run(options: Options, runtime: Runtime, stop: asyncio.Event, ready: asyncio.Event) -> int:
    watching = Watching(runtime)
    every = options.watchdog_seconds
    dog = Watchdog(
        runtime.cluster,
        runtime.cache,
        options.namespaces or None,
        watching.gone,
        every=every,
        grace=every / 3,
    )
    if not await _filled(dog, stop):
        return 0
    for where in runtime.cache.known():
        seen(runtime, *where)
    kopf_stop = asyncio.Event()
    registry = watch_registry(KINDS, watching.seen, watching.gone)
    watches = run_watches(registry, options.namespaces, kopf_stop, ready, lambda: _stop_on_signals(stop))
    kopf_part = asyncio.create_task(watches, name="watches")
    parts: list[asyncio.Task[Any]] = [
        asyncio.create_task(dog.run(), name="watchdog"),
        asyncio.create_task(stop.wait(), name="stop"),
        *(asyncio.create_task(work(runtime), name=f"worker-{i}") for i in range(options.workers)),
    ]
    try:
        return await _first_end([kopf_part, *parts], runtime, stop)
    finally:
        for part in parts:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)
        # Before kopf ends, which waits for every task that began after it.
        await runtime.stop_tasks()
        kopf_stop.set()
        await asyncio.wait({kopf_part}, timeout=EXITING_SECONDS)
        kopf_part.cancel()
        await asyncio.gather(kopf_part, return_exceptions=True)


async def _filled(dog: Watchdog, stop: asyncio.Event) -> bool:
    """List everything before anything is judged; False when the process is to stop before that succeeds."""
    while not stop.is_set():
        try:
            await dog.fill()
        except KubeError as error:
            _LOG.warning("the kinds cannot be listed: %s; install the CRDs, or mend the API server", error)
        else:
            return True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_START_SECONDS):
                await stop.wait()
    return False


async def _first_end(parts: list[asyncio.Task[Any]], runtime: Runtime, stop: asyncio.Event) -> int:
    """Wait until any part ends. Only a request to stop is a good end; the rest must restart the process."""
    while True:
        watches = runtime.watches()
        done, _ = await asyncio.wait((*parts, *watches), timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            continue
        if stop.is_set():
            _LOG.info("stopping, as asked; everything goes on from the log at the next start")
            return 0
        for part in done:
            error = part.exception() if not part.cancelled() else None
            if isinstance(error, DeafWatch):
                _LOG.error("%s; the process ends so that its successor watches anew", error)
            else:
                _LOG.error(
                    "%s ended (%s); the process ends too", part.get_name(), error or "without an error"
                )
        return EXIT_DEAF


def alive(runtime: Runtime) -> Answer:
    """Say whether everything that must run does, and whether the queue moves."""
    dead = [task.get_name() for task in runtime.watches() if task.done()]
    if dead:
        return Answer(False, f"ended: {', '.join(dead)}")
    overdue = runtime.queue.overdue()
    stepped = runtime.residency.stepped()
    # One look may load and prove many adapters on a slow engine: as long as it gets on, it is not stuck.
    getting_on = stepped is not None and (runtime.now() - stepped).total_seconds() < STUCK_SECONDS
    if overdue > STUCK_SECONDS and not getting_on:
        return Answer(False, f"the queue has not moved for {overdue:.0f} s")
    return Answer(True, "alive")


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def set_up_logs(json_logs: bool) -> None:
    """Log to standard error, as lines or as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    plain = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if json_logs else plain)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("kopf").setLevel(logging.WARNING)


def parse(arguments: list[str] | None = None) -> Options:
    """Read the command line; each option has an environment variable too."""
    parser = argparse.ArgumentParser(prog="modelecology-operator", description="The Model Ecology operator.")
    env = os.environ.get
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument(
        "--namespace",
        action="append",
        default=[n for n in (env("MODELECOLOGY_NAMESPACES") or "").split(",") if n],
        help="namespace to watch; may be repeated; all of them if it is left out",
    )
    parser.add_argument("--health-host", default=env("MODELECOLOGY_HEALTH_HOST", "0.0.0.0"))
    parser.add_argument("--health-port", type=int, default=int(env("MODELECOLOGY_HEALTH_PORT", "8080")))
    parser.add_argument(
        "--secrets",
        type=Path,
        default=Path(env("MODELECOLOGY_SECRETS", "/var/run/secrets/modelecology")),
        help="directory where Secrets are mounted, as NAMESPACE/NAME/KEY",
    )
    parser.add_argument(
        "--job-python", default=env("MODELECOLOGY_JOB_PYTHON", "python"), help="Python where the jobs run"
    )
    parser.add_argument("--workers", type=int, default=int(env("MODELECOLOGY_WORKERS", "8")))
    parser.add_argument("--json-logs", action="store_true", default=env("MODELECOLOGY_JSON_LOGS") == "true")
    parser.add_argument(
        "--watchdog-seconds",
        type=float,
        default=float(env("MODELECOLOGY_WATCHDOG_SECONDS", str(EVERY_SECONDS))),
        help="how often the watches are compared with a list of everything",
    )
    found = parser.parse_args(arguments)
    return Options(
        namespaces=tuple(found.namespace),
        health_host=found.health_host,
        health_port=found.health_port,
        secrets=found.secrets,
        job_python=found.job_python,
        workers=found.workers,
        json_logs=found.json_logs,
        watchdog_seconds=found.watchdog_seconds,
    )


def main() -> None:
    """Start the operator."""
    options = parse()
    set_up_logs(options.json_logs)
    try:
        sys.exit(asyncio.run(operate(options, ray_runners(options), open_engine)))
    except (KubeError, OSError) as error:
        _LOG.error("the operator cannot start: %s", error)
        sys.exit(1)


if __name__ == "__main__":
    main()
