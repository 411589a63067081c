"""The HTTP face of the gateway: OpenAI's routes, feedback, probes, metrics, and work in the background."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CONTENT_TYPE_LATEST

from modelecology.serving.tokens import TokenFile
from modelecology.serving.tracing import NO_TRACING, Tracing

from .checks import Checks
from .classifier import Classifier
from .embedder import Embedder
from .embeddings import Embeddings
from .flights import Flights
from .journal import Journal, Judged
from .memory import Memory
from .metrics import GatewayMetrics
from .mirror import Mirror
from .models import model_list
from .orders import CHAT, COMPLETIONS, read_feedback
from .refusal import Refusal, bad_request, unavailable
from .replicas import Replicas
from .service import Clocks, Gateway, body_of, refused
from .tables import Held, Tables, TableSource
from .upstream import Upstream

_LOG = logging.getLogger(__name__)
_OPEN: Final = frozenset({"/healthz", "/readyz"})


@dataclass(frozen=True, slots=True)
class Limits:
    """What the gateway takes on at once. Seconds and bytes."""

    body_bytes: int = 2 * 1024 * 1024
    running: int = 1024
    running_bytes: int = 192 * 1024 * 1024  # of the memory that requests take while they run, about
    connect_seconds: float = 2.0
    answer_seconds: float = 300.0
    mirror_waiting: int = 256
    mirror_bytes: int = 32 * 1024 * 1024
    mirror_workers: int = 4
    classifier_seconds: float = 0.2
    checks_waiting: int = 256


@dataclass(frozen=True, slots=True)
class Parts:
    """What a gateway is made of; tests give doubles."""

    tables: Tables
    source: TableSource
    journal: Journal
    metrics: GatewayMetrics
    clocks: Clocks
    token: TokenFile | None = None
    engine_token: TokenFile | None = None
    limits: Limits = Limits()
    tracing: Tracing = NO_TRACING
    embedder: Embedder = field(default_factory=Embeddings)


def build_app(parts: Parts, *, on_failure: Callable[[], None]) -> web.Application:
    """The gateway's application. `on_failure` is called if work in the background fails: it would be deaf."""
    limits, metrics, tables = parts.limits, parts.metrics, parts.tables
    replicas = Replicas(parts.clocks.steady)
    upstream = Upstream(
        replicas,
        metrics,
        token=parts.engine_token,
        connect_seconds=limits.connect_seconds,
        answer_seconds=limits.answer_seconds,
    )

    def use_engines(held: Held) -> None:
        replicas.use(held.table.engines)

    def count_for(held: Held) -> None:
        parts.journal.counts.of(held.table.population)

    tables.listen(use_engines)
    tables.listen(count_for)
    flights = Flights()
    mirror = Mirror(
        upstream,
        flights,
        tables,
        parts.journal,
        metrics,
        parts.clocks.steady,
        most_waiting=limits.mirror_waiting,
        most_bytes=limits.mirror_bytes,
        workers=limits.mirror_workers,
    )
    classifier = Classifier(parts.embedder, metrics, parts.clocks.steady, seconds=limits.classifier_seconds)
    tables.listen(classifier.use)
    checks = Checks(classifier, parts.journal.counts, metrics, most_waiting=limits.checks_waiting)
    memory = Memory(limits.running_bytes)
    gateway = Gateway(
        tables,
        upstream,
        flights,
        mirror,
        parts.journal,
        metrics,
        parts.clocks,
        classifier,
        checks,
        memory=memory,
        most_running=limits.running,
        tracing=parts.tracing,
    )
    metrics.watch("running", "Requests that run now.", lambda: gateway.running)
    metrics.watch("mirror_waiting", "Copies that wait for a shadow.", mirror.waiting)
    metrics.watch("checks_waiting", "Requests that wait for the classifier's check.", checks.waiting)
    app = web.Application(middlewares=[_errors, _doorman(parts.token)], client_max_size=limits.body_bytes)
    _offer(app, gateway, checks, memory, parts)
    work = (mirror.run, classifier.run, checks.run)
    closing = (upstream.close, classifier.close)
    app.cleanup_ctx.append(_background(parts, work, closing, on_failure))
    return app


def _offer(app: web.Application, gateway: Gateway, checks: Checks, memory: Memory, parts: Parts) -> None:
    async def models(_request: web.Request) -> web.Response:
        return web.json_response(model_list(gateway.table().table))

    async def feedback(request: web.Request) -> web.Response:
        with memory.share() as share:
            order = read_feedback(await body_of(request, share))
        if not parts.journal.kept:
            raise Refusal(
                HTTPStatus.NOT_IMPLEMENTED,
                "not_implemented",
                "This gateway keeps no records. Start it with --records-dir.",
            )
        if order.task is not None:
            known = _task_of(gateway.table(), order.task)
            if not checks.told(order.request_id, known):
                raise Refusal(
                    HTTPStatus.NOT_FOUND,
                    "invalid_request_error",
                    "request_id: this gateway remembers no classified request of this id.",
                    "request_id",
                )
            return web.json_response({"request_id": order.request_id}, status=HTTPStatus.ACCEPTED)
        draft = Judged(parts.clocks.wall(), order.request_id, order.score, order.label)
        if not parts.journal.add(draft):
            raise unavailable("Too many records wait to be written. Try again in a moment.")
        return web.json_response({"request_id": order.request_id}, status=HTTPStatus.ACCEPTED)

    async def healthz(_request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def readyz(_request: web.Request) -> web.Response:
        gateway.table()
        return web.Response(text="ok")

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=parts.metrics.render(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app.router.add_post(CHAT, gateway.complete)
    app.router.add_post(COMPLETIONS, gateway.complete)
    app.router.add_get("/v1/models", models)
    app.router.add_post("/v1/feedback", feedback)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)


def _task_of(held: Held, name: str) -> str | None:
    """The task that a user means; None where it is the generalist's. Raises Refusal."""
    if name == held.plan.generalist:
        return None
    if name not in held.plan.lanes:
        raise bad_request("task: name a task of the population, or the generalist for none.", "task")
    return name


def _background(
    parts: Parts,
    work: Sequence[Callable[[], Coroutine[Any, Any, None]]],
    closing: Sequence[Callable[[], Coroutine[Any, Any, None]]],
    on_failure: Callable[[], None],
) -> Callable[[web.Application], AsyncIterator[None]]:
    def start(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and task.exception() is not None:
                _LOG.critical("the gateway ends: %r", task.exception())
                on_failure()

        task = asyncio.create_task(work)
        task.add_done_callback(ended)
        return task

    async def run(_app: web.Application) -> AsyncIterator[None]:
        following = start(parts.source.follow(parts.tables))
        working = {start(each()) for each in work}
        writing = start(parts.journal.run())
        yield
        await _cancelled({following, *working})
        parts.journal.end()
        await asyncio.wait({writing})
        for close in closing:
            await close()
        await asyncio.to_thread(parts.tracing.close)

    return run


async def _cancelled(tasks: set[asyncio.Task[None]]) -> None:
    """Cancel, and again: a cancellation that meets a time limit in the same moment is taken for the limit."""
    while tasks:
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=1.0)


def _doorman(token: TokenFile | None) -> Middleware:
    @web.middleware
    async def doorman(request: web.Request, handler: Handler) -> web.StreamResponse:
        if token is None or request.path in _OPEN:
            return await handler(request)
        if token.is_in(request.headers.get("Authorization", "")):
            return await handler(request)
        raise Refusal(
            HTTPStatus.UNAUTHORIZED,
            "authentication_error",
            "Send the gateway's token as Authorization: Bearer.",
        )

    return doorman


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give every error OpenAI's body."""
    try:
        return await handler(request)
    except Refusal as refusal:
        headers = {"WWW-Authenticate": "Bearer"} if refusal.status == HTTPStatus.UNAUTHORIZED else {}
        return refused(refusal, headers)
    except web.HTTPRequestEntityTooLarge:
        message = f"A request has at most {request.client_max_size} bytes."
        return refused(Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "invalid_request_error", message), {})
    except web.HTTPException as error:
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return refused(Refusal(error.status, "invalid_request_error", error.reason), allow)
    except ConnectionError:
        raise
    except Exception:
        _LOG.exception("a request failed")
        return refused(
            Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", "The gateway failed. Read its log."),
            {},
        )
