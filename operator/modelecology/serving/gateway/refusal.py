"""How the gateway says no: one error class, in OpenAI's form."""

from __future__ import annotations

import json
from http import HTTPStatus


class Refusal(Exception):
    """A request that is answered with an error. `param` names the field at fault; `retry`: try again soon."""

    def __init__(
        self, status: int, kind: str, message: str, param: str | None = None, *, retry: bool = False
    ) -> None:
        super().__init__(message)
        self.status = int(status)
        self.kind = kind
        self.message = message
        self.param = param
        self.retry = retry

    def body(self) -> bytes:
        """OpenAI's error body."""
        words = {"message": self.message, "type": self.kind, "param": self.param, "code": self.status}
        return json.dumps({"error": words}).encode()


def bad_request(message: str, param: str | None = None) -> Refusal:
    """The request can never be served as it is: 400."""
    return Refusal(HTTPStatus.BAD_REQUEST, "invalid_request_error", message, param)


def unavailable(message: str) -> Refusal:
    """The same request may be served in a moment: 503."""
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "service_unavailable", message, retry=True)


def bad_gateway(message: str) -> Refusal:
    """The engines do not answer as they must: 502."""
    return Refusal(HTTPStatus.BAD_GATEWAY, "bad_gateway", message)
