"""Liveness, readiness and metrics over HTTP; they say what is so."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry, generate_latest


class Answer(NamedTuple):
    """Whether all is well, and in which words."""

    well: bool
    text: str


Question = Callable[[], Answer]


async def serve_health(
    host: str, port: int, alive: Question, ready: Question, registry: CollectorRegistry
) -> web.AppRunner:
    """Serve /healthz, /readyz and /metrics until clean-up. Raises OSError if the port is taken."""

    def answering(question: Question) -> Handler:
        async def handler(_request: web.Request) -> web.StreamResponse:
            answer = question()
            return web.Response(status=200 if answer.well else 503, text=answer.text + "\n")

        return handler

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), content_type="text/plain")

    app = web.Application()
    app.router.add_get("/healthz", answering(alive))
    app.router.add_get("/readyz", answering(ready))
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner
