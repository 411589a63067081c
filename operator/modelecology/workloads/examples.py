"""Which rows a step sees, and what of them it learns. Pure: equal seeds give equal batches everywhere."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from modelecology.workloads.errors import DataInvalid
from modelecology.workloads.rows import TrainRow

IGNORED = -100
"""The label of a token that is not learned."""


@dataclass(frozen=True, slots=True)
class Example:
    """One row as tokens: what is read, and what of it is learned (the answer and its end)."""

    tokens: tuple[int, ...]
    labels: tuple[int, ...]


def example(row: TrainRow, prompt: list[int], answer: list[int], end: int, max_length: int) -> Example:
    """Join prompt and answer and mask the prompt; a long answer loses its tail, a long prompt is refused.

    Raises DataInvalid.
    """
    if len(prompt) >= max_length:
        raise DataInvalid(
            f"The prompt of row {row.id!r} has {len(prompt)} tokens and recipe.maxLength is {max_length}; "
            "shorten it or raise maxLength."
        )
    tokens = (prompt + answer + [end])[:max_length]
    learned = tokens[len(prompt) :]
    return Example(tuple(tokens), tuple([IGNORED] * len(prompt) + learned))


def replay_rows(batch_size: int, share: float) -> int:
    """Say how many rows of a batch are replay: at least one, and never all, unless a batch has one row."""
    if share == 0 or batch_size == 1:
        return 0
    return min(max(round(batch_size * share), 1), batch_size - 1)


def _endless(count: int, order: random.Random) -> Iterator[int]:
    while True:
        indices = list(range(count))
        order.shuffle(indices)
        yield from indices


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """The rows of one step, as indices into the data and into the replay."""

    data: tuple[int, ...]
    replay: tuple[int, ...]


def plan_batches(
    *, rows: int, replay: int, steps: int, batch_size: int, share: float, seed: int
) -> tuple[BatchPlan, ...]:
    """Plan every step of a training: each file is gone through in shuffled rounds, so no row is favoured."""
    from_replay = replay_rows(batch_size, share) if replay else 0
    data_order = _endless(rows, random.Random(f"data-{seed}"))
    replay_order = _endless(max(replay, 1), random.Random(f"replay-{seed}"))
    return tuple(
        BatchPlan(
            tuple(next(data_order) for _ in range(batch_size - from_replay)),
            tuple(next(replay_order) for _ in range(from_replay)),
        )
        for _ in range(steps)
    )
