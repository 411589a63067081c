"""The gateway's work on one request: admit, route, ask, relay, count, and tell mirror and journal."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final

import aiohttp
from aiohttp import web

from modelecology.api.routing import Isolation, RouteReason
from modelecology.serving.tracing import NO_TRACING, Tracing

from .answers import Answer
from .checks import Checks
from .classifier import Classifier
from .flights import Flight, Flights
from .journal import Journal, Said, Seen
from .memory import Memory, Share, memory_of
from .metrics import GatewayMetrics
from .mirror import Errand, Mirror
from .orders import Order, read_order
from .passage import REQUEST_ID, Passage, Routed, asker_of, no_route, on_trial, sticky_key
from .plan import Facts, Plan
from .refusal import Refusal, bad_gateway, bad_request, unavailable
from .route import fall_back, is_sampled, route, shadow_of
from .tables import Held, Tables
from .upstream import NotServed, Question, Streamed, Upstream, Whole
from .word import Word

SESSION: Final = "x-session-id"

_BODY_SECONDS: Final = 30.0
_CLIENT_GONE: Final = 499
"""What nginx writes down for a client that hung up."""

_TRACE: Final = ("traceparent", "tracestate")


@dataclass(frozen=True, slots=True)
class Clocks:
    """`steady` measures; `wall` is seconds since 1970."""

    steady: Callable[[], float]
    wall: Callable[[], float]


class Gateway:
    """Answers completions. One object a process; all parts are given."""

    def __init__(
        self,
        tables: Tables,
        upstream: Upstream,
        flights: Flights,
        mirror: Mirror,
        journal: Journal,
        metrics: GatewayMetrics,
        clocks: Clocks,
        classifier: Classifier,
        checks: Checks,
        *,
        memory: Memory,
        most_running: int,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        self._tables = tables
        self._upstream = upstream
        self._flights = flights
        self._mirror = mirror
        self._journal = journal
        self._metrics = metrics
        self._clocks = clocks
        self._classifier = classifier
        self._checks = checks
        self._most_running = most_running
        self._memory = memory
        self._tracing = tracing
        self.running = 0
        tables.listen(self._isolate)

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, or say why not."""
        span = self._tracing.serve(f"POST {request.path}", request.headers)
        passage = Passage(secrets.token_hex(16), self._clocks.steady(), span=span)
        self.running += 1
        try:
            with self._memory.share() as share:
                return await self._serve(request, passage, share)
        except Refusal as refusal:
            self._count(passage, refusal.status)
            return refused(refusal, passage.headers())
        except (asyncio.CancelledError, ConnectionError):
            self._count(passage, _CLIENT_GONE)
            raise
        finally:
            self.running -= 1
            passage.end()

    async def _serve(self, request: web.Request, passage: Passage, share: Share) -> web.StreamResponse:
        if self.running > self._most_running:
            raise unavailable("The gateway runs as many requests as it may. Try again in a moment.")
        order = read_order(request.path, await body_of(request, share))
        word = await self._classified(request, order, passage)
        # From here to the first try nothing waits: what is routed by a table is sent by it.
        routed = passage.routed = self._route(request, order, passage, word)
        try:
            return await self._ask(request, passage, routed)
        except NotServed as miss:
            if routed.route.target == routed.held.plan.generalist:
                raise bad_gateway("The engines do not serve the generalist by the table's name.") from miss
            self._record_failure(passage.request_id, routed, miss.reason.value)
            routed = passage.routed = self._instead(routed, miss.reason)
        except Refusal as refusal:
            if routed.route.target not in self.table().plan.quarantined:
                waited = self._clocks.steady() - passage.started
                self._record_failure(passage.request_id, routed, f"HTTP {int(refusal.status)}", waited)
            raise
        try:
            return await self._ask(request, passage, routed)
        except NotServed as miss:
            raise bad_gateway("Neither the revision nor the generalist is served by the engines.") from miss

    async def _classified(self, request: web.Request, order: Order, passage: Passage) -> Word | None:
        """Ask the classifier of a request that no rule matches, where its word would count."""
        plan = self.table().plan
        examples = plan.examples
        if examples is None or not examples.routed or order.model != plan.population:
            return None
        rule = plan.rule_of(_facts(request, order, plan))
        passage.tried = plan, rule
        if rule is not None:
            return None
        word = await self._classifier.ask(examples, order.text)
        if self._journal.kept:
            self._checks.remember(passage.request_id, word)
        return word

    def _route(self, request: web.Request, order: Order, passage: Passage, word: Word | None) -> Routed:
        held, request_id = self.table(), passage.request_id
        sticky = sticky_key(request.headers.get(SESSION), order, request_id)
        chosen = route(held.plan, _facts(request, order, held.plan), sticky, word, passage.tried)
        if not self._journal.kept:
            return Routed(order, held, chosen, shadow=None, kept=False)
        if held.plan.examples is not None:
            self._checks.offer(held.plan.examples, chosen, order.text, request_id)
        shadow = shadow_of(held.plan, chosen, request_id)
        if order.comparable():
            asker = asker_of(held.plan.population, request.headers.get(SESSION), order)
            kept = on_trial(held, chosen) or is_sampled(held.plan, chosen, request_id)
            return Routed(order, held, chosen, shadow, kept, asker)
        if shadow is not None:
            self._metrics.dropped(shadow, "not_comparable")
        return Routed(order, held, chosen, shadow=None, kept=False)

    def _instead(self, routed: Routed, reason: RouteReason) -> Routed:
        """The fallback, where nobody serves what was chosen."""
        held, missed = self.table(), routed.route
        chosen = replace(
            fall_back(held.plan, reason, missed.task, missed.target),
            rule=missed.rule,
            similarity=missed.similarity,
        )
        return Routed(routed.order, held, chosen, shadow=None, kept=False)

    def table(self) -> Held:
        """The table in use. Raises Refusal if there is none yet."""
        held = self._tables.held
        if held is None:
            raise unavailable("The gateway has no routing table yet. Look at its source and at the operator.")
        return held

    async def _ask(self, request: web.Request, passage: Passage, routed: Routed) -> web.StreamResponse:
        chosen = routed.route
        if chosen.target is None:
            raise no_route(chosen, routed.order.model)
        if chosen.fallback:
            self._metrics.fell_back(chosen.wanted, chosen.reason)
        served = chosen.target
        headers = {name: value for name in _TRACE if (value := request.headers.get(name))}
        headers.update(passage.span.headers())
        headers[REQUEST_ID] = passage.request_id
        question = Question(
            path=routed.order.path,
            served=served,
            body=routed.order.body_for(served),
            headers=headers,
            allowed=lambda: served not in self.table().plan.quarantined,
            with_text=routed.recorded,
            span=passage.span,
        )
        with self._flights.to(served) as flight:
            asked = self._clocks.steady()
            try:
                async with self._upstream.ask(question) as got:
                    if isinstance(got, Whole):
                        answer: web.StreamResponse = web.Response(
                            body=got.body,
                            status=got.status,
                            headers={**passage.headers(), "Content-Type": got.content_type},
                        )
                        status, known = got.status, got.answer
                    else:
                        answer, status = await self._relay(request, passage, got, flight)
                        known = got.scan.answer()
            except (asyncio.CancelledError, ConnectionError) as left:
                if isinstance(left, asyncio.CancelledError) and flight.isolated:
                    flight.task.uncancel()
                    raise self._cut_off(served) from None
                # Else one that hangs until nobody waits any more would leave no trace.
                why, seconds = f"HTTP {_CLIENT_GONE}", self._clocks.steady() - asked
                self._record_failure(passage.request_id, routed, why, seconds)
                raise
        tokens = 0
        if known is not None:
            tokens = (known.prompt_tokens or 0) + (known.completion_tokens or 0)
            self._metrics.counted(served, known.prompt_tokens, known.completion_tokens)
        self._count(passage, status, tokens)
        if routed.recorded:
            said = _said(served, status, known, self._clocks.steady() - asked)
            self._record(self._seen(passage.request_id, routed, said), routed, headers)
        return answer

    async def _relay(
        self, request: web.Request, passage: Passage, got: Streamed, flight: Flight
    ) -> tuple[web.StreamResponse, int]:
        """Pass a stream on, chunk by chunk; its end may be an error, which then is its last event."""
        stream = web.StreamResponse(headers={**passage.headers(), "Content-Type": got.content_type})
        stream.headers["Cache-Control"] = "no-cache"
        try:
            await stream.prepare(request)
            await stream.write(got.head)
            async for chunk in got.rest:
                got.scan.feed(chunk)
                await stream.write(chunk)
        except asyncio.CancelledError:
            if not flight.isolated or not stream.prepared:
                raise
            flight.task.uncancel()
            refusal = self._cut_off(flight.served)
        except (aiohttp.ClientPayloadError, aiohttp.SocketTimeoutError):
            refusal = bad_gateway("The engine broke off in the middle of its answer.")
        else:
            await stream.write_eof()
            return stream, HTTPStatus.BAD_GATEWAY if got.scan.failed else HTTPStatus.OK
        await stream.write(b"data: " + refusal.body() + b"\n\n")
        await stream.write_eof()
        return stream, refusal.status

    def _cut_off(self, served: str) -> Refusal:
        self._metrics.isolated(served)
        return unavailable("The revision was quarantined while it answered. Ask again.")

    def _count(self, passage: Passage, status: int, tokens: int = 0) -> None:
        passage.status = int(status)
        chosen = passage.routed.route if passage.routed is not None else None
        if chosen is not None:
            self._journal.counts.add(chosen.task, chosen.target, tokens, classified=chosen.by_classifier)
        self._metrics.answered(
            chosen.target if chosen is not None else None,
            chosen.task if chosen is not None else None,
            int(status),
            self._clocks.steady() - passage.started,
        )

    def _record(self, seen: Seen, routed: Routed, headers: Mapping[str, str]) -> None:
        if routed.kept:
            # At once: a failure is, and what succeeds must not come later, or it would look like trouble.
            self._journal.add(seen)
        shadow = routed.shadow if seen.answer.error is None else None
        if shadow is not None:
            order = routed.order
            self._mirror.offer(Errand(shadow, order.path, order.copy_for(shadow), headers, seen))

    def _record_failure(self, request_id: str, routed: Routed, why: str, seconds: float = 0.0) -> None:
        """A canary that no engine serves, or that does not answer, has failed as well."""
        if routed.kept:
            said = Said(routed.route.target or "", None, why, seconds, None)
            self._journal.add(self._seen(request_id, routed, said))

    def _seen(self, request_id: str, routed: Routed, said: Said) -> Seen:
        return Seen(
            time=self._clocks.wall(),
            request_id=request_id,
            population=routed.held.table.population,
            task=routed.route.task or "",
            table=routed.held.digest,
            arm=routed.arm,
            sampled=routed.kept,
            asker=routed.asker,
            prompt=routed.order.prompt(),
            prompt_is_json=not routed.order.is_one_text(),
            answer=said,
        )

    def _isolate(self, held: Held) -> None:
        if held.table.isolate is Isolation.CANCEL:
            self._flights.cut(held.plan.quarantined)


async def body_of(request: web.Request, share: Share) -> bytes:
    """Read a client's body. Raises Refusal if it is late or finds no room, aiohttp's error if too large."""
    # Before it comes: many who hold back their last byte hold all the others.
    length, most = request.content_length, request.client_max_size
    share.take(most if length is None else min(length, most))
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            body = await request.read()
    except TimeoutError as error:
        raise bad_request(f"The body did not come within {_BODY_SECONDS:g} s.") from error
    share.take(memory_of(body))
    return body


def refused(refusal: Refusal, headers: Mapping[str, str]) -> web.Response:
    """Answer with an error."""
    extra = {"Retry-After": "1"} if refusal.retry else {}
    return web.Response(
        body=refusal.body(),
        status=refusal.status,
        headers={**headers, **extra, "Content-Type": "application/json"},
    )


def _facts(request: web.Request, order: Order, plan: Plan) -> Facts:
    headers = {name: value for name in plan.header_names if (value := request.headers.get(name))}
    return order.facts(headers)


def _said(served: str, status: int, known: Answer | None, seconds: float) -> Said:
    if known is None or known.text is None or status != HTTPStatus.OK:
        return Said(served, None, f"HTTP {int(status)}", seconds, None)
    return Said(served, known.text, None, seconds, known.completion_tokens)
