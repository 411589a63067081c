"""One question to a gateway: the answer, who gave it, and why; and all that can go wrong on the way."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from modelecology.api.routing import RouteReason
from modelecology.cli import main
from modelecology.cli.ask import Answer, answer_record, ask, because, render_route
from modelecology.cli.port import CliError

HEADERS = {
    "x-modelecology-route": "dates-aaaaaaaaaaaa",
    "x-modelecology-reason": "Live",
    "x-modelecology-table": "sha256:0123456789ab",
    "x-request-id": "r-1",
}
GOOD = {
    "model": "dates-aaaaaaaaaaaa",
    "choices": [{"message": {"role": "assistant", "content": "2026-03-01"}}],
}


@dataclass
class Gateway:
    """A gateway that says what a test wants, and keeps what it was asked."""

    status: int = 200
    body: Any = field(default_factory=lambda: GOOD)
    headers: dict[str, str] = field(default_factory=lambda: dict(HEADERS))
    asked: list[tuple[str, Any, str]] = field(default_factory=list)
    address: str = ""


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    found = Gateway()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found.asked.append((self.path, body, self.headers.get("Authorization", "")))
            content = json.dumps(found.body).encode()
            self.send_response(found.status)
            for name, value in {**found.headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield found
        server.shutdown()
        thread.join()


def test_the_answer_comes_with_who_gave_it_and_why(gateway: Gateway) -> None:
    found = ask(f"{gateway.address}/", "dates", "1 March 2026?")
    assert found == Answer("2026-03-01", "dates-aaaaaaaaaaaa", "Live", False, "sha256:0123456789ab", "r-1")
    question = {"model": "dates", "messages": [{"role": "user", "content": "1 March 2026?"}]}
    assert gateway.asked == [("/v1/chat/completions", question, "")]
    assert render_route(found) == (
        "dates-aaaaaaaaaaaa: Live, the live revision of its task; table sha256:0123456789ab, request r-1"
    )


def test_the_rule_that_chose_the_task_is_told(gateway: Gateway) -> None:
    gateway.headers |= {"x-modelecology-task": "dates", "x-modelecology-rule": "rules[3] Keyword"}
    assert render_route(ask(gateway.address, "desk", "?")) == (
        "dates-aaaaaaaaaaaa: Live, the live revision of its task; task dates, by rules[3] Keyword; "
        "table sha256:0123456789ab, request r-1"
    )
    del gateway.headers["x-modelecology-rule"]
    assert "; task dates; table" in render_route(ask(gateway.address, "dates", "?"))


def test_how_like_an_example_it_is_is_told_where_the_classifier_was_asked(gateway: Gateway) -> None:
    gateway.headers |= {
        "x-modelecology-task": "dates",
        "x-modelecology-rule": "rules[5] Example",
        "x-modelecology-similarity": "0.812",
    }
    found = ask(gateway.address, "desk", "?")
    assert "; task dates, by rules[5] Example; similarity 0.812; table" in render_route(found)
    assert answer_record(found)["similarity"] == "0.812"
    del gateway.headers["x-modelecology-task"], gateway.headers["x-modelecology-rule"]
    told = {"route": "generalist", "reason": "NothingSimilar", "fallback": "true", "similarity": "0.310"}
    gateway.headers |= {f"x-modelecology-{name}": value for name, value in told.items()}
    assert render_route(ask(gateway.address, "desk", "?")).startswith(
        "generalist, as the fallback: NothingSimilar, no rule matches, and it is like no task's examples; "
        "similarity 0.310; table"
    )


def test_a_fallback_is_told(gateway: Gateway) -> None:
    told = {"route": "generalist", "reason": "Quarantined", "fallback": "true"}
    gateway.headers |= {f"x-modelecology-{name}": value for name, value in told.items()}
    found = ask(gateway.address, "dates", "?")
    assert render_route(found).startswith(
        "generalist, as the fallback: Quarantined, the revision is quarantined; "
    )


@pytest.mark.parametrize("reason", RouteReason)
def test_every_reason_is_said_in_words(reason: RouteReason) -> None:
    assert because(reason).startswith(f"{reason}, ")


def test_a_reason_of_a_newer_gateway_stands_alone() -> None:
    assert because("Sampled") == "Sampled"


def test_the_token_is_sent_from_its_file(gateway: Gateway, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    ask(gateway.address, "dates", "?", tmp_path / "token")
    assert gateway.asked[0][2] == "Bearer s3cret"
    with pytest.raises(CliError, match="The token cannot be read"):
        ask(gateway.address, "dates", "?", tmp_path / "no-token")


def test_a_refusal_is_told_in_the_gateways_own_words(gateway: Gateway) -> None:
    gateway.status, gateway.headers = 404, {"x-modelecology-reason": "UnknownModel"}
    gateway.body = {"error": {"message": "No model is called dats.", "type": "invalid_request_error"}}
    with pytest.raises(CliError) as error:
        ask(gateway.address, "dats", "?")
    assert error.value.message == (
        f"The gateway at {gateway.address} answers 404: No model is called dats. "
        "(UnknownModel, the gateway knows no model of this name)"
    )
    gateway.status, gateway.headers, gateway.body = 401, {}, "no"
    with pytest.raises(CliError, match="answers 401: it says no more") as error:
        ask(gateway.address, "dates", "?")
    assert "--token-file" in error.value.remedy


@pytest.mark.parametrize(("headers", "body"), [({}, GOOD), (HEADERS, {"choices": []}), (HEADERS, "hello")])
def test_what_is_no_gateway_is_not_believed(gateway: Gateway, headers: dict[str, str], body: Any) -> None:
    gateway.headers, gateway.body = headers, body
    with pytest.raises(CliError, match="not as a gateway of this operator does"):
        ask(gateway.address, "dates", "?")


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "nonsense://x", "http://[::bad"])
def test_an_address_where_nobody_answers_is_named(address: str) -> None:
    with pytest.raises(CliError, match="does not answer"):
        ask(address, "dates", "?")


@pytest.mark.parametrize("form", ["table", "json"])
def test_the_command_prints_the_answer_and_the_route(
    gateway: Gateway, form: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["kubectl-ecology", "ask", "dates", "?", "--gateway", gateway.address, "-o", form]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    out = capsys.readouterr().out
    if form == "table":
        assert out.splitlines()[0] == "2026-03-01"
        assert out.splitlines()[1].startswith("dates-aaaaaaaaaaaa: Live")
    else:
        assert json.loads(out) == {
            "answer": "2026-03-01",
            "route": "dates-aaaaaaaaaaaa",
            "reason": "Live",
            "fallback": False,
            "task": None,
            "rule": None,
            "similarity": None,
            "table": "sha256:0123456789ab",
            "requestId": "r-1",
        }
