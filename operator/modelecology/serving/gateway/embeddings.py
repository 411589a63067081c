"""A model of embeddings behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from modelecology.serving.tokens import TokenFile

from .embedder import EmbedderAway, Place, Vector

_PATH: Final = "/v1/embeddings"
_MOST_BYTES: Final = 16 * 1024 * 1024
_MOST_CONNECTIONS: Final = 64


class _Row(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    index: int = Field(ge=0)
    embedding: list[float] = Field(min_length=1, max_length=65536)


class _Said(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    data: list[_Row]


class Embeddings:
    """Asks endpoints for embeddings; the token goes with each request and nowhere else."""

    def __init__(self, token: TokenFile | None = None) -> None:
        self._token = token
        self._session: aiohttp.ClientSession | None = None

    async def embed(self, place: Place, texts: Sequence[str], seconds: float) -> Sequence[Vector]:
        """Embed texts, one vector each in their order, all of one length. Raises EmbedderAway."""
        headers = {"Content-Type": "application/json"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token.token()}"
        # Half a surrogate pair is allowed in JSON's text, and many servers break on it.
        clean = [text.encode("utf-8", "replace").decode() for text in texts]
        body = json.dumps({"model": place.model, "input": clean, "encoding_format": "float"}).encode()
        try:
            async with self._opened().post(
                place.endpoint + _PATH,
                data=body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=seconds),
                allow_redirects=False,  # the token would go along
            ) as answer:
                status, raw = answer.status, await _read(answer)
        except TimeoutError as error:
            raise EmbedderAway(f"no answer within {seconds:g} s", slow=True) from error
        except (aiohttp.ClientError, OSError) as error:
            raise EmbedderAway(f"it cannot be reached: {type(error).__name__}") from error
        if status != HTTPStatus.OK:
            raise EmbedderAway(f"HTTP {status}")
        return _vectors(raw, len(texts))

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=_MOST_CONNECTIONS))
        return self._session


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    raw = bytearray()
    async for chunk in answer.content.iter_any():
        raw += chunk
        if len(raw) > _MOST_BYTES:
            raise EmbedderAway("the answer is too long")
    return bytes(raw)


def _vectors(raw: bytes, wanted: int) -> list[Vector]:
    try:
        rows = _Said.model_validate_json(raw).data
    except ValidationError as error:
        raise EmbedderAway("the answer is none of OpenAI's form") from error
    found: dict[int, Vector] = {row.index: row.embedding for row in rows}
    if len(rows) != wanted or sorted(found) != list(range(wanted)):
        raise EmbedderAway(f"it gives {len(rows)} vectors for {wanted} texts")
    if len({len(vector) for vector in found.values()}) > 1:
        raise EmbedderAway("its vectors are of several lengths")
    return [found[place] for place in range(wanted)]
