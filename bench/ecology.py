"""Histories of candidates that come one by one, each with answers to a suite: the world of bench.portfolio.

A task has items of some difficulty. A model of quality q answers an item by its difficulty, right where that
is below q, or in a part of the answers by a chance of q: two models agree on most items, and differ on some.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from modelecology.api.vocabulary import Role, Scope
from modelecology.governance.facts import GENERALIST, Member, SuiteTask
from modelecology.governance.portfolio import per_point
from modelecology.governance.residents import Capacity
from modelecology.governance.rules import Policy, Prices
from modelecology.governance.upkeep import upkeep

Answers = NDArray[np.bool_]

TASKS = 8
CANDIDATES = 100
ITEMS = 5000  # of each task: three quarters judge, and a quarter is asked through the endpoint
MAIN = 3750
BY_CHANCE = 0.2  # share of the answers that the item's difficulty does not decide
MIB = 2**20
SLOTS, MEMORY = 5, 160  # adapters, and MiB of all of them


@dataclass(frozen=True, slots=True)
class Candidate:
    """A candidate: what it truly is, and what it answers when it is asked."""

    name: str
    task: str
    quality: float
    size: int  # MiB
    answers: Answers

    def member(self, quality: float) -> Member:
        """Give it as a member whose quality is believed to be this."""
        return Member(self.name, self.task, quality, self.size * MIB)


@dataclass(frozen=True, slots=True)
class World:
    """A population without members, and all that will come, in its order."""

    tasks: dict[str, SuiteTask]
    generalist: dict[str, Candidate]
    history: tuple[Candidate, ...]
    policy: Policy
    capacity: Capacity

    def rate(self, task: str) -> float:
        """Worth of a whole point of a task's quality."""
        return float(per_point(self.tasks[task], self.policy))

    def cost(self, candidate: Candidate) -> float:
        """Upkeep of a candidate."""
        return float(upkeep(candidate.member(0.0), self.policy))

    def gain(self, candidate: Candidate) -> float:
        """What it is truly worth above the generalist, as its task's only member."""
        lead = candidate.quality - self.generalist[candidate.task].quality
        return self.rate(candidate.task) * lead - self.cost(candidate)

    def worth(self, residents: Sequence[Candidate], believed: dict[str, float]) -> float:
        """What residents are truly worth above the generalist, where requests go by what is believed."""
        total = -sum(self.cost(each) for each in residents)
        for task, base in self.generalist.items():
            routes = [base, *(each for each in residents if each.task == task)]
            route = max(routes, key=lambda each: believed[each.name])
            total += self.rate(task) * (route.quality - base.quality)
        return total


def world(random: np.random.Generator, good: float) -> World:
    """Make a world in which this share of the candidates is better than the generalist."""
    shares = 1 / np.arange(1, TASKS + 1)
    shares /= shares.sum()
    tasks = {
        f"task-{k}": SuiteTask(
            f"task-{k}",
            Role.TASK,
            Scope.ADAPTER,
            float(round(shares[k] * 0.999, 4)),
            Decimal(str(round(random.uniform(0.01, 0.05), 3))),
            None,
        )
        for k in range(TASKS)
    }
    hard = {name: random.random(ITEMS) for name in tasks}
    base = {name: float(random.uniform(0.05, 0.5)) for name in tasks}
    generalist = {
        name: Candidate(f"{GENERALIST}-{name}", name, base[name], 0, _answers(random, hard[name], base[name]))
        for name in tasks
    }
    history = []
    for number in range(CANDIDATES):
        name = f"task-{random.integers(TASKS)}"
        if random.random() < good:
            quality = base[name] + float(random.beta(2, 2)) * (0.95 - base[name])
        else:
            quality = max(0.0, base[name] + float(random.uniform(-0.3, 0.01)))
        answers = _answers(random, hard[name], quality)
        history.append(Candidate(f"c{number:03d}", name, quality, int(random.integers(8, 65)), answers))
    return World(tasks, generalist, tuple(history), _policy(), Capacity(SLOTS, MEMORY * MIB))


def oracle(found: World) -> list[float]:
    """The greatest true worth after each arrival: exact, by dynamic programming over slots and memory."""
    gains: dict[str, list[tuple[float, int]]] = {name: [] for name in found.tasks}
    path = []
    for candidate in found.history:
        gain = found.gain(candidate)
        if gain > 0:
            gains[candidate.task].append((gain, candidate.size))
            best = np.zeros((SLOTS + 1, MEMORY + 1))
            for offers in gains.values():
                more = best.copy()
                for worth, size in offers:
                    if size <= MEMORY:
                        np.maximum(
                            more[1:, size:], best[:-1, : MEMORY + 1 - size] + worth, out=more[1:, size:]
                        )
                best = more
            path.append(float(best.max()))
        else:
            path.append(path[-1] if path else 0.0)
    return path


def _answers(random: np.random.Generator, hard: NDArray[np.float64], quality: float) -> Answers:
    by_chance = random.random(ITEMS) < BY_CHANCE
    found: Answers = np.where(by_chance, random.random(ITEMS) < quality, hard < quality)
    return found


def _policy() -> Policy:
    return Policy(
        confidence=0.95,
        minimum_gap=0.05,
        threshold=Decimal(0),
        horizon=timedelta(hours=720),
        requests_per_day=1000,
        prices=Prices(Decimal(2), Decimal("0.05"), Decimal("0.5")),
        minimum_scored=30,
        shadow_maximum=timedelta(hours=24),
        undo_window=timedelta(hours=168),
        budget=None,
        adapters=SLOTS,
        max_rank=16,
        replicas=1,
        retries=3,
        memory=MEMORY * MIB,
    )
