"""The quarantine's bench: its arithmetic, and two quarantines on a real API server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.quarantine import Options, Trial, decisions_in, measure, parse, quarantined_at
from bench.served_users import Heard, read_heard
from testbed.audit import request_of
from tests.testbed.test_audit import entry, lines

BAD = "member-00-aaaaaaaaaaaa"


def heard(at: float, model: str = BAD, *, status: int = 200, fallback: bool = False) -> Heard:
    return Heard(at, 0, "task-00", status, model, fallback=fallback)


def test_both_clocks_end_with_the_last_answer_of_the_revision() -> None:
    answers = (heard(9.0), heard(10.3), heard(11.5), heard(12.0, "generalist", fallback=True))
    trial = Trial(BAD, asked=10.0, decided=10.2, heard=answers)
    assert trial.from_word == pytest.approx(1.5)
    assert trial.from_decision == pytest.approx(1.3)
    assert (trial.late, trial.unmarked, trial.failed) == (1, 0, 0)


def test_without_an_answer_after_them_both_are_zero() -> None:
    trial = Trial(BAD, asked=10.0, decided=10.2, heard=(heard(9.9), heard(10.4, "generalist", fallback=True)))
    assert (trial.from_word, trial.from_decision, trial.late) == (0.0, 0.0, 0)


def test_an_answer_of_the_base_without_a_mark_and_a_failure_are_counted() -> None:
    trial = Trial(BAD, 10.0, 10.2, (heard(10.4, "generalist"), heard(10.5, "", status=0)))
    assert (trial.unmarked, trial.failed) == (1, 1)


def test_an_answer_is_read_with_its_mark() -> None:
    body = {"model": "generalist", "choices": [{"message": {"content": "base: Hello"}}]}
    headers = {"x-modelecology-fallback": "true", "x-modelecology-reason": "Quarantined"}
    found = read_heard(1.0, 2, "task-00", 200, headers, json.dumps(body).encode())
    assert found == Heard(1.0, 2, "task-00", 200, "generalist", "base: Hello", True, "Quarantined")
    assert read_heard(1.0, 2, "task-00", 503, {}, b'{"error": {"message": "no"}}').model == ""


def test_decisions_are_paired_with_the_requests_that_created_them(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    made = entry("create", "decisions", code=201)
    entries = (made, entry("create", "decisions", code=409), entry("list", "decisions"), made)
    path.write_text(lines(*entries))
    creates = decisions_in(path, "ns")
    assert creates == [request_of(made)] * 2
    assert decisions_in(path, "elsewhere") == []
    subject = {"specialist": "member-00", "revision": "a" * 12}
    decisions = [{"spec": {"action": action, "subject": subject}} for action in ("Promote", "Quarantine")]
    assert quarantined_at(decisions, creates) == {BAD: creates[1].received}
    with pytest.raises(RuntimeError, match="2 Decisions, the API 1"):
        quarantined_at(decisions[:1], creates)


async def test_two_quarantines_on_a_real_api_server_leave_no_answer_of_the_revisions() -> None:
    options = parse(["--trials", "2", "--members", "2", "--users", "2"])
    assert options == Options(2, 2, 3, 2, 0.05, "Finish", None)
    for trial in await measure(options):
        assert trial.asked < trial.decided
        last = max(trial.answers)
        after = [each for each in trial.heard if each.at > last]
        assert {each.gateway for each in after} == {0, 1, 2}
        assert {each.model for each in after} == {"generalist"}
        assert (trial.unmarked, trial.failed) == (0, 0)
