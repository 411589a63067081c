"""The operator process: start-up, watches, probes. Every event only puts a key on the queue."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from modelecology import opening
from modelecology.kube.cache import InvalidObject, ObjectCache
from modelecology.kube.cluster import ApiCluster, Body, Kind
from modelecology.kube.errors import KubeError
from modelecology.kube.health import Answer, serve_health
from modelecology.kube.watchdog import KINDS, DeafWatch, Watchdog
from modelecology.kube.watches import EXITING_SECONDS, run_watches, watch_registry
from modelecology.options import CodeUnknown, Options, code_of_jobs, parse
from modelecology.reconcile.lines import Runners
from modelecology.reconcile.metrics import REGISTRY
from modelecology.reconcile.queue import WorkQueue
from modelecology.reconcile.release import release_all
from modelecology.reconcile.runtime import Engines, Runtime
from modelecology.reconcile.worker import LONG, seen, work
from modelecology.store import KeyUnusable

_LOG = logging.getLogger("modelecology")
EXIT_DEAF = 70
_MOST_WATCHES = 120
STUCK_SECONDS = 300.0
_START_SECONDS = 2.0


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


async def operate(options: Options, runners: Runners, engines: Engines, code: str | None = None) -> int:
    """Run the operator until it is told to stop, or until a part of it has died; gives the exit code.

    `code` is the digest of the workloads' code; without it the options say. Raises CodeUnknown, KeyUnusable,
    KubeError.
    """
    code, sign = code or code_of_jobs(options), opening.log_signer(options)
    # Each runner's watch may hold a thread while its bucket hangs, and each worker another.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(options.workers + _MOST_WATCHES))
    stop, ready = asyncio.Event(), asyncio.Event()
    _stop_on_signals(stop)
    runtime = Runtime(
        cluster=await ApiCluster.connect(),
        cache=ObjectCache(),
        queue=WorkQueue(time.monotonic),
        open_runner=runners,
        open_engine=engines,
        open_store=opening.stores(options),
        sign=sign,
        now=lambda: datetime.now(UTC),
        code=code,
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
        # The first leaves to the others what may take long: a quarantine and its table find a worker at once.
        *(
            asyncio.create_task(
                work(runtime, LONG if i == 0 and options.workers > 1 else frozenset()), name=f"worker-{i}"
            )
            for i in range(options.workers)
        ),
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
        # The watch of a runner that nobody uses any more may end.
        done -= set(watches) - set(runtime.watches())
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
                    "%s ended (%s); the process ends too",
                    part.get_name(),
                    error or "without an error",
                    exc_info=error,
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


async def release(options: Options) -> int:
    """Take the finalizer off everything that the operator holds, and say so; gives the exit code."""
    cluster = await ApiCluster.connect()
    try:
        async for released in release_all(cluster, options.namespaces):
            print(f"released {released}", flush=True)
    finally:
        await cluster.close()
    return 0


def main() -> None:
    """Start the operator."""
    options = parse()
    set_up_logs(options.json_logs)
    try:
        if options.release_finalizers:
            sys.exit(asyncio.run(release(options)))
        sys.exit(asyncio.run(operate(options, opening.runners(options), opening.engines(options))))
    except (KubeError, OSError, CodeUnknown, KeyUnusable) as error:
        _LOG.error("the operator cannot start: %s", error)
        sys.exit(1)


if __name__ == "__main__":
    main()
