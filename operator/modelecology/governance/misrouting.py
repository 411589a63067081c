"""What a classifier of requests is worth: how often it is right about each task, and what its errors cost.

It is asked of requests whose task is known, and routes none of them. An answer is about a task if the request
is of it, or is taken for it; so both a task's own requests that go elsewhere and strangers that come are
errors. Of what it says nothing falls back as it did without it, and is no error.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from .facts import SuiteTask
from .sequential import lower_bound_of
from .traffic import Traffic, rounded

Checks = Mapping[tuple[str | None, str | None], int]
"""How often a request of a task (None: for no specialist) was said to be of another (None: of none)."""


@dataclass(frozen=True, slots=True)
class ClassifierRules:
    """When a classifier's word routes to a task."""

    minimum_accuracy: float
    minimum_checked: int


@dataclass(frozen=True, slots=True)
class Confusion:
    """How right a classifier is about one task."""

    task: str
    right: int
    elsewhere: int  # of its own requests, those that are taken for another task's
    strangers: int  # requests that are not of it, and are taken for its own
    unsaid: int  # of its own requests, those of which nothing is said
    accuracy: float  # lower bound of the share of right answers about the task; 0 for none
    routed: bool  # whether requests go to the task by its word

    @property
    def answers(self) -> int:
        """Answers about the task."""
        return self.right + self.elsewhere + self.strangers


@dataclass(frozen=True, slots=True)
class Mistake:
    """Requests of one task (None: for no specialist) that are taken for another's."""

    task: str | None
    taken_for: str
    requests: int


def confusions(
    tasks: Iterable[str], checks: Checks, rules: ClassifierRules, confidence: float
) -> tuple[Confusion, ...]:
    """Measure the classifier on each task that it knows; what was not measured enough is not routed.

    The bound of a task holds however often one looks.
    """
    return tuple(_confusion(task, checks, rules, confidence) for task in sorted(set(tasks)))


def mistakes(checks: Checks, most: int) -> tuple[Mistake, ...]:
    """List the most frequent mistakes, the most frequent first."""
    found = (
        Mistake(task, said, number)
        for (task, said), number in checks.items()
        if said is not None and said != task
    )
    return tuple(sorted(found, key=lambda m: (-m.requests, m.taken_for, m.task or ""))[:most])


def charged(
    tasks: tuple[SuiteTask, ...], found: Collection[Confusion], traffic: Traffic | None
) -> tuple[SuiteTask, ...]:
    """Charge each task the share of its requests that may have gone astray by the classifier's word.

    That is the share which is not proven to be right, of what the classifier sent there where that is
    counted; of all its requests where it is not, as long as any are sent there.
    """
    shares = {each.task: _astray(each, traffic) for each in found}
    return tuple(replace(t, misrouting=share) if (share := shares.get(t.name)) else t for t in tasks)


def _confusion(task: str, checks: Checks, rules: ClassifierRules, confidence: float) -> Confusion:
    right = elsewhere = strangers = unsaid = 0
    for (known, said), number in checks.items():
        if known == task:
            right += number if said == task else 0
            unsaid += number if said is None else 0
            elsewhere += number if said not in (task, None) else 0
        elif said == task:
            strangers += number
    answers = right + elsewhere + strangers
    accuracy = _bound(right, answers, confidence)
    routed = answers >= rules.minimum_checked and accuracy >= rules.minimum_accuracy
    return Confusion(task, right, elsewhere, strangers, unsaid, accuracy, routed)


def _astray(found: Confusion, traffic: Traffic | None) -> float:
    if traffic is None:
        sent = 1.0 if found.routed else 0.0
    else:
        asked = traffic.requests.get(found.task, 0)
        sent = min(1.0, traffic.classified.get(found.task, 0) / asked) if asked else 0.0
    return min(1.0, rounded(sent * (1.0 - found.accuracy)))


@lru_cache(maxsize=4096)
def _bound(right: int, answers: int, confidence: float) -> float:
    # Every look at a population asks again, and counts change once an hour.
    if not answers:
        return 0.0
    values, counts = np.array([-1.0, 1.0]), np.array([answers - right, right])
    return (1.0 + lower_bound_of(values, counts, 1.0 - confidence)) / 2.0
