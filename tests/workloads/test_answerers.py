"""A served model is asked again when it is busy, and a refusal is final."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from modelecology.api.reasons import Reason
from modelecology.workloads.answerers import ServedAnswerer
from modelecology.workloads.errors import EngineRefused, EngineUnreachable, IntentInvalid


@dataclass
class Script:
    """What the double of an engine answers: statuses first, then echoes."""

    statuses: list[int] = field(default_factory=list)
    body: bytes | None = None
    asked: list[dict[str, object]] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Handler(BaseHTTPRequestHandler):
    """An engine that follows a script."""

    script: Script

    def do_POST(self) -> None:
        """Answer as the script says."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.script.lock:
            self.script.asked.append(asked)
            self.script.tokens.add(self.headers["Authorization"])
            status = self.script.statuses.pop(0) if self.script.statuses else 200
        said = f" echo {asked['messages'][0]['content']}\n"
        body = (
            self.script.body
            or json.dumps(
                {"choices": [{"message": {"content": said}}], "usage": {"total_tokens": 5}}
            ).encode()
        )
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *_arguments: object) -> None:
        """Stay quiet."""


@pytest.fixture
def engine() -> Iterator[tuple[str, Script]]:
    """An engine's endpoint and its script."""
    script = Script()
    handler = type("Scripted", (Handler,), {"script": script})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", script
        server.shutdown()
        thread.join()


def asking(endpoint: str, pauses: list[float]) -> ServedAnswerer:
    """Ask this endpoint, writing the pauses down instead of taking them."""
    return ServedAnswerer(endpoint, "zulu-123", pause=pauses.append, timeout=10)


def test_answers_come_in_the_order_of_the_questions(engine: tuple[str, Script]) -> None:
    endpoint, script = engine
    answerer = asking(endpoint, [])
    done: list[int] = []
    prompts = [f"q{number}" for number in range(30)]
    assert answerer.answers(prompts, 7, done.append) == tuple(f"echo {prompt}" for prompt in prompts)
    assert sum(done) == 30
    assert answerer.tokens == 150
    assert {(asked["model"], asked["temperature"], asked["max_tokens"]) for asked in script.asked} == {
        ("zulu-123", 0, 7)
    }


def test_a_busy_engine_is_asked_again(engine: tuple[str, Script]) -> None:
    endpoint, script = engine
    script.statuses = [503, 429]
    pauses: list[float] = []
    assert asking(endpoint, pauses).answers(["q"], 7, lambda _done: None) == ("echo q",)
    assert pauses == [1.0, 2.0]


def test_an_unknown_model_is_never_answered_by_another(engine: tuple[str, Script]) -> None:
    endpoint, script = engine
    script.statuses = [404]
    pauses: list[float] = []
    with pytest.raises(EngineUnreachable, match=r"does not serve model zulu-123 \(status 404\)"):
        asking(endpoint, pauses).answers(["q"], 7, lambda _done: None)
    assert pauses == []


@pytest.mark.parametrize("status", [400, 401, 403, 422])
def test_a_refused_question_is_not_tried_again(engine: tuple[str, Script], status: int) -> None:
    endpoint, script = engine
    script.statuses = [status]
    pauses: list[float] = []
    with pytest.raises(EngineRefused, match=f"refused a question to zulu-123 with status {status}"):
        asking(endpoint, pauses).answers(["q"], 7, lambda _done: None)
    assert pauses == []
    assert (EngineRefused.reason, EngineRefused.retry) == (Reason.ENGINE_REFUSED, False)


def test_a_token_is_sent_and_is_in_no_message(engine: tuple[str, Script]) -> None:
    endpoint, script = engine
    script.statuses = [200, 401]
    answerer = ServedAnswerer(endpoint, "zulu-123", "s3cret", pause=lambda _seconds: None)
    assert answerer.answers(["q"], 7, lambda _done: None) == ("echo q",)
    assert script.tokens == {"Bearer s3cret"}
    with pytest.raises(EngineRefused, match=r"mend serving\.tokenSecretRef") as refusal:
        answerer.answers(["q"], 7, lambda _done: None)
    assert "s3cret" not in str(refusal.value)


def test_without_a_token_none_is_sent(engine: tuple[str, Script]) -> None:
    endpoint, script = engine
    asking(endpoint, []).answers(["q"], 7, lambda _done: None)
    assert script.tokens == {None}


def test_an_engine_that_stays_broken_or_silent_is_unreachable(engine: tuple[str, Script]) -> None:
    endpoint, script = engine
    script.statuses = [500] * 9
    with pytest.raises(EngineUnreachable, match="status 500"):
        asking(endpoint, []).answers(["q"], 7, lambda _done: None)
    with pytest.raises(EngineUnreachable, match="does not answer"):
        asking("http://127.0.0.1:1", []).answers(["q"], 7, lambda _done: None)
    assert EngineUnreachable.retry


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"choices":[]}'])
def test_an_answer_that_is_none_is_no_answer(engine: tuple[str, Script], body: bytes) -> None:
    endpoint, script = engine
    script.body = body
    with pytest.raises(EngineUnreachable, match="gave an answer that is none"):
        asking(endpoint, []).answers(["q"], 7, lambda _done: None)


def test_likelihoods_of_a_served_model_are_refused() -> None:
    with pytest.raises(IntentInvalid, match="no likelihoods"):
        asking("http://127.0.0.1:1", []).likelihoods([("q", "a")], lambda _done: None)
