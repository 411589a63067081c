"""How the engine says no: one error class, in the words and with the status codes of vLLM."""

from http import HTTPStatus


class Refusal(Exception):
    """A request that is answered with an error body. `param` names the field at fault, if one is."""

    def __init__(self, status: int, kind: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message
        self.param = param


def bad_request(message: str, param: str | None = None) -> Refusal:
    """The request can never be served as it is: 400."""
    return Refusal(HTTPStatus.BAD_REQUEST, "BadRequestError", message, param)


def not_found(message: str, param: str | None = None) -> Refusal:
    """The named model, adapter or directory is not here: 404."""
    return Refusal(HTTPStatus.NOT_FOUND, "NotFoundError", message, param)


def unavailable(message: str) -> Refusal:
    """The engine cannot serve now, but may later: 503."""
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "ServiceUnavailableError", message)


def broken(message: str) -> Refusal:
    """The engine failed while it served the request: 500."""
    return Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "InternalServerError", message)
