"""A client of a population's gateway: it asks, and says later what would have been right."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

import urllib3
from urllib3.exceptions import HTTPError

_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What the gateway says: `text` is None where nobody answered, and `route` empty."""

    status: int
    route: str
    reason: str
    request_id: str
    text: str | None


class NoReply(Exception):
    """The gateway did not answer at all; asking again may help."""

    retry = True


class GatewayClient:
    """Asks one gateway with its token. Threads may share it."""

    def __init__(self, gateway: str, token: str, connections: int = 2) -> None:
        self._gateway = gateway
        self._headers = {"Authorization": f"Bearer {token}"}
        self._pool = urllib3.PoolManager(maxsize=connections)

    def chat(self, model: str, prompt: str, tokens: int, user: str | None = None) -> Reply:
        """Ask one question; the engine picks the likeliest words. Raises NoReply."""
        body: dict[str, object] = {
            "model": model,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": tokens,
            "temperature": 0,
        }
        found = self._post("/v1/chat/completions", body if user is None else {**body, "user": user})
        text = None
        if found.status == HTTPStatus.OK:
            text = str(json.loads(found.data)["choices"][0]["message"]["content"] or "")
        headers = found.headers
        return Reply(
            found.status,
            headers.get("x-modelecology-route", ""),
            headers.get("x-modelecology-reason", f"HTTP {found.status}"),
            headers.get("x-request-id", ""),
            text,
        )

    def label(self, request_id: str, label: str) -> bool:
        """Say what would have been right; False if the gateway did not take it."""
        try:
            found = self._post("/v1/feedback", {"request_id": request_id, "label": label})
        except NoReply:
            return False
        return found.status < HTTPStatus.BAD_REQUEST

    def close(self) -> None:
        """Hang up."""
        self._pool.clear()

    def _post(self, path: str, body: Mapping[str, object]) -> urllib3.BaseHTTPResponse:
        try:
            return self._pool.request(
                "POST",
                self._gateway + path,
                json=body,
                headers=self._headers,
                timeout=urllib3.Timeout(_SECONDS),
                retries=False,
            )
        except HTTPError as error:
            raise NoReply(f"{self._gateway}{path} does not answer: {error}") from error
