"""Evidence: two models' answers to the same items, paired, and what they prove."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from modelecology.api.reasons import Reason

from .facts import Interval, Results
from .intervals import Units, clopper_pearson, mcnemar, of_mean, tango


class EvidenceError(ValueError):
    """Raised when results cannot be compared; it is never a pass and is not retried by itself."""

    reason = Reason.EVIDENCE_ERROR
    retry = False


@dataclass(frozen=True, slots=True)
class Difference:
    """Candidate minus incumbent: the mean over units, with one-sided bounds at the confidence."""

    mean: float
    interval: Interval
    n: int  # items
    units: int  # clusters, each one unit
    mcnemar: float | None = None  # exact two-sided p-value, for binary items without clusters


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean score, with one-sided bounds at the confidence."""

    mean: float
    interval: Interval
    n: int


def check(results: Results) -> None:
    """Refuse results that are empty, incomplete, duplicated or outside [0, 1]. Raises EvidenceError."""
    what = f"{results.task}: the results of {results.model}"
    if not results.items:
        raise EvidenceError(f"{what} are empty. Evaluate again.")
    if results.expected is not None and len(results.items) != results.expected:
        raise EvidenceError(f"{what} have {len(results.items)} of {results.expected} items. Evaluate again.")
    seen: set[str] = set()
    for item in results.items:
        if item.id in seen:
            raise EvidenceError(f"{what} have the item {item.id!r} twice. Make the ids of the data unique.")
        seen.add(item.id)
        if not (math.isfinite(item.score) and 0.0 <= item.score <= 1.0):
            raise EvidenceError(
                f"{what} have the score {item.score} for the item {item.id!r}; a score lies in [0, 1]. "
                "Mend the scorer."
            )


def difference(candidate: Results, incumbent: Results, confidence: float) -> Difference:
    """Compare two models item by item; items of a cluster are one unit. Raises EvidenceError."""
    pairs = paired(candidate, incumbent)
    clusters: dict[str, list[float]] = defaultdict(list)
    for cluster, ours, theirs in pairs:
        clusters[cluster].append(ours - theirs)
    n = len(pairs)
    if len(clusters) == n and all(s in (0.0, 1.0) for _, ours, theirs in pairs for s in (ours, theirs)):
        gained = sum(ours > theirs for _, ours, theirs in pairs)
        lost = sum(ours < theirs for _, ours, theirs in pairs)
        interval = tango(gained, lost, n, confidence)
        return Difference((gained - lost) / n, interval, n, n, mcnemar(gained, lost))
    units = _units(clusters)
    return Difference(float(units.mean()), of_mean(units, confidence, -1.0, 1.0), n, len(units))


def mean(results: Results, confidence: float) -> Mean:
    """Bound the mean score of one model. Raises EvidenceError."""
    check(results)
    clusters: dict[str, list[float]] = defaultdict(list)
    for item in results.items:
        clusters[item.cluster].append(item.score)
    n = len(results.items)
    if len(clusters) == n and all(i.score in (0.0, 1.0) for i in results.items):
        right = sum(i.score == 1.0 for i in results.items)
        return Mean(right / n, clopper_pearson(right, n, confidence), n)
    units = _units(clusters)
    return Mean(float(units.mean()), of_mean(units, confidence, 0.0, 1.0), n)


def paired(candidate: Results, incumbent: Results) -> list[tuple[str, float, float]]:
    """Pair two models' answers: cluster, candidate's score, incumbent's score. Raises EvidenceError."""
    check(candidate)
    check(incumbent)
    if candidate.task != incumbent.task:
        raise EvidenceError(
            f"results of {candidate.task} cannot be compared with results of {incumbent.task}."
        )
    theirs = {item.id: item for item in incumbent.items}
    missing = sorted(theirs.keys() - {item.id for item in candidate.items})
    extra = sorted(item.id for item in candidate.items if item.id not in theirs)
    if missing or extra:
        raise EvidenceError(
            f"{candidate.task}: {candidate.model} and {incumbent.model} did not answer the same items "
            f"({len(missing)} missing, {len(extra)} extra, the first of them {(missing + extra)[0]!r}). "
            "Evaluate both on the same data."
        )
    moved = next((i.id for i in candidate.items if theirs[i.id].cluster != i.cluster), None)
    if moved is not None:
        raise EvidenceError(
            f"{candidate.task}: the item {moved!r} is in two clusters. Evaluate both on the same data."
        )
    return [(item.cluster, item.score, theirs[item.id].score) for item in candidate.items]


def _units(clusters: dict[str, list[float]]) -> Units:
    # Sorted, so that neither the order of items nor that of clusters moves a bound.
    return np.array([sum(sorted(clusters[c])) / len(clusters[c]) for c in sorted(clusters)], dtype=np.float64)
