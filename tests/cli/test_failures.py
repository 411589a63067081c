"""What the API server's failures mean."""

from __future__ import annotations

import json

import pytest
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import NewConnectionError, ReadTimeoutError

from modelecology.cli.failures import explain_api_error, explain_connection
from modelecology.cli.port import NotFoundError


def answer(status: int, **body: object) -> ApiException:
    return ApiException(status=status, reason="because", body=json.dumps(body))


@pytest.mark.parametrize(
    ("error", "message", "remedy", "retry"),
    [
        (answer(401), "does not accept your credentials", "Log in again", False),
        (
            answer(403, message="specialists is forbidden"),
            "You may not list x",
            "Ask for the missing right",
            False,
        ),
        (answer(404, details={"name": "dates"}), "does not exist in namespace team", "Check the name", False),
        (
            ApiException(status=404, body="404 page not found"),
            "does not know the kinds",
            "Install the CRDs",
            False,
        ),
        (answer(410), "the list has moved on", "Run it again", True),
        (answer(503, message="etcd is away"), "etcd is away", "Try again", True),
        (answer(422, message="spec is wrong"), "spec is wrong", "Mend what", False),
    ],
)
def test_an_answer_of_the_api_server_is_a_sentence_with_a_remedy(
    error: ApiException, message: str, remedy: str, retry: bool
) -> None:
    said = explain_api_error(error, "list x", "team")
    assert message in said.message
    assert said.remedy.startswith(remedy)
    assert said.retry is retry
    assert isinstance(said, NotFoundError) == (error.status == 404)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError("[Errno 111] Connection refused"), "the connection is refused"),
        (
            OSError("SSL: CERTIFICATE_VERIFY_FAILED"),
            "certificate of the API server at https://x is not trusted",
        ),
        (TimeoutError("The read timed out"), "does not answer in time"),
        (OSError("Name or service not known"), "its host name is not known"),
        (OSError("odd"), "OSError"),
    ],
)
def test_a_connection_that_fails_is_a_sentence_with_a_remedy(error: Exception, message: str) -> None:
    said = explain_connection(error, "https://x")
    assert message in said.message
    assert "--context" in said.remedy


def test_the_http_library_s_own_errors_are_known() -> None:
    refused = NewConnectionError(None, "Failed to establish a new connection: [Errno 111] Connection refused")  # type: ignore[arg-type]  # only its text counts
    slow = ReadTimeoutError(None, "/", "Read timed out.")  # type: ignore[arg-type]  # only its text counts
    assert "refused" in explain_connection(refused, "https://x").message
    assert "in time" in explain_connection(slow, "https://x").message
