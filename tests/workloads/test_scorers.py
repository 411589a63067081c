"""Scorers give 0 for wrong and 1 for right, and a broken one is never a pass."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelecology.workloads.errors import JudgeBroken
from modelecology.workloads.rows import EvalItem
from modelecology.workloads.scorers import (
    READ_LIMIT,
    best_choice,
    contains,
    entry_point_scorer,
    exact,
    inverse_perplexity,
    pattern_scorer,
    text_scorer,
)
from tests.workloads.orders import Orders


def item(answer: str, *others: str) -> EvalItem:
    """An item with this answer."""
    return EvalItem("q", "q", "prompt", answer, others)


def length_judge(*, prompt: str, answer: str, output: str) -> float:
    """Score 1 when the output is as long as the answer."""
    return float(len(output) == len(answer) and bool(prompt))


def generous_judge(*, prompt: str, answer: str, output: str) -> float:
    """Give what no judge may give."""
    return 7.0 if prompt + answer + output else math.nan


@pytest.mark.parametrize(
    ("output", "score"),
    [("2021-03-04", 1), (" 2021-03-04\n", 1), ("2021-03-04.", 0), ("It is 2021-03-04", 0), ("", 0)],
)
def test_exact_wants_the_answer_and_nothing_else(output: str, score: int) -> None:
    assert exact(item("2021-03-04"), output) == score


@pytest.mark.parametrize(
    ("output", "score"),
    [("The capital is PARIS.", 1), ("paris", 1), ("Parisian life", 0), ("New  York", 0), ("", 0)],
)
def test_contains_wants_whole_words_in_any_case(output: str, score: int) -> None:
    assert contains(item("Paris"), output) == score


def test_contains_does_not_find_a_number_inside_another() -> None:
    assert contains(item("7", "seven"), "There are 17.") == 0
    assert contains(item("7", "seven"), "There are Seven.") == 1
    assert contains(item("+"), "a + b") == 1


def test_a_pattern_may_name_the_answer() -> None:
    score = pattern_scorer(r"^answer: {answer}$")
    assert score(item("a.b"), "answer: a.b") == 1
    assert score(item("a.b"), "answer: axb") == 0


def test_a_pattern_matches_the_whole_answer_or_nothing() -> None:
    score = pattern_scorer("yes|no")
    assert score(item("a"), " yes\n") == 1
    assert score(item("a"), "no") == 1
    assert score(item("a"), "yes, or no") == 0
    assert score(item("a"), "I know") == 0
    assert score(item("a"), "no\nyes") == 0


def test_an_answer_that_is_too_long_to_be_read_matches_nothing() -> None:
    score = pattern_scorer("x+")
    assert score(item("a"), "x" * READ_LIMIT) == 1
    assert score(item("a"), "x" * READ_LIMIT + "x") == 0


def test_a_pattern_that_is_none_is_a_broken_judge() -> None:
    with pytest.raises(JudgeBroken, match="regular expression"):
        pattern_scorer("(")


def test_an_entry_point_is_called_with_prompt_answer_and_output(orders: Orders) -> None:
    task = orders.task("code", scorer="EntryPoint", entry_point=f"{__name__}:length_judge")
    assert text_scorer(task)(item("abc"), "xyz") == 1


@pytest.mark.parametrize("name", ["no.such.module:f", f"{__name__}:absent", "nothing", ":"])
def test_an_entry_point_that_cannot_be_imported_is_a_broken_judge(name: str) -> None:
    with pytest.raises(JudgeBroken, match="cannot be imported"):
        entry_point_scorer(name)


def test_a_score_outside_of_0_to_1_or_a_failure_is_a_broken_judge() -> None:
    with pytest.raises(JudgeBroken, match="not 0 to 1"):
        entry_point_scorer(f"{__name__}:generous_judge")(item("a"), "b")
    with pytest.raises(JudgeBroken, match="failed on item 'q'"):
        entry_point_scorer("math:sqrt")(item("a"), "b")


def test_the_likeliest_choice_wins_and_of_equals_the_first() -> None:
    assert best_choice(("a", "b", "c"), (-3.0, -1.0, -2.0)) == "b"
    assert best_choice(("a", "b"), (-1.0, -1.0)) == "a"


@given(st.floats(-1000, 0), st.integers(1, 100))
def test_an_inverse_perplexity_is_a_share(total: float, tokens: int) -> None:
    assert 0 <= inverse_perplexity(total, tokens) <= 1
    assert inverse_perplexity(0.0, tokens) == 1
