"""When a judge's word is evidence: while labels prove that it is right, and less what they leave open."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelecology.api.vocabulary import Outcome
from modelecology.governance.facts import Judged, Live
from modelecology.governance.judge import agreement_bound, bias_of, check_shadow_gain
from modelecology.governance.live import check_live_gain
from modelecology.governance.rules import JudgeRules, LiveShadow

WISE = JudgeRules("wise", 0.7, 30, 0.1)
RULES = LiveShadow(50, 0.0, False, WISE)
LABELS = (1.0, 0.0)
WORDS = (*LABELS, *[1.0] * 60)


def judged(words: tuple[float, ...] = WORDS, **changes: Any) -> Live:
    """A judge that has agreed with labels in all of 40 copies; `changes` are of that."""
    given: dict[str, Any] = {"words": 60, "told_apart": 40, "agreed": 40, "leans": (0.0,) * 40} | changes
    return Live(LABELS, 2, 62, judged=Judged(words, len(words), **given))


def test_without_a_rule_nobody_hears_a_judge() -> None:
    rules = replace(RULES, judge=None)
    assert check_shadow_gain(judged(), rules, 0.95) == check_live_gain(judged(), 0.0, 50, 0.95)


def test_a_judge_that_is_proven_to_be_right_is_heard() -> None:
    check = check_shadow_gain(judged(), RULES, 0.95)
    assert (check.outcome, check.n, check.limit) == (Outcome.PASS, 62, "more than +0.10, of at least 50")
    said = "60 of them by the judge wise, which agrees with labels in 40 of 40 copies and may be off by -0.10"
    assert said in check.message


def test_what_a_judge_sees_refutes_a_lead_as_well() -> None:
    check = check_shadow_gain(judged((-1.0,) * 62), RULES, 0.95)
    assert (check.outcome, check.limit) == (Outcome.FAIL, "more than -0.10, of at least 50")


def test_a_lead_that_is_not_above_what_labels_leave_open_is_neither_proven_nor_refuted() -> None:
    small = (1.0, *[0.0] * 12) * 100  # 0.08
    check = check_shadow_gain(judged(small), RULES, 0.95)
    assert check.outcome is Outcome.INCONCLUSIVE
    trusting = replace(RULES, judge=replace(WISE, bias_margin=0.0))
    assert check_shadow_gain(judged(small), trusting, 0.95).outcome is Outcome.PASS


def test_what_labels_prove_alone_needs_no_judge() -> None:
    live = replace(judged(), differences=(1.0,) * 60, judged=None)
    assert check_shadow_gain(live, RULES, 0.95).outcome is Outcome.PASS
    live = replace(judged(), differences=(-1.0,) * 60)
    assert check_shadow_gain(live, RULES, 0.95).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"told_apart": 29, "agreed": 29},
            "labels told 29 copies that it judged from what users got; 30 are",
        ),
        ({"told_apart": 0, "agreed": 0}, "labels told 0 copies"),
        ({"agreed": 30}, "it agrees with labels in 30 of 40 copies, which proves 0.5"),
    ],
)
def test_a_judge_that_is_not_counts_for_nothing_and_the_message_says_why(
    changes: dict[str, Any], said: str
) -> None:
    check = check_shadow_gain(judged(**changes), RULES, 0.95)
    assert (check.outcome, check.n) == (Outcome.INCONCLUSIVE, 2)
    assert "The judge wise counts for nothing: " in check.message
    assert said in check.message


def test_a_bias_that_labels_show_has_to_be_won_on_top() -> None:
    leaning = judged(leans=(1.0,) * 20 + (0.0,) * 40)
    check = check_shadow_gain(leaning, RULES, 0.95)
    assert (check.outcome, check.limit) == (Outcome.PASS, "more than +0.43, of at least 50")
    half = (*LABELS, *[1.0] * 40, *[-0.5] * 20)
    assert check_shadow_gain(judged(half), RULES, 0.95).outcome is Outcome.PASS
    leaning = judged(half, leans=(1.0,) * 20 + (0.0,) * 40)
    assert check_shadow_gain(leaning, RULES, 0.95).outcome is Outcome.INCONCLUSIVE


def test_nothing_that_a_judge_says_is_heard_before_it_has_said_anything() -> None:
    assert "counts for nothing" in check_shadow_gain(Live(), RULES, 0.95).message


def test_what_a_judge_has_trouble_with_is_told_and_an_error_costs_lead() -> None:
    check = check_shadow_gain(judged(inconsistent=7, errors=2), RULES, 0.95)
    assert "(7 changed with the order, 2 were errors)" in check.message
    assert check.limit == "more than +0.16, of at least 50"
    check = check_shadow_gain(judged(errors=200), RULES, 0.95)
    assert check.outcome is Outcome.INCONCLUSIVE


def test_labels_bound_a_bias_better_the_more_there_are() -> None:
    few, many = (Judged((0.0,), leans=(0.0,) * n) for n in (30, 3000))
    assert bias_of(few, 2.0, 0.99).high > 0.3
    assert 0.0 < bias_of(many, 2.0, 0.99).high < 0.01
    assert bias_of(few, 0.05, 0.99).high == 0.05
    assert bias_of(Judged(), 2.0, 0.99).high == 2.0


@given(st.lists(st.sampled_from((-2.0, -1.0, 0.0, 1.0, 2.0)), min_size=1, max_size=200), st.floats(0, 2))
def test_a_bias_lies_on_both_sides_of_none_and_within_the_margin_of_what_was_seen(
    leans: list[float], margin: float
) -> None:
    bias, seen = bias_of(Judged(leans=tuple(leans)), margin, 0.99), float(np.mean(leans))
    assert min(0.0, seen - margin) - 1e-9 <= bias.low <= min(0.0, seen) + 1e-9
    assert max(0.0, seen) - 1e-9 <= bias.high <= max(0.0, seen + margin) + 1e-9
    assert -2.0 <= bias.low <= bias.high <= 2.0


@given(st.integers(0, 300), st.integers(0, 300))
def test_what_is_proven_of_a_judge_is_less_than_what_was_seen_and_grows_with_it(
    right: int, wrong: int
) -> None:
    low = agreement_bound(right, right + wrong, 0.95)
    assert 0.0 <= low <= right / max(1, right + wrong)
    assert low <= agreement_bound(right + 1, right + wrong + 1, 0.95) + 1e-9


def test_a_judge_that_guesses_is_seldom_heard_however_often_one_looks() -> None:
    random = np.random.default_rng(7)
    runs = 200
    heard_once = 0
    for _ in range(runs):
        right = random.random(200) < 0.7
        looks = ((int(right[:n].sum()), n) for n in range(30, 201, 10))
        heard_once += any(agreement_bound(k, n, 0.95) >= 0.7 for k, n in looks)
    assert heard_once <= 0.05 * runs


@pytest.mark.parametrize("lean", [0.0, 0.2, 1.0])
def test_where_nothing_is_taken_for_granted_a_judge_of_any_bias_seldom_promotes_what_is_no_better(
    lean: float,
) -> None:
    random = np.random.default_rng(11)
    trusts_nothing = replace(RULES, judge=replace(WISE, bias_margin=2.0))
    runs, passed = 40, 0
    for _ in range(runs):
        truth = random.choice((-1.0, 0.0, 1.0), 600)
        says = np.where((truth == 0) & (random.random(600) < lean), 1.0, truth)
        known = random.random(600) < 0.2
        apart = int(((truth != 0) & known).sum())
        words = Judged(
            tuple(np.where(known, truth, says)),
            words=int((~known).sum()),
            told_apart=apart,
            agreed=apart,
            leans=tuple((says - truth)[known]),
        )
        live = Live(tuple(truth[known]), judged=words)
        passed += check_shadow_gain(live, trusts_nothing, 0.95).outcome is Outcome.PASS
    assert passed <= 0.05 * runs
