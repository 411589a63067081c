"""The engine's part of a trace: one span a request, a child of whoever asked."""

from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelecology.serving.tracing import MODEL, NO_SPAN, PATH, Span, Tracing

_SPAN: Final = "modelecology.span"
_FAILED: Final = 500


class Traced:
    """Gives each request for an answer or an adapter a span; probes and metrics have none."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, and see its status."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        status = _FAILED
        span = self._tracing.serve(f"POST {scope['path']}", Headers(scope=scope))
        scope[_SPAN] = span

        async def see(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, see)
        finally:
            span.tell({PATH: scope["path"]})
            span.end(status)


def tell_model(request: Request, model: str) -> None:
    """Say in the request's span who is asked."""
    span: Span = request.scope.get(_SPAN, NO_SPAN)
    span.tell({MODEL: model})
