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
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kopf

from modelecology import __version__
from modelecology.api.meta import GROUP, VERSION
from modelecology.api.population import Population
from modelecology.engines.port import Engine
from modelecology.engines.vllm import VllmEngine
from modelecology.jobs.code import code_digest
from modelecology.jobs.port import JobRunner
from modelecology.jobs.ray_jobs import RayJobsRunner, token_from_file
from modelecology.kube.cache import InvalidObject, ObjectCache
from modelecology.kube.cluster import POPULATION, SPECIALIST, SUITE, ApiCluster, Kind
from modelecology.kube.health import Answer, serve_health
from modelecology.kube.watchdog import DeafWatch, Watchdog
from modelecology.reconcile.metrics import REGISTRY
from modelecology.reconcile.queue import WorkQueue
from modelecology.reconcile.runtime import Engines, Runners, Runtime
from modelecology.reconcile.worker import seen, work

_LOG = logging.getLogger("modelecology")
EXIT_DEAF = 70


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


class EndlessBackoffs:
    """Pauses between tries of a watch, in seconds, without end: a short list would leave kopf deaf."""

    def __iter__(self) -> Iterator[float]:
        yield from (0.5, 1.0, 2.0, 3.0)
        while True:
            yield 5.0


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.networking.error_backoffs = EndlessBackoffs()
    settings.watching.server_timeout = 240
    settings.watching.client_timeout = 300
    settings.watching.connect_timeout = 10
    settings.process.ultimate_exiting_timeout = 5
    return settings


def _registry(runtime: Runtime) -> kopf.OperatorRegistry:
    """Register one handler per kind: remember the object, queue its key."""
    registry = kopf.OperatorRegistry()

    def register(kind: Kind) -> None:
        @kopf.on.event(GROUP, VERSION, kind.plural, registry=registry, id=f"watch-{kind.plural}")
        async def on_event(event: kopf.RawEvent, name: str, namespace: str | None, **_: Any) -> None:
            namespace = namespace or ""
            if event["type"] == "DELETED":
                runtime.cache.drop(kind, namespace, name)
            else:
                try:
                    runtime.cache.put(kind, dict(event["object"]))
                except InvalidObject as error:
                    _LOG.error("%s %s/%s cannot be read: %s", kind.kind, namespace, name, error)
                    return
            seen(runtime, kind, namespace, name)

    for kind in (POPULATION, SPECIALIST, SUITE):
        register(kind)

    @kopf.on.login(registry=registry)
    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

    return registry


def ray_runners(options: Options) -> Runners:
    """Open runners on Ray; a token is read from the mounted Secret at each request, so it can be rotated."""

    def open_runner(population: Population) -> JobRunner:
        ray = population.spec.jobs.ray
        token = None
        if ray.token_secret_ref is not None:
            path = options.secrets / ray.token_secret_ref.name / ray.token_secret_ref.key
            token = token_from_file(str(path))
        return RayJobsRunner(ray.address, token, options.job_python)

    return open_runner


def open_engine(endpoint: str) -> Engine:
    """Open an engine that speaks vLLM's API."""
    return VllmEngine(endpoint)


async def operate(options: Options, runners: Runners, engines: Engines) -> int:
    """Run the operator until it is told to stop, or until a part of it has died; gives the exit code."""
    cluster = await ApiCluster.connect()
    cache = ObjectCache()
    runtime = Runtime(
        cluster=cluster,
        cache=cache,
        queue=WorkQueue(time.monotonic),
        open_runner=runners,
        open_engine=engines,
        now=lambda: datetime.now(UTC),
        code=code_digest(),
    )
    dog = Watchdog(cluster, cache, options.namespaces or None)
    stop = asyncio.Event()
    ready = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    probes = await serve_health(
        options.health_host,
        options.health_port,
        lambda: _alive(runtime),
        lambda: Answer(ready.is_set(), "watching" if ready.is_set() else "not watching yet"),
        REGISTRY,
    )
    kopf_stop = asyncio.Event()
    parts = [
        asyncio.create_task(_watch(options, runtime, kopf_stop, ready), name="kopf"),
        asyncio.create_task(dog.run(time.monotonic), name="watchdog"),
        asyncio.create_task(stop.wait(), name="stop"),
        *(asyncio.create_task(work(runtime), name=f"worker-{i}") for i in range(options.workers)),
    ]
    try:
        code = await _first_end(parts, runtime, stop)
    finally:
        kopf_stop.set()
        for part in parts[1:]:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)
        await probes.cleanup()
        await runtime.close()
    return code


async def _watch(options: Options, runtime: Runtime, stop: asyncio.Event, ready: asyncio.Event) -> None:
    await kopf.operator(
        registry=_registry(runtime),
        settings=_settings(),
        standalone=True,
        clusterwide=not options.namespaces,
        namespaces=options.namespaces,
        stop_flag=stop,
        ready_flag=ready,
    )


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


def _alive(runtime: Runtime) -> Answer:
    dead = [task.get_name() for task in runtime.watches() if task.done()]
    return Answer(not dead, f"ended: {', '.join(dead)}" if dead else "alive")


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
        help="directory where Secrets are mounted, as NAME/KEY",
    )
    parser.add_argument(
        "--job-python", default=env("MODELECOLOGY_JOB_PYTHON", "python"), help="Python where the jobs run"
    )
    parser.add_argument("--workers", type=int, default=int(env("MODELECOLOGY_WORKERS", "8")))
    parser.add_argument("--json-logs", action="store_true", default=env("MODELECOLOGY_JSON_LOGS") == "true")
    found = parser.parse_args(arguments)
    return Options(
        namespaces=tuple(found.namespace),
        health_host=found.health_host,
        health_port=found.health_port,
        secrets=found.secrets,
        job_python=found.job_python,
        workers=found.workers,
        json_logs=found.json_logs,
    )


def main() -> None:
    """Start the operator."""
    options = parse()
    set_up_logs(options.json_logs)
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(asyncio.run(operate(options, ray_runners(options), open_engine)))


if __name__ == "__main__":
    main()
