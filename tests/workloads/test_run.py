"""A job is a process: it commits and ends with 0, or says in its last line why not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

import pytest

from modelecology.jobs.code import code_digest
from modelecology.jobs.intents import FAILURE_FIELD, INTENT_VARIABLE, Intent, canonical_json
from modelecology.workloads import run
from modelecology.workloads.errors import DeadlineExceeded
from tests.workloads.orders import Orders


def run_job(intent: Intent | str) -> subprocess.CompletedProcess[str]:
    """Run a job as a runner does."""
    text = intent if isinstance(intent, str) else canonical_json(intent)
    return subprocess.run(
        [sys.executable, "-m", "modelecology.workloads"],
        env={**os.environ, INTENT_VARIABLE: text},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def failure(output: str) -> dict[str, object]:
    """Read the last line."""
    found = json.loads(output.splitlines()[-1])[FAILURE_FIELD]
    assert isinstance(found, dict)
    return found


def test_a_whole_job_trains_and_commits_and_another_scores_it(orders: Orders) -> None:
    orders.store.commit_of("0" * 64)
    intent = orders.train()
    trained = run_job(intent)
    assert trained.returncode == 0, trained.stdout + trained.stderr
    assert FAILURE_FIELD not in trained.stdout
    task = orders.task("code", adapter=intent.key)
    scored = run_job(orders.evaluate(task, adapter=intent.key))
    assert scored.returncode == 0, scored.stdout + scored.stderr
    assert orders.store.verify(task.key).meta["n"] == 58


def test_a_failure_is_told_in_the_last_line_without_a_traceback(
    orders: Orders, capsys: pytest.CaptureFixture[str]
) -> None:
    orders.store.commit_of("0" * 64)
    lost = orders.data("code.train.jsonl").model_copy(update={"uri": "file:///not/there.jsonl"})
    assert run.run_intent(canonical_json(orders.train(data=lost))) == 1
    said = capsys.readouterr()
    told = failure(said.out)
    assert told["reason"] == "DataNotFound"
    assert "/not/there.jsonl" in str(told["message"])
    assert told["retry"] is False
    assert "Traceback" not in said.err


def test_a_missing_store_asks_for_another_try(orders: Orders, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.run_intent(canonical_json(orders.train())) == 1
    told = failure(capsys.readouterr().out)
    assert (told["reason"], told["retry"]) == ("StoreUnavailable", True)


@pytest.mark.parametrize("text", [None, "", "{}", "not json", '{"kind":"Merge"}'])
def test_an_intent_that_cannot_be_read_is_told(text: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.run_intent(text) == 1
    assert failure(capsys.readouterr().out)["reason"] == "IntentInvalid"


def test_orders_for_other_code_are_refused_before_any_work(
    orders: Orders, capsys: pytest.CaptureFixture[str]
) -> None:
    orders.store.commit_of("0" * 64)
    intent = orders.train().model_copy(update={"code": f"sha256:{'0' * 64}"})
    assert run.run_intent(canonical_json(intent)) == 1
    told = failure(capsys.readouterr().out)
    assert (told["reason"], told["retry"]) == ("IntentInvalid", False)
    assert "install the same version in both" in str(told["message"])
    assert code_digest() in str(told["message"])
    assert orders.store.progress(intent.key) is None


def test_the_code_digest_can_be_asked_for() -> None:
    command = [sys.executable, "-m", "modelecology.workloads", "code-digest"]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout == f"{code_digest()}\n"


def test_a_fault_of_our_own_has_its_traceback_in_the_log(
    orders: Orders, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_intent: Intent) -> None:
        raise KeyError("x" * 5000)

    monkeypatch.setattr(run, "execute", broken)
    assert run.run_intent(canonical_json(orders.train())) == 1
    said = capsys.readouterr()
    told = failure(said.out)
    assert told["reason"] == "InternalError"
    assert len(str(told["message"])) <= run.MESSAGE_LIMIT
    assert "Traceback" in said.err


def test_no_memory_is_told_with_its_remedy(
    orders: Orders, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(_intent: Intent) -> None:
        raise MemoryError

    monkeypatch.setattr(run, "execute", greedy)
    assert run.run_intent(canonical_json(orders.train())) == 1
    assert "raise its memory request" in str(failure(capsys.readouterr().out)["message"])


def test_a_job_ends_itself_at_its_deadline(
    orders: Orders, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "execute", lambda _intent: threading.Event().wait())
    intent = orders.train().model_copy(update={"deadline_seconds": 1})
    assert run.run_intent(canonical_json(intent)) == 1
    told = failure(capsys.readouterr().out)
    assert told["reason"] == "DeadlineExceeded"
    assert "deadline of 1 s" in str(told["message"])


def test_work_that_ends_in_time_is_left_alone() -> None:
    before = threading.active_count()
    with run.deadline(1):
        pass
    assert threading.active_count() <= before + 1
    with pytest.raises(DeadlineExceeded), run.deadline(1):
        threading.Event().wait()
