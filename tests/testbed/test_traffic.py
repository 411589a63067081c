"""Users: the same requests from the same seed, by share, in a hurry as often as asked, and counted."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from testbed.asking import GatewayClient, NoReply
from testbed.processes import free_ports
from testbed.tally import Answer, summed
from testbed.traffic import Crowd, Pace, Question, Script, Traffic, read_questions
from testbed.waiting import holds_within

DATES = Crowd("dates", [Question(f"date {n}", f"day {n}") for n in range(20)], 16, "Urgent! ")
CRON = Crowd("cron", [Question(f"cron {n}", f"time {n}") for n in range(20)], 32)
BOTH = Pace(1.0, {"dates": 3.0, "cron": 1.0})


def test_equal_seeds_ask_the_same_and_others_do_not() -> None:
    def asked(seed: int) -> list[str]:
        script = Script([DATES, CRON], seed)
        return [f"{(a := script.next(BOTH)).user} {a.prompt}" for _ in range(50)]

    assert asked(1) == asked(1)
    assert asked(1) != asked(2)


def test_tasks_are_asked_by_their_shares() -> None:
    script = Script([DATES, CRON], 1)
    found = Counter(script.next(BOTH).task for _ in range(2000))
    assert 1400 < found["dates"] < 1600


def test_no_question_is_asked_twice_before_all_were() -> None:
    script, pace = Script([DATES, CRON], 1), Pace(1.0, {"dates": 1.0})
    rounds = [{script.next(pace).label for _ in range(20)} for _ in range(3)]
    assert all(len(found) == 20 for found in rounds)


@pytest.mark.parametrize(("hurried", "least", "most"), [(0.0, 0, 0), (0.4, 340, 460), (1.0, 1000, 1000)])
def test_questions_are_asked_in_a_hurry_as_often_as_told_and_the_label_stays(
    hurried: float, least: int, most: int
) -> None:
    script = Script([DATES], 1)
    asks = [script.next(Pace(1.0, {"dates": 1.0}, hurried)) for _ in range(1000)]
    urgent = [ask for ask in asks if ask.prompt.startswith("Urgent! ")]
    assert least <= len(urgent) <= most
    assert all(ask.prompt.removeprefix("Urgent! ").split()[1] == ask.label.split()[1] for ask in asks)


def test_a_pace_that_names_no_task_of_ours_is_refused() -> None:
    with pytest.raises(ValueError, match="french"):
        Script([DATES], 1).next(Pace(1.0, {"french": 1.0}))


def test_questions_are_read_line_by_line() -> None:
    content = b'{"id":"1","prompt":"a\\u2028b","answer":"c"}\n\n{"id":"2","prompt":"d","answer":"e"}\n'
    assert read_questions(content) == (Question("a\u2028b", "c"), Question("d", "e"))


def test_answers_are_summed_by_task_route_and_reason() -> None:
    answers = [
        Answer("dates", "dates-1", "Live", 0.0, 1.0, right=True),
        Answer("dates", "dates-1", "Live", 1.0, 3.0, right=False),
        Answer("dates", "", "NoReply", 3.0, 9.0, right=None),
    ]
    none, live = summed(answers)
    assert (none.route, none.count, none.right) == ("", 1, 0)
    assert (live.count, live.right, live.median_seconds) == (2, 1, 2.0)
    assert "50% right" in str(live)


class _Gateway(BaseHTTPRequestHandler):
    said: ClassVar[list[dict[str, Any]]] = []
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        _Gateway.said.append({"path": self.path, "token": self.headers["Authorization"], **body})
        choices = [{"message": {"content": " day 1\n"}}]
        content = json.dumps({"choices": choices}).encode()
        self.send_response(200)
        self.send_header("x-modelecology-route", "dates-1")
        self.send_header("x-modelecology-reason", "Live")
        self.send_header("x-request-id", "r1")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def gateway() -> Iterator[str]:
    """A gateway that says day 1 to everything."""
    _Gateway.said.clear()
    (port,) = free_ports(1)
    with ThreadingHTTPServer(("127.0.0.1", port), _Gateway) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{port}"
        server.shutdown()
        thread.join()


def test_users_ask_with_the_token_and_say_later_what_was_right(gateway: str) -> None:
    crowd = Crowd("dates", [Question("date 1", "day 1"), Question("date 2", "day 2")], 16)
    with Traffic(GatewayClient(gateway, "secret"), Script([crowd], 1)) as traffic:
        traffic.set_pace(Pace(200.0, {"dates": 1.0}))
        assert holds_within(lambda: len(traffic.book.answers()) >= 20, 30.0)
        traffic.set_pace(Pace())
    (line,) = traffic.book.lines()
    assert (line.route, line.reason) == ("dates-1", "Live")
    assert abs(2 * line.right - line.count) <= 1  # of an odd number, either question was asked once more
    assert {said["token"] for said in _Gateway.said} == {"Bearer secret"}
    asked = [said for said in _Gateway.said if said["path"] == "/v1/chat/completions"]
    labels = [said for said in _Gateway.said if said["path"] == "/v1/feedback"]
    assert len(asked) == len(labels) == line.count
    assert {(said["model"], said["temperature"], said["max_tokens"]) for said in asked} == {("dates", 0, 16)}
    assert {said["label"] for said in labels} == {"day 1", "day 2"}


def test_a_gateway_that_is_not_there_is_counted_and_not_fatal() -> None:
    (port,) = free_ports(1)
    client = GatewayClient(f"http://127.0.0.1:{port}", "secret")
    with pytest.raises(NoReply):
        client.chat("dates", "date 1", 16)
    assert not client.label("r1", "day 1")
    with Traffic(client, Script([DATES], 1)) as traffic:
        traffic.set_pace(Pace(100.0, {"dates": 1.0}))
        assert holds_within(lambda: bool(traffic.book.answers()), 30.0)
    assert {line.reason for line in traffic.book.lines()} == {"NoReply"}
