"""Pairing: what cannot be compared is an error and never a pass."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelecology.api.reasons import Reason
from modelecology.governance.evidence import EvidenceError, difference, mean
from modelecology.governance.facts import Item, Results

from .scenes import right, scored


def test_binary_items_are_compared_by_their_discordant_pairs() -> None:
    found = difference(right("dates", "new", 0.9), right("dates", "old", 0.1), 0.95)
    assert found.mean == pytest.approx(0.8)
    assert found.interval.low < 0.8 < found.interval.high
    assert (found.n, found.units) == (100, 100)
    assert found.mcnemar is not None
    assert found.mcnemar < 1e-20


def test_items_of_a_cluster_are_one_unit() -> None:
    clusters = [f"c{k // 10}" for k in range(200)]
    new = scored("dates", "new", [1.0] * 100 + [0.0] * 100, clusters)
    old = scored("dates", "old", [0.0] * 200, clusters)
    found = difference(new, old, 0.95)
    assert (found.n, found.units) == (200, 20)
    assert found.mcnemar is None
    single = difference(
        scored("dates", "new", [1.0] * 100 + [0.0] * 100), scored("dates", "old", [0.0] * 200), 0.95
    )
    assert found.interval.low < single.interval.low  # 20 units know less than 200


def test_graded_scores_are_compared_by_resampling() -> None:
    new = scored("dates", "new", [0.5 + 0.004 * k for k in range(100)])
    old = scored("dates", "old", [0.3 + 0.001 * k for k in range(100)])
    found = difference(new, old, 0.95)
    assert 0.2 < found.interval.low < found.mean < found.interval.high < 0.5
    assert found.mcnemar is None


def broken(results: Results, what: str) -> Results:
    first, *rest = results.items
    return {
        "missing": replace(results, items=tuple(rest), expected=None),
        "incomplete": replace(results, items=tuple(rest)),
        "extra": replace(results, items=(*results.items, Item("x", "x", 1.0)), expected=None),
        "twice": replace(results, items=(first, *results.items), expected=None),
        "not a number": replace(results, items=(replace(first, score=float("nan")), *rest)),
        "above one": replace(results, items=(replace(first, score=1.5), *rest)),
        "moved": replace(results, items=(replace(first, cluster="other"), *rest)),
        "empty": replace(results, items=(), expected=None),
        "of another task": replace(results, task="cron"),
    }[what]


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("missing", r"1 missing, 0 extra, the first of them 'i0'"),
        ("incomplete", "99 of 100 items"),
        ("extra", r"0 missing, 1 extra, the first of them 'x'"),
        ("twice", "the item 'i0' twice"),
        ("not a number", "the score nan for the item 'i0'"),
        ("above one", "the score 1.5 for the item 'i0'"),
        ("moved", "'i0' is in two clusters"),
        ("empty", "are empty"),
        ("of another task", "results of cron cannot be compared with results of dates"),
    ],
)
def test_evidence_that_cannot_be_compared_is_an_error(what: str, words: str) -> None:
    new, old = right("dates", "new", 0.9), right("dates", "old", 0.1)
    with pytest.raises(EvidenceError, match=words) as raised:
        difference(broken(new, what), old, 0.95)
    assert raised.value.reason is Reason.EVIDENCE_ERROR
    assert not raised.value.retry
    with pytest.raises(EvidenceError):
        difference(new, broken(old, what), 0.95)


def test_a_mean_of_binary_items_has_exact_bounds() -> None:
    found = mean(right("dates", "old", 0.5), 0.95)
    assert (found.mean, found.n) == (0.5, 100)
    assert 0.4 < found.interval.low < 0.5 < found.interval.high < 0.6


def test_a_mean_of_graded_items_is_resampled() -> None:
    graded = scored("dates", "old", [0.005 * k for k in range(100)])
    found = mean(graded, 0.95)
    assert 0.2 < found.interval.low < graded.mean < found.interval.high < 0.3


def test_a_mean_of_broken_results_is_an_error() -> None:
    with pytest.raises(EvidenceError):
        mean(broken(right("dates", "old", 0.5), "empty"), 0.95)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=40),
    st.integers(0, 1000),
)
def test_the_order_of_items_moves_no_bound(rows: list[tuple[int, float, float]], seed: int) -> None:
    clusters = [f"c{c}" for c, _, _ in rows]
    new = scored("dates", "new", [a for _, a, _ in rows], clusters)
    old = scored("dates", "old", [b for _, _, b in rows], clusters)
    shuffled = list(new.items)
    random.Random(seed).shuffle(shuffled)
    assert difference(new, old, 0.95) == difference(replace(new, items=tuple(shuffled)), old, 0.95)
