"""Scores a model on a suite's tasks, item by item; a result that is committed is never computed again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from modelecology.jobs.intents import EvaluateIntent, EvaluationTask
from modelecology.store import ArtifactStore, Commit, Cost
from modelecology.workloads.answerers import Answerer, Likelihood, Report
from modelecology.workloads.meter import Meter, ProgressReport
from modelecology.workloads.rows import EvalItem, items_of_task
from modelecology.workloads.scorers import (
    LIKELIHOOD_SCORERS,
    best_choice,
    inverse_perplexity,
    text_scorer,
)

RESULTS = "results.jsonl"
OUTPUT_LIMIT = 2000
"""Characters of an answer that are kept beside its score."""


@dataclass(frozen=True, slots=True)
class ItemResult:
    """What came of one item: a score from 0 to 1, and what was said."""

    id: str
    cluster: str
    score: float
    output: str


def _choice_results(items: Sequence[EvalItem], weights: Sequence[Likelihood]) -> list[ItemResult]:
    results: list[ItemResult] = []
    at = 0
    for item in items:
        mine = tuple(weight.total for weight in weights[at : at + len(item.choices)])
        at += len(item.choices)
        said = best_choice(item.choices, mine)
        results.append(ItemResult(item.id, item.cluster, float(said == item.answer), said))
    return results


def score_task(
    task: EvaluationTask, items: Sequence[EvalItem], answerer: Answerer, report: Report
) -> list[ItemResult]:
    """Score one task's items in their order; `report` is told of each item done. Raises JudgeBroken."""
    if task.scorer == "Choice":
        pairs = [(item.prompt, choice) for item in items for choice in item.choices]
        weights = answerer.likelihoods(pairs, lambda _done: None)
        report(len(items))
        return _choice_results(items, weights)
    if task.scorer in LIKELIHOOD_SCORERS:
        weights = answerer.likelihoods([(item.prompt, item.answer) for item in items], report)
        scores = [inverse_perplexity(weight.total, weight.tokens) for weight in weights]
        return [
            ItemResult(item.id, item.cluster, round(score, 6), "")
            for item, score in zip(items, scores, strict=True)
        ]
    score = text_scorer(task)  # before the model is asked: a broken judge must cost nothing
    outputs = answerer.answers([item.prompt for item in items], task.max_new_tokens, report)
    return [
        ItemResult(item.id, item.cluster, score(item, output), output[:OUTPUT_LIMIT])
        for item, output in zip(items, outputs, strict=True)
    ]


def _jsonl(results: Sequence[ItemResult]) -> bytes:
    lines = (
        json.dumps(
            {"id": one.id, "cluster": one.cluster, "score": one.score, "output": one.output},
            ensure_ascii=False,
            separators=(",", ":"),
        )
        for one in results
    )
    return "".join(f"{line}\n" for line in lines).encode()


def _meta(
    intent: EvaluateIntent, task: EvaluationTask, results: Sequence[ItemResult]
) -> dict[str, JsonValue]:
    return {
        "task": task.task,
        "n": len(results),
        "mean": round(sum(one.score for one in results) / len(results), 6),
        "split": task.split,
        "shadowShare": task.shadow_share,
        "scorer": task.scorer,
        "data": task.data.digest,
        "code": intent.code,
        "model": {
            "base": intent.base.digest,
            "adapter": intent.adapter.key if intent.adapter else None,
            "served": intent.served.model if intent.served else None,
        },
    }


def evaluate(
    intent: EvaluateIntent, store: ArtifactStore, meter: Meter, open_answerer: Callable[[], Answerer]
) -> list[Commit]:
    """Score every task that has no committed result and commit each under its own key.

    The model is opened only when something is left to do, after all data has been checked. Each task is
    charged what it took; opening the model is charged to the first.

    Raises the Data, Base, Store and engine errors.
    """
    pending = [task for task in intent.tasks if store.commit_of(task.key) is None]
    items = [items_of_task(task, store.places) for task in pending]
    report = ProgressReport(store, intent.key, sum(len(some) for some in items), meter.clock)
    report.report(0, "Evaluating")
    commits: list[Commit] = []
    charged = Cost()
    done = 0
    answerer = open_answerer() if pending else None
    for task, some in zip(pending, items, strict=True):
        assert answerer is not None

        def tell(count: int, phase: str = f"Evaluating {task.task}") -> None:
            nonlocal done
            done += count
            report.report(done, phase)

        results = score_task(task, some, answerer, tell)
        meter.tokens = answerer.tokens
        spent = meter.cost()
        with store.begin(task.key) as attempt:
            attempt.write(RESULTS, _jsonl(results))
            commits.append(attempt.commit("Evaluate", _meta(intent, task, results), _between(charged, spent)))
        charged = spent
    return commits


def _between(before: Cost, after: Cost) -> Cost:
    return Cost(
        cpu_seconds=round(after.cpu_seconds - before.cpu_seconds, 3),
        gpu_seconds=round(after.gpu_seconds - before.gpu_seconds, 3),
        wall_seconds=round(after.wall_seconds - before.wall_seconds, 3),
        tokens=after.tokens - before.tokens,
        peak_rss_bytes=after.peak_rss_bytes,
    )
