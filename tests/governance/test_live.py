"""Live evidence: what requests of users show, looked at after every one of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelecology.api.vocabulary import Outcome
from modelecology.governance.facts import Live
from modelecology.governance.live import check_errors, check_live_gain, check_live_latency
from modelecology.governance.rules import Limits

from .scenes import POLICY

LIMITED = replace(POLICY, limits=Limits(latency=2.0, percentile=90))


def seen(*differences: float, in_step: int | None = None) -> Live:
    return Live(differences, len(differences) if in_step is None else in_step, len(differences))


def test_nothing_scored_proves_nothing_and_says_where_scores_come_from() -> None:
    found = check_live_gain(Live(), 0.0, 1, 0.95)
    assert (found.outcome, found.n) == (Outcome.INCONCLUSIVE, 0)
    assert "/v1/feedback" in found.message


def test_a_lead_passes_once_enough_is_scored_and_not_before() -> None:
    live = seen(*[1.0, 0.0] * 30)
    assert check_live_gain(live, 0.0, 60, 0.95).outcome is Outcome.PASS
    found = check_live_gain(live, 0.0, 61, 0.95)
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.message.endswith("60 scored. 61 are asked.")


def test_a_loss_fails_however_few_were_asked_for() -> None:
    found = check_live_gain(seen(*[-1.0] * 12), 0.0, 1000, 0.95)
    assert found.outcome is Outcome.FAIL
    assert found.interval is not None
    assert found.interval.high < 0.0
    assert found.message.endswith("That it is above +0.00 is refuted.")


def test_what_went_well_for_long_fails_when_this_step_alone_refutes_it() -> None:
    bad = [-1.0] * 20
    late = seen(*[0.2] * 400, *bad, in_step=len(bad))
    assert check_live_gain(late, -0.05, 1, 0.95).outcome is Outcome.FAIL
    assert check_live_gain(replace(late, in_step=420), -0.05, 1, 0.95).outcome is Outcome.PASS


def test_a_difference_that_is_none_is_an_error_and_never_a_pass() -> None:
    found = check_live_gain(seen(*[1.0] * 100, 2.0), 0.0, 1, 0.95)
    assert found.outcome is Outcome.ERROR
    assert "differences lie in [-1, 1]" in found.message


@given(
    st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]), max_size=80), st.sampled_from([-0.05, 0.0, 0.1])
)
def test_the_interval_and_the_outcome_agree(differences: list[float], margin: float) -> None:
    found = check_live_gain(seen(*differences), margin, 1, 0.95)
    if found.interval is None:
        return
    assert found.interval.low <= found.interval.high
    if found.outcome is Outcome.FAIL:
        assert found.interval.high <= margin
    if found.outcome is Outcome.INCONCLUSIVE:
        assert found.interval.low <= margin


def test_looking_after_every_answer_errs_no_more_often_than_the_level_says() -> None:
    random = np.random.default_rng(7)
    false = 0
    for _ in range(300):
        # As good as who serves; a fifth of the answers differ.
        units = random.choice([-1.0, 0.0, 1.0], p=[0.1, 0.8, 0.1], size=200)
        looks = (check_live_gain(seen(*units[:n]), 0.0, 1, 0.95).outcome for n in range(10, 201, 10))
        false += Outcome.PASS in looks
    # 15 are expected at most; 28 and more would come by chance once in a thousand runs.
    assert false < 28


@pytest.mark.parametrize(
    ("failed", "outcome"), [(0, Outcome.PASS), (4, Outcome.PASS), (40, Outcome.FAIL), (101, Outcome.ERROR)]
)
def test_failed_answers_count_once_more_than_allowed_are_proven(failed: int, outcome: Outcome) -> None:
    assert check_errors(Live(answered=100, failed=failed), 0.02, 0.95).outcome is outcome


def test_no_answer_is_no_proof_of_few_errors() -> None:
    assert check_errors(Live(), 0.02, 0.95).outcome is Outcome.INCONCLUSIVE


def test_late_answers_are_held_against_the_limit_and_failed_ones_are_not_counted_twice() -> None:
    live = Live(answered=110, failed=10, late=40)
    found = check_live_latency(live, LIMITED)
    assert (found.outcome, found.observed, found.limit) == (Outcome.FAIL, "40 of 100", "at most 10 %")
    assert check_live_latency(replace(live, late=5), LIMITED).outcome is Outcome.PASS
    assert check_live_latency(live, POLICY).message == "policy.limits sets no latency."
