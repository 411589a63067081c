"""What is a population worth that the portfolio keeps, and for how many answers? Beside oracle and peers.

    python -m bench.portfolio [--quick] [--seeds N] [--matrix FILE]
    python -m bench.portfolio record --store DIR [--manifests DIR] [--matrix FILE]

The first needs no cluster and no model: histories are simulated, and a recorded matrix of real adapters is
read. The second takes the matrix out of a store, such as `make demo KEEP=1` leaves. docs/portfolio.md has the
figures.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench.ecology import CANDIDATES, ITEMS, MEMORY, SLOTS, TASKS, oracle, world
from bench.figures import Spread
from bench.goals import Goals, percent
from bench.keepers import PEERS, Governed, Kept, everything
from bench.matrix import Matrix, broken, read_matrix, record, standing_of, write_matrix
from modelecology.governance.facts import GENERALIST
from modelecology.governance.portfolio import Population, generalists, leave_one_out, value
from modelecology.governance.residents import Capacity, best_residents
from modelecology.governance.unviable import findings

MATRIX = Path("bench/data/adapters.json")
MANIFESTS = Path("manifests/quickstart")
GOOD = (0.1, 0.2, 0.4)  # shares of the candidates that are better than the generalist
DESIGN = 0.2
LEAST_VALUE, MOST_ITEMS = 0.95, 0.2
OURS = "screen, proof and best set"


@dataclass(frozen=True, slots=True)
class Size:
    """How much is simulated."""

    seeds: int
    histories: int  # a seed


FULL = Size(seeds=5, histories=10)
QUICK = Size(seeds=2, histories=3)


@dataclass(frozen=True, slots=True)
class Share:
    """One keeper over the histories of a seed: parts of the oracle's value and of all items."""

    end: float
    whole: float  # over the whole history
    worst: float  # at the end of the worst history
    items: float
    promoted: float

    @classmethod
    def of(cls, found: Sequence[Kept], best: Sequence[list[float]]) -> Share:
        """Sum over histories before dividing, so that a poor history does not weigh as much as a rich one."""
        most = sum(path[-1] for path in best)
        area = sum(sum(path) for path in best)
        return cls(
            sum(kept.path[-1] for kept in found) / most,
            sum(sum(kept.path) for kept in found) / area,
            min(kept.path[-1] / path[-1] for kept, path in zip(found, best, strict=True)),
            sum(kept.items for kept in found) / (ITEMS * CANDIDATES * len(found)),
            sum(kept.promoted for kept in found) / len(found),
        )


def histories(report: Goals, size: Size) -> None:
    """Keep candidates as they come, beside the oracle that knows what they are."""
    report.title(
        f"{CANDIDATES} candidates for {TASKS} tasks, {SLOTS} slots and {MEMORY} MiB, {ITEMS} items a task; "
        f"{size.seeds} seeds x {size.histories}"
    )
    for good in GOOD:
        found = [_seed(seed, good, size.histories) for seed in range(size.seeds)]
        report.row(
            f"{100 * good:.0f} % are better than the generalist",
            "value at the end, %",
            "over the history, %",
            "worst history, %",
            "items asked, %",
            "promoted",
        )
        for name in found[0]:
            shares = [seed[name] for seed in found]
            report.row(
                name,
                percent(s.end for s in shares),
                percent(s.whole for s in shares),
                Spread.of(100 * s.worst for s in shares).text(0),
                percent(s.items for s in shares),
                Spread.of(s.promoted for s in shares).text(1) if name == OURS else "-",
            )
        if good == DESIGN:
            ours = [seed[OURS] for seed in found]
            least, most = min(s.end for s in ours), max(s.items for s in ours)
            report.goal(
                ">= 95 % of the oracle's value, each seed", f"{100 * least:.1f} %", least >= LEAST_VALUE
            )
            report.goal("<= 1/5 of the items, each seed", f"{100 * most:.1f} %", most <= MOST_ITEMS)


def _seed(seed: int, good: float, count: int) -> dict[str, Share]:
    random = np.random.default_rng([seed, round(100 * good)])
    worlds = [world(random, good) for _ in range(count)]
    best = [oracle(each) for each in worlds]
    found = {OURS: Share.of([Governed(each).run() for each in worlds], best)}
    for name, choose in PEERS.items():
        found[name] = Share.of([everything(each, choose) for each in worlds], best)
    return found


def recorded(report: Goals, matrix: Matrix) -> None:
    """Say what real adapters scored, and what each of them is worth."""
    standing, tasks, policy = standing_of(matrix)
    report.title(f"{len(matrix.adapters)} real adapters, as recorded: mean score (items)")
    report.row("", *(t.name for t in tasks))
    for model in matrix.models:
        cells = []
        for task in tasks:
            answered = matrix.results(model, task.name)
            cells.append(f"{answered.mean:.2f} ({len(answered.items)})" if answered.items else "-")
        report.row(model.name, *cells)
    population = Population(generalists(standing.generalist), standing.members)
    alone = value(Population(population.generalist), tasks, policy)
    worth = leave_one_out(population, tasks, policy)
    found = findings(standing, tasks, policy)
    best = best_residents(population, tasks, policy, Capacity(policy.adapters, policy.memory))
    days = policy.horizon.days
    print(
        f"\nAll that break no invariant, live together over {days} days, bounds at {policy.confidence:.0%}:"
    )
    report.row("", "task", "worth without it", "between", "")
    for member in sorted(standing.members, key=lambda m: (-worth[m.served_name].point, m.served_name)):
        own = worth[member.served_name]
        cause = found[member.served_name].reason
        kept = "in the best set" if member.served_name in best.kept else "left out"
        report.row(
            member.served_name,
            member.task,
            f"{own.point:.2f}",
            f"{own.low:.2f} .. {own.high:.2f}",
            str(cause or kept),
        )
    for model in matrix.adapters:
        for invariant, lost in broken(matrix, model).items():
            between = f"{lost.interval.low:+.2f} .. {lost.interval.high:+.2f}"
            report.row(model.name, model.task, f"breaks {invariant}", f"{lost.mean:+.2f}", between)
    report.row(
        f"value above the {GENERALIST}: all, best set",
        f"{value(population, tasks, policy) - alone:.2f}",
        f"{best.gain:.2f}",
    )


def main() -> None:
    """Run the simulation and read the matrix, or record it."""
    parser = argparse.ArgumentParser(prog="python -m bench.portfolio", description=__doc__)
    parser.add_argument("command", nargs="?", choices=("run", "record"), default="run")
    parser.add_argument("--quick", action="store_true", help="a few histories: shapes, not figures")
    parser.add_argument("--seeds", type=int, help="how often everything is done anew")
    parser.add_argument("--matrix", type=Path, default=MATRIX, help=f"the recorded matrix; {MATRIX}")
    parser.add_argument("--store", type=Path, help="folder of a store, to record from")
    parser.add_argument("--manifests", type=Path, default=MANIFESTS, help="Population and EvaluationSuite")
    options = parser.parse_args()
    if options.command == "record":
        if options.store is None:
            parser.error("record needs --store DIR, such as the folder that make demo KEEP=1 leaves")
        found = record(options.store, options.manifests)
        write_matrix(options.matrix, found)
        print(f"{options.matrix}: {len(found.adapters)} adapters on {len(found.tasks)} tasks.")
        return
    size = QUICK if options.quick else FULL
    if options.seeds:
        size = replace(size, seeds=options.seeds)
    report, began = Goals(), time.monotonic()
    print(
        "Three figures are the least, the middle and the greatest of the seeds; 100 % is the exact oracle's."
    )
    histories(report, size)
    if options.matrix.exists():
        recorded(report, read_matrix(options.matrix))
    else:
        print(f"\n{options.matrix} is not there: python -m bench.portfolio record --store DIR makes it.")
    print(f"\n{time.monotonic() - began:.0f} s.")
    report.end()


if __name__ == "__main__":
    main()
