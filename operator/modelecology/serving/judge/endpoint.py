"""A judge behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Final

import aiohttp

from modelecology.serving.gateway.answers import read_answer
from modelecology.serving.tokens import TokenFile

from .comparison import Comparison, Word, read_word
from .port import JudgeAway, JudgeFailed

_PATH: Final = "/v1/chat/completions"
_MOST_BYTES: Final = 1 << 20
_CONNECT_SECONDS: Final = 10.0
# Of the endpoint and not of the question: wrong token, no such model or path, too busy, on its way down.
_AWAY: Final = frozenset({401, 403, 404, 408, 429, 502, 503, 504})


class Endpoint:
    """Asks one model, at temperature 0. `seconds` is the time for a whole reply."""

    def __init__(
        self, address: str, model: str, *, token: TokenFile | None, seconds: float, most_tokens: int
    ) -> None:
        self._url = address.rstrip("/").removesuffix("/v1") + _PATH
        self._model = model
        self._token = token
        self._seconds = seconds
        self._most_tokens = most_tokens
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, comparison: Comparison) -> Word:
        """Ask once. Raises JudgeAway, JudgeFailed."""
        headers = {"Content-Type": "application/json"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token.token()}"
        try:
            async with self._opened().post(self._url, data=self._body(comparison), headers=headers) as answer:
                status, raw = answer.status, await _read(answer)
        except aiohttp.ConnectionTimeoutError as error:
            raise JudgeAway("it takes no connection") from error
        except TimeoutError as error:
            raise JudgeFailed(f"no reply within {self._seconds:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise JudgeAway(f"it cannot be reached: {type(error).__name__}") from error
        if status in _AWAY:
            raise JudgeAway(f"HTTP {status}")
        if status != HTTPStatus.OK:
            raise JudgeFailed(f"HTTP {status}")
        return _word(raw)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self._seconds, connect=min(self._seconds, _CONNECT_SECONDS))
            self._session = aiohttp.ClientSession(timeout=timeout)
        return self._session

    def _body(self, comparison: Comparison) -> bytes:
        messages = [
            {"role": "system", "content": comparison.rules()},
            {"role": "user", "content": comparison.material()},
        ]
        body = {
            "model": self._model,
            "messages": messages,
            "temperature": 0,
            "max_tokens": self._most_tokens,
        }
        return json.dumps(body).encode()


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    raw = await answer.content.read(_MOST_BYTES)
    while not answer.content.at_eof():
        if len(raw) >= _MOST_BYTES:
            raise JudgeFailed("the reply is too long")
        raw += await answer.content.read(_MOST_BYTES - len(raw))
    return raw


def _word(raw: bytes) -> Word:
    answer = read_answer(raw, with_text=True)
    if answer is None or answer.text is None:
        raise JudgeFailed("the reply is none of OpenAI's form")
    word = read_word(answer.text)
    if word is None:
        # Not what it says: that may be the user's words.
        raise JudgeFailed("the reply is not FIRST, SECOND or SAME")
    return word
