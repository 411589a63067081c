"""Asks the engines, one after another until one answers in the name that it was asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Final, TypeAlias

import aiohttp

from modelecology.api.routing import RouteReason
from modelecology.serving.tokens import TokenFile
from modelecology.serving.tracing import ENGINE, MODEL, NO_SPAN, Span

from .answers import Answer, StreamScan, read_answer
from .metrics import GatewayMetrics
from .refusal import Refusal, unavailable
from .replicas import Replica, Replicas

MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
"""No honest answer is longer; reading stops there."""

_MOST_HEAD: Final = 64 * 1024
_BUSY: Final = frozenset({429, 502, 503, 504})
_NOT_US: Final = frozenset({401, 403})
_UNREACHED: Final = 503
"""What a span says of a try that reached nobody."""
# Below the 5 seconds after which uvicorn, which vLLM uses, ends an idle connection.
_KEEP_ALIVE_SECONDS: Final = 4.0


@dataclass(frozen=True, slots=True)
class Question:
    """What the engines are asked. `allowed` is asked before each try: a quarantine may come between two."""

    path: str
    served: str
    body: bytes
    headers: Mapping[str, str]
    allowed: Callable[[], bool]
    with_text: bool = False
    span: Span = NO_SPAN
    """Of the request that it is asked for; each try is a span below it."""


@dataclass(frozen=True, slots=True)
class Whole:
    """An answer in one piece, or an engine's error; then `answer` is None."""

    status: int
    body: bytes
    content_type: str
    answer: Answer | None


@dataclass(frozen=True, slots=True)
class Streamed:
    """An answer that still comes: what was read to see who answers, and the rest."""

    content_type: str
    head: bytes
    rest: AsyncIterator[bytes]
    scan: StreamScan


class NotServed(Exception):
    """No engine answers in this name. Another try may help, but the user is not kept waiting for it."""

    retry = True

    def __init__(self, reason: RouteReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class _Kind(StrEnum):
    UNREACHABLE = "unreachable"
    BUSY = "busy"
    UNAUTHORIZED = "unauthorized"
    MISSING = "missing"
    WRONG_MODEL = "wrong_model"


@dataclass(frozen=True, slots=True)
class _Miss:
    kind: _Kind
    said: Whole | None = None


_Got: TypeAlias = Whole | Streamed
_REASONS: Final = {
    _Kind.WRONG_MODEL: RouteReason.WRONG_MODEL_ANSWERED,
    _Kind.MISSING: RouteReason.NOT_RESIDENT,
}


class Upstream:
    """The engines of the newest table. The session opens at the first question; times are in seconds."""

    def __init__(
        self,
        replicas: Replicas,
        metrics: GatewayMetrics,
        *,
        token: TokenFile | None = None,
        connect_seconds: float,
        answer_seconds: float,
    ) -> None:
        self._replicas = replicas
        self._metrics = metrics
        self._token = token
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=connect_seconds, sock_read=answer_seconds
        )
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def ask(self, question: Question) -> AsyncIterator[_Got]:
        """Give the answer of the first engine that serves the name.

        Raises NotServed; Refusal if no engine can be reached or one does not end its answer.
        """
        misses: list[_Miss] = []
        for replica in self._tries(question.served, misses):
            if not question.allowed():
                raise NotServed(RouteReason.QUARANTINED)
            replica.outstanding += 1
            response: aiohttp.ClientResponse | None = None
            trying = question.span.ask(f"POST {question.path}")
            try:
                got: _Got | _Miss
                try:
                    response = await self._post(replica, question, trying)
                    got = await _judge(response, question)
                except aiohttp.ConnectionTimeoutError:
                    got = _Miss(_Kind.UNREACHABLE)
                except TimeoutError as error:
                    raise _too_slow() from error
                except (aiohttp.ClientError, OSError):
                    # Nothing has reached the user yet, so another may be asked.
                    got = _Miss(_Kind.UNREACHABLE)
                if not isinstance(got, _Miss):
                    yield got
                    return
                misses.append(got)
                self._remember(replica, question.served, got.kind)
            finally:
                replica.outstanding -= 1
                if trying.on:
                    trying.tell({ENGINE: replica.endpoint, MODEL: question.served})
                trying.end(response.status if response is not None else _UNREACHED)
                if response is not None:
                    _let_go(response)
        yield _conclude(misses)

    def _tries(self, served: str, misses: Sequence[_Miss]) -> Iterator[Replica]:
        """Every engine once, and once more if none was reached: that may be a pause of our own machine."""
        yield from self._replicas.choices(served)
        if all(miss.kind is _Kind.UNREACHABLE for miss in misses):
            yield from self._replicas.choices(served)

    async def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _post(self, replica: Replica, question: Question, trying: Span) -> aiohttp.ClientResponse:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=self._timeout,
            )
        headers = {"Content-Type": "application/json", **question.headers, **trying.headers()}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token.token()}"
        for last in (False, True):
            try:
                # A redirect is not followed: the token is for this address and no other.
                return await self._session.post(
                    replica.endpoint + question.path,
                    data=question.body,
                    headers=headers,
                    allow_redirects=False,
                )
            except aiohttp.ClientConnectorError:
                raise
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                # An idle connection that the engine ended in the same moment says nothing about the engine.
                if last:
                    raise
        raise AssertionError("the last try returns or raises")

    def _remember(self, replica: Replica, served: str, kind: _Kind) -> None:
        self._metrics.engine_failed(replica.endpoint, kind.value)
        if kind in _REASONS:
            self._replicas.lacks(replica, served)
        else:
            self._replicas.failed(replica)


def _conclude(misses: list[_Miss]) -> Whole:
    """What it means that no engine gave an answer. Raises NotServed, Refusal."""
    kinds = [miss.kind for miss in misses]
    for kind, reason in _REASONS.items():
        if kind in kinds:
            raise NotServed(reason)
    said = next((miss.said for miss in reversed(misses) if miss.said is not None), None)
    if said is not None:
        return said
    if _Kind.UNAUTHORIZED in kinds:
        raise unavailable("The engines refuse the gateway's token. Mend the file of --engine-token-file.")
    raise unavailable("No engine can be reached. Try again in a moment.")


async def _judge(response: aiohttp.ClientResponse, question: Question) -> _Got | _Miss:
    status = response.status
    if status in _NOT_US:
        return _Miss(_Kind.UNAUTHORIZED)
    if status == HTTPStatus.OK and response.content_type == "text/event-stream":
        return await _judge_stream(response, question)
    whole = await _read(response)
    if status == HTTPStatus.NOT_FOUND:
        return _Miss(_Kind.MISSING)
    if status in _BUSY:
        return _Miss(_Kind.BUSY, whole)
    if status != HTTPStatus.OK:
        return whole
    answer = read_answer(whole.body, with_text=question.with_text)
    if answer is None or answer.model != question.served:
        return _Miss(_Kind.WRONG_MODEL)
    return Whole(status, whole.body, whole.content_type, answer)


async def _judge_stream(response: aiohttp.ClientResponse, question: Question) -> _Got | _Miss:
    scan = StreamScan(with_text=question.with_text)
    head = b""
    rest = response.content.iter_any()
    while not scan.begun:
        try:
            chunk = await anext(rest)
        except StopAsyncIteration:
            return _Miss(_Kind.WRONG_MODEL)
        head += chunk
        scan.feed(chunk)
        if len(head) > _MOST_HEAD:
            return _Miss(_Kind.WRONG_MODEL)
    if scan.model != question.served and not (scan.failed and scan.model is None):
        return _Miss(_Kind.WRONG_MODEL)
    return Streamed(response.headers["Content-Type"], head, rest, scan)


async def _read(response: aiohttp.ClientResponse) -> Whole:
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > MAX_ANSWER_BYTES:
            raise aiohttp.ClientPayloadError(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")
    content_type = response.headers.get("Content-Type", "application/json")
    return Whole(response.status, b"".join(parts), content_type, None)


def _let_go(response: aiohttp.ClientResponse) -> None:
    # A connection with an answer under way cannot be used again.
    if response.content.at_eof():
        response.release()
    else:
        response.close()


def _too_slow() -> Refusal:
    return Refusal(
        HTTPStatus.GATEWAY_TIMEOUT, "timeout", "The engine did not answer in time. Ask for fewer tokens."
    )
