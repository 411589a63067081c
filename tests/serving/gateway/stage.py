"""A gateway that really listens, engines that say what a test wants, and tables in a line."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from modelecology.api.live_records import Exchange, Feedback
from modelecology.api.routing import RoutingTable
from modelecology.serving.gateway.app import Limits, Parts, build_app
from modelecology.serving.gateway.embedder import Embedder
from modelecology.serving.gateway.embeddings import Embeddings
from modelecology.serving.gateway.journal import Journal, Keep, Redact, as_is
from modelecology.serving.gateway.metrics import GatewayMetrics
from modelecology.serving.gateway.recorder import MemoryRecorder
from modelecology.serving.gateway.service import Clocks
from modelecology.serving.gateway.tables import Offer, Tables
from modelecology.serving.tokens import TokenFile
from modelecology.serving.tracing import NO_TRACING, Tracing
from testbed.waiting import until as until  # noqa: PLC0414  # the tests of servers know it by this place

LIVE, SHADOW, CANARY, OLD = (f"dates-{digit * 12}" for digit in "1234")
Body = dict[str, Any]


def table(version: int = 1, engines: tuple[str, ...] = ("http://127.0.0.1:9",), **changes: Any) -> Body:
    """A table of population desk with one task, dates; `changes` are of its one route, or of the whole."""
    route: Body = {"task": "dates", "specialist": "dater", "live": LIVE}
    for name in ("live", "shadow", "canary", "pinned"):
        if name in changes:
            route[name] = changes.pop(name)
    whole = {
        "version": version,
        "namespace": "desk",
        "population": "desk",
        "generalist": "generalist",
        "engines": engines,
        "routes": [route],
        "rules": [{"task": "dates", "by": "Keyword", "value": "date"}],
    }
    return {**whole, **changes}


@dataclass
class Engine:
    """An engine double: answers in the name it was asked for, if that is resident, and counts."""

    resident: set[str] = field(default_factory=lambda: {LIVE, SHADOW, CANARY, OLD, "generalist"})
    asked: Counter[str] = field(default_factory=Counter)
    bodies: list[Body] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    lies: dict[str, str] = field(default_factory=dict)  # asked for this name, it answers in that
    words: dict[str, str] = field(default_factory=dict)  # what a name says, if not that it is itself
    status: int = 200  # of answers to names that are resident
    failing: set[str] = field(default_factory=set)  # names that answer 500
    gate: asyncio.Event = field(default_factory=asyncio.Event)  # answers wait for it
    held: set[str] = field(default_factory=set)  # names whose answers wait for the gate
    chunks: int = 3
    broken_after: int | None = None  # events after which a stream is cut
    running: int = 0
    gone: int = 0  # requests whose asker hung up
    endpoint: str = ""

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        name = body["model"]
        self.asked[name] += 1
        self.bodies.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        if name not in self.resident:
            return web.json_response({"error": {"message": "no such model"}}, status=404)
        self.running += 1
        try:
            if body.get("stream"):
                return await self._stream(request, name)
            if name in self.held:
                await self.gate.wait()
            status = 500 if name in self.failing else self.status
            if status != 200:
                return web.json_response({"error": {"message": "engine says no"}}, status=status)
            return web.json_response(self._whole(name, "chat" in request.path))
        except (asyncio.CancelledError, ConnectionError):
            self.gone += 1
            raise
        finally:
            self.running -= 1

    def _whole(self, name: str, chat: bool) -> Body:
        said = self.words.get(name, f"said by {name}")
        choice: Body = {"message": {"role": "assistant", "content": said}} if chat else {"text": said}
        usage = {"prompt_tokens": 7, "completion_tokens": 3}
        return {"id": "x", "model": self.lies.get(name, name), "choices": [choice], "usage": usage}

    async def _stream(self, request: web.Request, name: str) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        for number in range(self.chunks):
            if number == self.broken_after:
                assert request.transport is not None
                request.transport.abort()
                return stream
            event = {"model": self.lies.get(name, name), "choices": [{"delta": {"content": f"{number} "}}]}
            await stream.write(b"data: " + json.dumps(event).encode() + b"\n\n")
            if name in self.held:
                await self.gate.wait()
        usage = {"model": name, "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}
        await stream.write(b"data: " + json.dumps(usage).encode() + b"\n\ndata: [DONE]\n\n")
        return stream


class Still:
    """A source of tables that offers none: tests do."""

    async def follow(self, tables: Tables) -> None:
        await asyncio.Event().wait()


class Broken:
    """A source of tables that dies."""

    async def follow(self, tables: Tables) -> None:
        raise RuntimeError("deaf")


@dataclass
class Stage:
    """What a test plays with."""

    client: aiohttp.ClientSession
    tables: Tables
    metrics: GatewayMetrics
    engines: list[Engine]
    recorder: MemoryRecorder
    ends: list[str]

    @property
    def engine(self) -> Engine:
        return self.engines[0]

    @property
    def exchanges(self) -> list[Exchange]:
        return [record for record in self.recorder.records if isinstance(record, Exchange)]

    @property
    def feedback(self) -> list[Feedback]:
        return [record for record in self.recorder.records if isinstance(record, Feedback)]

    def publish(self, version: int = 1, **changes: Any) -> RoutingTable:
        """Offer a table that names the stage's engines; it must be taken."""
        engines = tuple(engine.endpoint for engine in self.engines)
        body = {"engines": engines, **table(version, **{"engines": engines, **changes})}
        assert self.tables.offer(json.dumps(body)) is Offer.TAKEN
        assert self.tables.held is not None
        return self.tables.held.table

    async def ask(
        self, model: str = "dates", text: str = "which day?", headers: Body | None = None, **fields: Any
    ) -> tuple[int, Body, dict[str, str]]:
        """One chat completion: status, body, headers (in lower case)."""
        body = {"model": model, "messages": [{"role": "user", "content": text}], **fields}
        async with self.client.post("/v1/chat/completions", json=body, headers=headers) as answer:
            found = {name.lower(): value for name, value in answer.headers.items()}
            return answer.status, await answer.json(), found

    def count(self, name: str, **labels: str) -> float:
        """A metric's value; 0 where it was never counted."""
        return self.metrics.registry.get_sample_value(f"modelecology_gateway_{name}", labels) or 0.0


@asynccontextmanager
async def listening(app: web.Application) -> AsyncIterator[str]:
    """Serve an application on this machine; gives its address."""
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def engine_listening(engine: Engine) -> AsyncIterator[Engine]:
    """Serve an engine double."""
    app = web.Application()
    app.router.add_post("/v1/chat/completions", engine.complete)
    app.router.add_post("/v1/completions", engine.complete)
    async with listening(app) as engine.endpoint:
        yield engine


@asynccontextmanager
async def staged(
    engines: list[Engine],
    *,
    keep: Keep = Keep.ANSWERS,
    redact: Redact = as_is,
    limits: Limits | None = None,
    token: TokenFile | None = None,
    engine_token: TokenFile | None = None,
    records: bool = True,
    source: Still | Broken | None = None,
    namespace: str = "desk",
    tracing: Tracing = NO_TRACING,
    embedder: Embedder | None = None,
) -> AsyncIterator[Stage]:
    """Serve a gateway before engines that listen already."""
    metrics = GatewayMetrics()
    tables = Tables("desk", namespace, metrics)
    recorder = MemoryRecorder()
    ends: list[str] = []
    parts = Parts(
        tables=tables,
        source=source or Still(),
        journal=Journal(
            recorder if records else None, metrics, lambda: 1_800_000_000.0, keep=keep, redact=redact
        ),
        metrics=metrics,
        clocks=Clocks(asyncio.get_running_loop().time, lambda: 1_800_000_000.0),
        token=token,
        engine_token=engine_token,
        limits=limits or Limits(),
        tracing=tracing,
        embedder=embedder or Embeddings(),
    )
    app = build_app(parts, on_failure=lambda: ends.append("failed"))
    async with listening(app) as address, aiohttp.ClientSession(address) as client:
        yield Stage(client, tables, metrics, engines, recorder, ends)
