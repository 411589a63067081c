"""The engine port over HTTP, as vLLM's OpenAI-compatible server speaks it; our CPU engine speaks the same."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, TypeVar

import aiohttp
from pydantic import BaseModel, ConfigDict, ValidationError

from .port import AnswerFailed, EngineRefused, EngineUnreachable, ModelCard
from .signals import busy_adapters

MAX_ANSWER_BYTES: Final = 8 * 1024 * 1024
"""No honest answer of an engine is longer; reading stops there."""

MAX_MESSAGE_LENGTH: Final = 500
"""Longest message of a refusal, in characters: it ends in a condition."""

_BUSY: Final = frozenset({429, 502, 503, 504})
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")
_CHAT: Final = "/v1/chat/completions"
_TOKEN_FIELD: Final = "serving.tokenSecretRef"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long each kind of request may take, in seconds."""

    connect: float = 3.0
    list: float = 10.0
    load: float = 120.0
    chat: float = 120.0


class _Edge(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Card(_Edge):
    id: str
    root: str | None = None
    parent: str | None = None


class _Cards(_Edge):
    data: tuple[_Card, ...]


class _Message(_Edge):
    content: str | None = None


class _Choice(_Edge):
    message: _Message


class _Completion(_Edge):
    choices: tuple[_Choice, ...]


class _ErrorBody(_Edge):
    message: str


class _Error(_Edge):
    # vLLM's door says no in a plain string, everything behind it in an object.
    error: _ErrorBody | str


_T = TypeVar("_T", bound=_Edge)


class VllmEngine:
    """One replica at `endpoint`, e.g. http://127.0.0.1:8000 (a trailing /v1 is dropped).

    `token` is sent as a bearer token and never logged; one that is read by a function is read before every
    request, so that it can be rotated. The session opens at the first call.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        token: str | Callable[[], str] | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._endpoint = endpoint.rstrip("/").removesuffix("/v1")
        self._token = token
        self._patience = patience or Patience()
        self._session: aiohttp.ClientSession | None = None

    @property
    def endpoint(self) -> str:
        """The replica's address without a trailing slash or /v1."""
        return self._endpoint

    async def models(self) -> tuple[ModelCard, ...]:
        """What the engine says it serves now. Raises EngineUnreachable, EngineRefused."""
        status, body = await self._request("GET", "/v1/models", None, self._patience.list)
        if status != HTTPStatus.OK:
            raise self._refusal(status, body)
        cards = self._parse(_Cards, body)
        return tuple(ModelCard(card.id, card.root, card.parent) for card in cards.data)

    async def load(self, name: str, path: str) -> None:
        """Ask the engine to serve the adapter in directory `path` as `name`.

        Raises EngineUnreachable; EngineRefused: 400 if the name is served already, 404 without such a path.
        """
        order = {"lora_name": name, "lora_path": path}
        status, body = await self._request("POST", "/v1/load_lora_adapter", order, self._patience.load)
        if status != HTTPStatus.OK:
            raise self._refusal(status, body)

    async def unload(self, name: str, drain_seconds: float = 0.0) -> None:
        """Ask the engine to forget `name`; 404 is success. Raises EngineUnreachable, EngineRefused.

        Our engine gives requests under way so many seconds; vLLM waits for none.
        """
        order = {"lora_name": name}
        # Beside the order: an engine that does not know it could refuse one with a field more.
        path = f"/v1/unload_lora_adapter?drain_seconds={drain_seconds:g}"
        status, body = await self._request("POST", path, order, self._patience.load)
        if status not in {HTTPStatus.OK, HTTPStatus.NOT_FOUND}:
            raise self._refusal(status, body)

    async def busy(self) -> frozenset[str] | None:
        """The adapters with requests, by the engine's metrics; None where these do not say.

        Raises EngineUnreachable, EngineRefused.
        """
        status, body = await self._request("GET", "/metrics", None, self._patience.list)
        return busy_adapters(body.decode("utf-8", "replace")) if status == HTTPStatus.OK else None

    async def chat(self, model: str, prompt: str, max_tokens: int) -> str:
        """The greedy answer of `model` to one user message.

        Raises EngineUnreachable; AnswerFailed for a failure inside the engine, which is worth another try
        here, unlike on load, and where it takes too long; EngineRefused with 404 for an unknown model.
        """
        order = {
            "model": model,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": max_tokens,
            "temperature": 0,
            "seed": 0,
        }
        status, body = await self._request("POST", _CHAT, order, self._patience.chat)
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            raise AnswerFailed(f"{self._endpoint} failed while it answered: {_words(body)}")
        if status != HTTPStatus.OK:
            raise self._refusal(status, body)
        choices = self._parse(_Completion, body).choices
        if not choices:
            raise EngineRefused(status, "the completion has no choices; is this an OpenAI-compatible server?")
        return choices[0].message.content or ""

    async def close(self) -> None:
        """Close the session's connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _request(
        self, method: str, path: str, order: Mapping[str, object] | None, total: float
    ) -> tuple[int, bytes]:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        timeout = aiohttp.ClientTimeout(total=total, sock_connect=self._patience.connect)
        try:
            async with self._session.request(
                method,
                self._endpoint + path,
                json=order,
                headers=self._authorization(),
                timeout=timeout,
                allow_redirects=False,
            ) as answer:
                body = await _read_bounded(answer.content)
                status = answer.status
        except aiohttp.InvalidURL as error:
            raise EngineRefused(0, f"{self._endpoint} is not a usable address; mend the endpoint") from error
        except TimeoutError as error:
            kind = AnswerFailed if path == _CHAT else EngineUnreachable
            raise kind(f"{self._endpoint}{path} did not answer within {total:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise EngineUnreachable(f"{self._endpoint}{path} cannot be reached: {error}") from error
        if status in _BUSY:
            raise EngineUnreachable(f"{self._endpoint}{path} answered {status}: {_words(body)}")
        return status, body

    def _authorization(self) -> dict[str, str]:
        """Read the token; one that cannot be read or sent is the engine's refusal to come."""
        try:
            token = self._token() if callable(self._token) else self._token
        except (OSError, UnicodeDecodeError) as error:
            why = f"its token cannot be read ({type(error).__name__}); mount the Secret of {_TOKEN_FIELD}"
            raise EngineRefused(0, f"{self._endpoint} is not asked: {why}") from error
        if token is None:
            return {}
        if not _TOKEN.fullmatch(token.strip()):
            why = f"its token is empty or holds spaces; mend the Secret of {_TOKEN_FIELD}"
            raise EngineRefused(0, f"{self._endpoint} is not asked: {why}")
        return {"Authorization": f"Bearer {token.strip()}"}

    def _refusal(self, status: int, body: bytes) -> EngineRefused:
        words = _words(body)
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            words = f"{words} (the engine wants a bearer token)"
        return EngineRefused(status, words)

    def _parse(self, kind: type[_T], body: bytes) -> _T:
        try:
            return kind.model_validate_json(body)
        except ValidationError as error:
            where = f"{self._endpoint} answered something else than OpenAI's API"
            raise EngineRefused(200, f"{where}: {error.errors()[0]['msg']}") from error


async def _read_bounded(stream: aiohttp.StreamReader) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in stream.iter_chunked(64 * 1024):
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            raise aiohttp.ClientPayloadError(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def _words(body: bytes) -> str:
    """The message of an error body, or the body itself if it is not one."""
    try:
        said = _Error.model_validate_json(body).error
        text = said if isinstance(said, str) else said.message
    except ValidationError:
        text = body.decode("utf-8", "replace")
    return " ".join(text.split())[:MAX_MESSAGE_LENGTH] or "no message"
