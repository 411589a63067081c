"""How soon a classifier of some accuracy may route, and how often one that is not good enough ever does.

    python -m bench.misrouting [--runs 200]

Answers about one task come one after another, each right with the same chance, and the task is looked at over
and over. Beside our bound stands an exact one for a fixed number of answers (Clopper and Pearson), which is
asked at the same looks.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from modelecology.governance.intervals import clopper_pearson
from modelecology.governance.misrouting import Checks, ClassifierRules, confusions

CONFIDENCE = 0.95
RULES = ClassifierRules(minimum_accuracy=0.9, minimum_checked=100)
ACCURACIES = (0.85, 0.88, 0.9, 0.92, 0.94, 0.96, 0.98, 0.995)

Opens = Callable[[int, int], bool]


def main() -> None:
    """Print, for each true accuracy, in how many runs the task was ever opened, and after how many."""
    parser = argparse.ArgumentParser(prog="python -m bench.misrouting", description=main.__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--answers", type=int, default=5000)
    parser.add_argument("--step", type=int, default=50, help="answers from one look to the next")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    random = np.random.default_rng(given.seed)
    print(f"{given.runs} runs; ever opened (median answers)    ours    fixed size")
    for accuracy in ACCURACIES:
        runs = [np.cumsum(random.random(given.answers) < accuracy) for _ in range(given.runs)]
        looks = range(given.step, given.answers + 1, given.step)
        told = [_told([_first(run.tolist(), looks, opens) for run in runs]) for opens in (_ours, _fixed)]
        print(f"accuracy {accuracy:<8g}", "    ".join(told))


def _first(right: list[int], looks: range, opens: Opens) -> int | None:
    """Find the look at which the task is first opened."""
    return next((look for look in looks if opens(right[look - 1], look)), None)


def _ours(right: int, answers: int) -> bool:
    checks: Checks = {("task", "task"): right, ("task", "other"): answers - right}
    (found,) = confusions(("task",), checks, RULES, CONFIDENCE)
    return found.routed


def _fixed(right: int, answers: int) -> bool:
    enough = answers >= RULES.minimum_checked
    return enough and clopper_pearson(right, answers, CONFIDENCE).low >= RULES.minimum_accuracy


def _told(found: list[int | None]) -> str:
    opened = [look for look in found if look is not None]
    return f"{len(opened)} ({np.median(opened):g})" if opened else "0"


if __name__ == "__main__":
    main()
