"""`ask`: one question to a population's gateway; who answered, and why, is what the gateway says itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import urllib3
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from urllib3.exceptions import HTTPError

from modelecology.api.routing import RouteReason

from .port import CliError

_CONNECT_SECONDS, _READ_SECONDS = 5.0, 300.0
_WHY: Mapping[str, str] = {
    RouteReason.LIVE: "the live revision of its task",
    RouteReason.CANARY: "a canary, which gets a part of the users",
    RouteReason.PINNED: "the very revision that was asked for",
    RouteReason.GENERALIST_ASKED: "the generalist was asked for",
    RouteReason.NO_RULE_MATCHED: "no rule says which task it is of",
    RouteReason.NOTHING_SIMILAR: "no rule matches, and it is like no task's examples",
    RouteReason.CLASSIFIER_UNPROVEN: "no rule matches, and the classifier is not proven to be right",
    RouteReason.CLASSIFIER_AWAY: "no rule matches, and the classifier did not answer in time",
    RouteReason.UNKNOWN_MODEL: "the gateway knows no model of this name",
    RouteReason.NO_LIVE_REVISION: "the task has no live revision",
    RouteReason.QUARANTINED: "the revision is quarantined",
    RouteReason.NOT_RESIDENT: "no engine holds the revision",
    RouteReason.WRONG_MODEL_ANSWERED: "an engine answered with another model, and was not believed",
}


class _Edge(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Message(_Edge):
    content: str | None = None


class _Choice(_Edge):
    message: _Message


class _Said(_Edge):
    choices: tuple[_Choice, ...] = Field(min_length=1)


class _Error(_Edge):
    message: str


class _Refused(_Edge):
    error: _Error


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, and what the gateway says of it; `table` is the beginning of its digest.

    `rule` is the place in the table of the rule that chose the task, where the population was asked;
    `similarity` is how like the nearest example it is, where the classifier was asked.
    """

    text: str
    route: str
    reason: str
    fallback: bool
    table: str
    request_id: str
    task: str | None = None
    rule: str | None = None
    similarity: str | None = None


def ask(gateway: str, model: str, prompt: str, token_file: Path | None = None) -> Answer:
    """Ask a gateway, such as http://gateway:8080; the token is sent as a bearer's. Raises `CliError`."""
    url = f"{gateway.rstrip('/')}/v1/chat/completions"
    question = {"model": model, "messages": [{"role": "user", "content": prompt}]}
    timeout = urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS)
    try:
        with urllib3.PoolManager() as pool:
            found = pool.request(
                "POST", url, json=question, headers=_bearer(token_file), timeout=timeout, retries=False
            )
    except HTTPError as error:
        raise CliError(
            f"The gateway at {gateway} does not answer: {error}.", "Give its address with --gateway."
        ) from error
    if found.status != HTTPStatus.OK:
        raise _refusal(gateway, found.status, found.data, found.headers)
    try:
        said = _Said.model_validate_json(found.data)
    except ValidationError as error:
        raise _no_gateway(gateway) from error
    headers = found.headers
    if "x-modelecology-route" not in headers:
        raise _no_gateway(gateway)
    return Answer(
        text=said.choices[0].message.content or "",
        route=headers["x-modelecology-route"],
        reason=headers.get("x-modelecology-reason", ""),
        fallback=headers.get("x-modelecology-fallback") == "true",
        table=headers.get("x-modelecology-table", ""),
        request_id=headers.get("x-request-id", ""),
        task=headers.get("x-modelecology-task"),
        rule=headers.get("x-modelecology-rule"),
        similarity=headers.get("x-modelecology-similarity"),
    )


def render_route(answer: Answer) -> str:
    """Say who answered, and why, in a line."""
    instead = ", as the fallback" if answer.fallback else ""
    by = f", by {answer.rule}" if answer.rule is not None else ""
    like = f"; similarity {answer.similarity}" if answer.similarity is not None else ""
    task = (f"; task {answer.task}{by}" if answer.task is not None else "") + like
    return (
        f"{answer.route}{instead}: {because(answer.reason)}{task}; "
        f"table {answer.table}, request {answer.request_id}"
    )


def because(reason: str) -> str:
    """Write a reason with what it means; one that this version does not know stands alone."""
    return f"{reason}, {_WHY[reason]}" if reason in _WHY else reason


def answer_record(answer: Answer) -> dict[str, object]:
    """Give an answer as plain JSON."""
    return {
        "answer": answer.text,
        "route": answer.route,
        "reason": answer.reason,
        "fallback": answer.fallback,
        "task": answer.task,
        "rule": answer.rule,
        "similarity": answer.similarity,
        "table": answer.table,
        "requestId": answer.request_id,
    }


def _bearer(token_file: Path | None) -> dict[str, str]:
    if token_file is None:
        return {}
    try:
        token = token_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(f"The token cannot be read: {error}.", "Mend --token-file.") from error
    return {"Authorization": f"Bearer {token}"}


def _refusal(gateway: str, status: int, body: bytes, headers: Mapping[str, str]) -> CliError:
    try:
        message = _Refused.model_validate_json(body).error.message
    except ValidationError:
        message = "it says no more"
    reason = headers.get("x-modelecology-reason", "")
    why = f" ({because(reason)})" if reason else ""
    remedy = "Name a file with the gateway's token by --token-file." if status == 401 else ""
    return CliError(f"The gateway at {gateway} answers {status}: {message}{why}", remedy)


def _no_gateway(gateway: str) -> CliError:
    return CliError(
        f"{gateway} answers, but not as a gateway of this operator does.", "Give its address with --gateway."
    )
