"""Batches follow from the seed, and only answers are learned."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelecology.workloads.errors import DataInvalid
from modelecology.workloads.examples import IGNORED, example, plan_batches, replay_rows
from modelecology.workloads.rows import TrainRow

ROW = TrainRow("r", "prompt", "answer")


def test_the_prompt_is_masked_and_the_answer_and_its_end_are_learned() -> None:
    made = example(ROW, [1, 2, 3], [7, 8], end=9, max_length=16)
    assert made.tokens == (1, 2, 3, 7, 8, 9)
    assert made.labels == (IGNORED, IGNORED, IGNORED, 7, 8, 9)


def test_a_long_answer_loses_its_tail_and_a_long_prompt_is_refused() -> None:
    assert example(ROW, [1, 2, 3], [7, 8], end=9, max_length=4).tokens == (1, 2, 3, 7)
    with pytest.raises(DataInvalid, match=r"row 'r' has 3 tokens .*maxLength is 3"):
        example(ROW, [1, 2, 3], [7], end=9, max_length=3)


@given(
    sizes=st.tuples(st.integers(1, 30), st.integers(0, 10), st.integers(1, 12), st.integers(1, 9)),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**31 - 1),
)
def test_a_plan_is_whole_fair_and_repeats_itself(
    sizes: tuple[int, int, int, int], share: float, seed: int
) -> None:
    rows, replay, steps, batch_size = sizes

    def plan() -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        made = plan_batches(
            rows=rows, replay=replay, steps=steps, batch_size=batch_size, share=share, seed=seed
        )
        return [(batch.data, batch.replay) for batch in made]

    batches = plan()
    assert batches == plan()
    assert len(batches) == steps
    seen: Counter[int] = Counter()
    for data, again in batches:
        assert len(data) + len(again) == batch_size
        assert len(again) == (replay_rows(batch_size, share) if replay else 0)
        assert len(data) >= 1
        seen.update(data)
    counts = [seen[index] for index in range(rows)]
    assert max(counts) - min(counts) <= 1


def test_the_same_rows_come_in_the_same_order_with_and_without_replay() -> None:
    one = plan_batches(rows=20, replay=5, steps=2, batch_size=4, share=0.5, seed=1)
    two = plan_batches(rows=20, replay=0, steps=2, batch_size=4, share=0.0, seed=1)
    assert [i for batch in one for i in batch.data] == [i for batch in two for i in batch.data][:4]
