"""Start the judge: python -m modelecology.serving.judge --records-dir DIR --endpoint URL --model NAME."""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterable
from itertools import chain

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from modelecology.serving.gateway.segments import Retention, SegmentRecorder
from modelecology.store.live_files import LiveFiles

from .docket import Docket
from .endpoint import Endpoint
from .metrics import JudgeMetrics
from .options import JudgeOptions, parse
from .pace import Pace
from .service import JudgeService, Lines, Settings

_LOG = logging.getLogger(__name__)
# The gateways say when records go; a judge deletes nothing.
_KEEP_ALL = Retention(keep_bytes=sys.maxsize, keep_seconds=math.inf)
# But what waits for a bucket must not fill the disk.
_SPOOL = Retention(keep_bytes=64 << 20, keep_seconds=math.inf)


def main() -> int:
    """Judge until SIGTERM or SIGINT."""
    options = parse()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    web.run_app(_app(options), host=options.host, port=options.port, access_log=None, print=None)
    return 0


async def _app(options: JudgeOptions) -> web.Application:
    metrics = JudgeMetrics()
    docket = Docket(options.name, metrics, most_waiting=options.most_waiting)
    metrics.watch("waiting", "Copies that wait.", lambda: len(docket))
    service = JudgeService(
        _lines(options),
        docket,
        Endpoint(
            options.endpoint,
            options.model,
            token=options.token,
            seconds=options.answer_seconds,
            most_tokens=options.most_tokens,
        ),
        SegmentRecorder(
            options.records,
            f"judge-{socket.gethostname()}-{secrets.token_hex(4)}",
            _KEEP_ALL if options.read_from is None else _SPOOL,
            time.time,
            metrics.segment_deleted,
        ),
        Pace(options.per_minute, asyncio.get_running_loop().time),
        metrics,
        Settings(options.name, time.time, workers=options.concurrency),
    )
    return _served(service, metrics)


class _Both:
    """What is in the bucket, and what of its own is not there yet: that is not to be judged again."""

    def __init__(self, own: Lines, bucket: Lines) -> None:
        self._own = own
        self._bucket = bucket

    def lines(self) -> Iterable[bytes]:
        """Give the lines that are new. Raises StoreError."""
        return chain(self._own.lines(), self._bucket.lines())


def _lines(options: JudgeOptions) -> Lines:
    own = LiveFiles.in_directory(options.records)
    if options.read_from is None:
        return own
    bucket = LiveFiles.open(
        options.read_from,
        endpoint=options.s3_endpoint,
        region=options.s3_region,
        credentials=options.s3_credentials,
    )
    return _Both(own, bucket)


def _served(service: JudgeService, metrics: JudgeMetrics) -> web.Application:
    async def healthz(_request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def render(_request: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            _LOG.critical("the judge ends: %r", task.exception())
            # Ends run_app as a signal would.
            raise web.GracefulExit

    async def judging(_app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(service.run())
        task.add_done_callback(ended)
        yield
        task.cancel()
        await asyncio.wait({task})

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/metrics", render)
    app.cleanup_ctx.append(judging)
    return app


if __name__ == "__main__":
    raise SystemExit(main())
