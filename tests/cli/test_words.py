"""How values read."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelecology.api.population import SuiteLifeStatus
from modelecology.api.reasons import Reason
from modelecology.api.specialist import Interval, Progress
from modelecology.cli import words

from .desk import suite_life


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (-3, "0s"),
        (119.9, "119s"),
        (130, "2m10s"),
        (1200, "20m"),
        (12000, "3h20m"),
        (10800, "3h"),
        (190000, "2d4h"),
        (2592000, "30d"),
    ],
)
def test_a_span_has_two_units_at_most(seconds: float, text: str) -> None:
    assert words.span(seconds) == text


@given(st.floats(min_value=0, max_value=1e9))
def test_a_span_is_always_short(seconds: float) -> None:
    assert 2 <= len(words.span(seconds)) <= 6


@pytest.mark.parametrize(
    ("value", "text"),
    [("0", "0"), ("0.00001", "<0.0001"), ("-0.00001", ">-0.0001"), ("12.345678", "12.3457"), ("20", "20")],
)
def test_an_amount_shows_the_digits_that_matter(value: str, text: str) -> None:
    assert words.amount(Decimal(value)) == text


def test_a_narrow_interval_gets_more_digits() -> None:
    assert words.interval(Interval(low=0.51, high=0.72, confidence=0.95)) == "[0.51, 0.72]"
    assert words.interval(Interval(low=0.512, high=0.518, confidence=0.95)) == "[0.5120, 0.5180]"
    assert words.interval(None) == "-"


def test_progress_without_a_total_names_the_phase_alone() -> None:
    assert words.progress(Progress(phase="load", step=0, total=0)) == "load"
    assert words.progress(Progress(phase="eval", step=3, total=9, eta_seconds=130)) == "eval 3/9, 2m10s left"


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (Reason.HARD_INVARIANT_FAILURE, "hard invariant failure"),
        (Reason.INSUFFICIENT_EVIDENCE, "insufficient evidence"),
        (Reason.GAIN_DOES_NOT_REPAY, "portfolio gain does not repay cost"),
        (Reason.BASE_NOT_CAUSAL_LM, "base not causal lm"),
    ],
)
def test_a_reason_reads_as_plain_words(reason: Reason, text: str) -> None:
    assert words.plain(reason) == text


def test_a_sentence_gets_one_full_stop() -> None:
    assert [words.sentence(t) for t in ("a", "a.", "a? ", "")] == ["a.", "a.", "a?", ""]


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({}, "1 look taken, 1 passed, 9 left, the next at level 0.0027"),
        ({"looks": 2, "looksLeft": 8}, "2 looks taken, 1 passed, 8 left, the next at level 0.0027"),
        ({"looks": 10, "looksLeft": 0}, "10 looks taken, 1 passed, 0 left: give it fresh items"),
    ],
)
def test_a_suites_budget_says_what_is_left_of_it(more: dict[str, int], text: str) -> None:
    assert words.suite_life(SuiteLifeStatus.model_validate(suite_life(**more))) == text
