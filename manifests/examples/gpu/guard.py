"""Asks for vLLM's token wherever vLLM does not: some of its other doors load and unload adapters, too.

vLLM 0.32 guards /v1 and a few more prefixes; /adapters and /invocations stay open. It loads this by
`--middleware=guard.Guard` with this folder on PYTHONPATH.
"""

import hmac
import os
from collections.abc import Awaitable, Callable
from typing import Any

OPEN = frozenset({"/health", "/metrics"})
"""What probes and Prometheus ask for."""

_Call = Callable[..., Awaitable[None]]


class Guard:
    """An ASGI middleware: 401 for whoever does not send VLLM_API_KEY as a bearer token."""

    def __init__(self, app: _Call) -> None:
        self._app = app
        self._expected = f"Bearer {os.environ['VLLM_API_KEY']}".encode()

    async def __call__(self, scope: dict[str, Any], receive: _Call, send: _Call) -> None:
        """Let a request through, or refuse it."""
        if scope["type"] not in ("http", "websocket") or scope["path"] in OPEN:
            await self._app(scope, receive, send)
            return
        given = b"".join(value for name, value in scope["headers"] if name == b"authorization")
        if hmac.compare_digest(given, self._expected):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            body = b'{"error":"Unauthorized"}'
            headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            await send({"type": "http.response.body", "body": body})
