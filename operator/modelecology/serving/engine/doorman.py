"""Who may come in, and with how much: the bearer token and the size of a request."""

from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from modelecology.serving.tokens import TokenFile

from .wire import error_body

MAX_BODY_BYTES: Final = 2 * 1024 * 1024

_OPEN: Final = frozenset({"/health"})


class Doorman:
    """Turns away what lacks the token (401) or is too large (413, or 411 if it does not say its size)."""

    def __init__(self, app: ASGIApp, token: TokenFile | None) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope, Headers(scope=scope))
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await refusal(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> JSONResponse | None:
        known = self._token is None or self._token.is_in(headers.get("authorization", ""))
        if not known and scope["path"] not in _OPEN:
            return _say(HTTPStatus.UNAUTHORIZED, "Send the engine's token as Authorization: Bearer.")
        if scope["method"] in {"POST", "PUT", "PATCH"}:
            length = headers.get("content-length", "")
            if not length.isdecimal():
                return _say(HTTPStatus.LENGTH_REQUIRED, "Send a Content-Length.")
            if int(length) > MAX_BODY_BYTES:
                return _say(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"A request has at most {MAX_BODY_BYTES} bytes."
                )
        return None


def _say(status: HTTPStatus, message: str) -> JSONResponse:
    headers = {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else None
    return JSONResponse(error_body(message, status.phrase, None, int(status)), int(status), headers)
