"""Scores a model on a suite's tasks, item by item; a result that is committed is never computed again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from modelecology.jobs.intents import EvaluateIntent, EvaluationTask
from modelecology.jobs.results import RESULTS
from modelecology.store import ArtifactStore, Commit, Cost
from modelecology.workloads.answerers import Answerer, Likelihood, Report
from modelecology.workloads.course import run_course
from modelecology.workloads.meter import Meter, ProgressReport
from modelecology.workloads.rows import EvalItem, items_of_task
from modelecology.workloads.scorers import (
    LIKELIHOOD_SCORERS,
    best_choice,
    inverse_perplexity,
    text_scorer,
)

OUTPUT_LIMIT = 2000
"""Characters of an answer that are kept beside its score."""


@dataclass(frozen=True, slots=True)
class ItemResult:
    """What came of one item: a score from 0 to 1, and what was said."""

    id: str
    cluster: str
    score: float
    output: str
    seconds: float | None = None


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
    seconds = answerer.seconds or (None,) * len(outputs)
    return [
        ItemResult(item.id, item.cluster, score(item, output), output[:OUTPUT_LIMIT], took)
        for item, output, took in zip(items, outputs, seconds, strict=True)
    ]


def _jsonl(results: Sequence[ItemResult]) -> bytes:
    lines = (
        json.dumps(
            {"id": one.id, "cluster": one.cluster, "score": one.score, "output": one.output}
            | ({} if one.seconds is None else {"seconds": one.seconds}),
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


class Evaluation:
    """One model that is asked: it is opened when something is left to do, and each task is charged its share.

    Opening the model is charged to the first task.
    """

    def __init__(
        self,
        intent: EvaluateIntent,
        store: ArtifactStore,
        meter: Meter,
        open_answerer: Callable[[], Answerer],
    ) -> None:
        self._intent = intent
        self._store = store
        self._meter = meter
        self._open = open_answerer
        self._answerer: Answerer | None = None
        self._charged = Cost()
        self._done = 0
        # All data is read and checked before the model is opened.
        pending = [task for task in intent.tasks if store.commit_of(task.key) is None]
        self._items = {task.key: items_of_task(task, store.places) for task in pending}
        total = sum(len(some) for some in self._items.values())
        self._report = ProgressReport(store, intent.key, total, meter.clock)
        self._report.report(0, "Evaluating")

    def ask(self, tasks: Sequence[EvaluationTask]) -> list[Commit]:
        """Score those tasks that have no committed result, and commit each under its own key."""
        return [self._ask(task) for task in tasks if task.key in self._items]

    def _ask(self, task: EvaluationTask) -> Commit:
        if self._answerer is None:
            self._answerer = self._open()

        def tell(count: int) -> None:
            self._done += count
            self._report.report(self._done, f"Evaluating {task.task}")

        results = score_task(task, self._items.pop(task.key), self._answerer, tell)
        self._meter.tokens = self._answerer.tokens
        spent = self._meter.cost()
        with self._store.begin(task.key) as attempt:
            attempt.write(RESULTS, _jsonl(results))
            cost = _between(self._charged, spent)
            commit = attempt.commit("Evaluate", _meta(self._intent, task, results), cost)
        self._charged = spent
        return commit


def evaluate(
    intent: EvaluateIntent, store: ArtifactStore, meter: Meter, open_answerer: Callable[[], Answerer]
) -> list[Commit]:
    """Score every task that has no committed result; of a course, round by round until it has ended.

    Raises the Data, Base, Store and engine errors, and JudgeBroken.
    """
    if intent.course is not None and store.commit_of(intent.key) is not None:
        return []
    evaluation = Evaluation(intent, store, meter, open_answerer)
    if intent.course is None:
        return evaluation.ask(intent.tasks)
    return run_course(intent, intent.course, store, evaluation.ask)


def _between(before: Cost, after: Cost) -> Cost:
    return Cost(
        cpu_seconds=round(after.cpu_seconds - before.cpu_seconds, 3),
        gpu_seconds=round(after.gpu_seconds - before.gpu_seconds, 3),
        wall_seconds=round(after.wall_seconds - before.wall_seconds, 3),
        tokens=after.tokens - before.tokens,
        peak_rss_bytes=after.peak_rss_bytes,
    )
