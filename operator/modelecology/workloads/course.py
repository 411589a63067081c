"""Runs one stage of a trial: a round at a time, until its questions are answered or nothing is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import JsonValue

from modelecology.governance.evidence import EvidenceError
from modelecology.governance.facts import GENERALIST, Item, Results
from modelecology.governance.trial import Sealed, weigh
from modelecology.jobs.intents import CourseOrder, EvaluateIntent, EvaluationTask
from modelecology.jobs.results import RESULTS, read_results
from modelecology.store import ArtifactStore, Commit, Cost
from modelecology.workloads.errors import JudgeBroken

CANDIDATE = "candidate"

Ask = Callable[[Sequence[EvaluationTask]], list[Commit]]


def run_course(intent: EvaluateIntent, order: CourseOrder, store: ArtifactStore, ask: Ask) -> list[Commit]:
    """Ask round by round, and commit under the intent's key how many rounds it took.

    What was asked before, under other questions, is committed already and costs nothing. Raises JudgeBroken.
    """
    sealed = _sealed(order, store)
    answered: dict[str, tuple[Item, ...]] = {}
    commits: list[Commit] = []
    tasks, asked, rounds = list(intent.tasks), list[EvaluationTask](), 0
    for each in order.course.rounds:
        now, tasks = tasks[: len(each)], tasks[len(each) :]
        commits += ask(now)
        asked += now
        for task in now:
            answered[task.task] = (*answered.get(task.task, ()), *_items(store, task.key))
        candidate = {task: Results(task, CANDIDATE, items) for task, items in answered.items()}
        try:
            standing = weigh(order.course, candidate, sealed)
        except EvidenceError as error:
            raise JudgeBroken(str(error)) from error
        rounds = standing.rounds
        if standing.ended:
            break
    with store.begin(intent.key) as attempt:
        parts: list[JsonValue] = [[task.task, task.key] for task in asked]
        meta: dict[str, JsonValue] = {"rounds": rounds, "parts": parts, "code": intent.code}
        commits.append(attempt.commit("Evaluate", meta, Cost()))
    return commits


def _sealed(order: CourseOrder, store: ArtifactStore) -> Sealed:
    baseline = {b.task: Results(b.task, GENERALIST, _items(store, b.key)) for b in order.baseline}
    return Sealed(baseline, Results(order.claimed, "incumbent", _items(store, order.incumbent)))


def _items(store: ArtifactStore, key: str) -> tuple[Item, ...]:
    return tuple(Item(line.id, line.cluster, line.score) for line in read_results(store.read(key, RESULTS)))
