"""Results are kept per item, in the data's order, and what is committed is never computed again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from modelecology.jobs.intents import Split, in_shadow_split
from modelecology.jobs.results import RESULTS
from modelecology.store import ArtifactCorrupt, ArtifactMissing
from modelecology.workloads.answerers import Answerer, Likelihood, Report
from modelecology.workloads.errors import AdapterUnsound, DataInvalid, JudgeBroken
from modelecology.workloads.evaluate import evaluate
from modelecology.workloads.meter import Meter
from modelecology.workloads.opening import open_answerer
from tests.workloads.orders import Orders, data_ref


class Clerk:
    """Answers `zulu` to codes and nothing else, and counts what it is asked."""

    def __init__(self) -> None:
        self.tokens = 0
        self.seconds: tuple[float, ...] = ()
        self.asked: list[str] = []

    def answers(self, prompts: Sequence[str], max_new_tokens: int, report: Report) -> tuple[str, ...]:
        """Answer."""
        self.asked += prompts
        self.tokens += max_new_tokens * len(prompts)
        report(len(prompts))
        return tuple("zulu" if prompt.startswith("code") else "?" for prompt in prompts)

    def likelihoods(self, pairs: Sequence[tuple[str, str]], report: Report) -> tuple[Likelihood, ...]:
        """Find longer answers less likely."""
        self.asked += [prompt for prompt, _ in pairs]
        report(len(pairs))
        return tuple(Likelihood(-float(len(text)), len(text)) for _, text in pairs)


def never() -> Answerer:
    """Fail the test: no model may be opened."""
    pytest.fail("a model was opened though nothing was left to do")


def test_an_answer_with_a_line_separator_stays_on_its_line(orders: Orders, tmp_path: Path) -> None:
    clerk = Clerk()
    plain = {"id": "a\u2028b", "prompt": "code 1\u2029\u0085", "answer": "zulu"}
    (tmp_path / "marks.jsonl").write_text(json.dumps(plain, ensure_ascii=False) + "\n", encoding="utf-8")
    split: Split = "Shadow" if in_shadow_split(plain["id"], 0.25) else "Main"
    task = orders.task("code", data=data_ref(tmp_path / "marks.jsonl"), split=split)
    evaluate(orders.evaluate(task), orders.store, Meter(), lambda: clerk)
    (line, rest) = orders.store.read(task.key, RESULTS).split(b"\n")
    assert (json.loads(line)["id"], json.loads(line)["score"], rest) == (plain["id"], 1.0, b"")
    assert clerk.asked == [plain["prompt"]]


def test_results_are_per_item_and_in_the_order_of_the_data(orders: Orders) -> None:
    clerk = Clerk()
    task = orders.task("code")
    (commit,) = evaluate(orders.evaluate(task), orders.store, Meter(), lambda: clerk)
    assert commit.key == task.key
    rows = [json.loads(line) for line in orders.store.read(task.key, RESULTS).splitlines()]
    assert [row["id"] for row in rows] == [f"code-{prompt.split()[1]}" for prompt in clerk.asked]
    assert rows[0] == {"id": "code-100", "cluster": "code-100", "score": 1.0, "output": "zulu"}
    manifest = orders.store.verify(task.key)
    assert manifest.kind == "Evaluate"
    assert manifest.meta["task"] == "code"
    assert manifest.meta["n"] == len(rows)
    assert manifest.meta["mean"] == 1.0
    assert manifest.meta["split"] == "Main"
    assert manifest.meta["model"] == {"base": orders.base.digest, "adapter": None, "served": None}
    assert manifest.cost.tokens == 8 * len(rows)


def test_a_committed_task_is_skipped_and_the_others_are_done(orders: Orders) -> None:
    code, colors = orders.task("code"), orders.task("colors")
    evaluate(orders.evaluate(code), orders.store, Meter(), Clerk)
    clerk = Clerk()
    evaluate(orders.evaluate(code, colors), orders.store, Meter(), lambda: clerk)
    assert clerk.asked
    assert all(prompt.startswith("color of") for prompt in clerk.asked)


def test_a_repeated_evaluation_opens_no_model(orders: Orders) -> None:
    code, colors = orders.task("code"), orders.task("colors")
    evaluate(orders.evaluate(code, colors), orders.store, Meter(), Clerk)
    before = [orders.store.commit_of(task.key) for task in (code, colors)]
    assert evaluate(orders.evaluate(code, colors), orders.store, Meter(), never) == []
    assert [orders.store.commit_of(task.key) for task in (code, colors)] == before


def test_choice_and_perplexity_look_at_likelihoods(orders: Orders, tmp_path: Path) -> None:
    path = tmp_path / "choice.jsonl"
    items = [
        {"id": "a", "prompt": "p", "answer": "no", "choices": ["maybe", "no"]},
        {"id": "b", "prompt": "p", "answer": "maybe", "choices": ["maybe", "no"]},
    ]
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    choice = orders.task("choice", data=data_ref(path), scorer="Choice").model_copy(
        update={"shadow_share": 0.0}
    )
    weigh = orders.task("weigh", data=data_ref(path), scorer="Perplexity").model_copy(
        update={"shadow_share": 0.0}
    )
    evaluate(orders.evaluate(choice, weigh), orders.store, Meter(), Clerk)
    assert [json.loads(line)["score"] for line in orders.store.read(choice.key, RESULTS).splitlines()] == [
        1.0,
        0.0,
    ]
    assert orders.store.manifest(weigh.key).meta["mean"] == pytest.approx(0.367879)


def test_a_broken_judge_costs_no_model_time_and_commits_nothing(orders: Orders) -> None:
    clerk = Clerk()
    task = orders.task("code", scorer="EntryPoint", entry_point="no.such:judge")
    with pytest.raises(JudgeBroken):
        evaluate(orders.evaluate(task), orders.store, Meter(), lambda: clerk)
    assert clerk.asked == []
    assert orders.store.commit_of(task.key) is None


def test_all_data_is_checked_before_a_model_is_opened(orders: Orders, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text("{")
    bad = orders.task("bad", data=data_ref(tmp_path / "bad.jsonl"))
    with pytest.raises(DataInvalid, match=r"bad\.jsonl line 1"):
        evaluate(orders.evaluate(orders.task("code"), bad), orders.store, Meter(), never)


def test_an_adapter_that_is_missing_or_changed_is_never_loaded(orders: Orders) -> None:
    key = "c" * 64
    intent = orders.evaluate(orders.task("code", adapter=key), adapter=key)
    with pytest.raises(ArtifactMissing):
        open_answerer(intent, orders.store, Meter())
    with orders.store.begin(key) as attempt:
        attempt.write("weights.bin", b"x")
        attempt.commit("Train", {}, Meter().cost())
    with pytest.raises(AdapterUnsound, match="no adapter"):
        open_answerer(intent, orders.store, Meter())
    (Path(orders.store.local_path(key)) / "weights.bin").write_bytes(b"y")
    with pytest.raises(ArtifactCorrupt):
        open_answerer(intent, orders.store, Meter())


def test_progress_counts_items_under_the_jobs_own_key(orders: Orders) -> None:
    task = orders.task("code")
    intent = orders.evaluate(task)
    evaluate(intent, orders.store, Meter(), Clerk)
    progress = orders.store.progress(intent.key)
    assert progress is not None
    assert progress.step == progress.total == orders.store.manifest(task.key).meta["n"]
    assert progress.phase == "Evaluating code"
