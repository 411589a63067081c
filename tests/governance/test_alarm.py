"""An alarm on live answers: soon where they go bad, seldom where they do not, silent once they recovered."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelecology.api.vocabulary import Outcome
from modelecology.governance.alarm import RAISED, alarm, check_served
from modelecology.governance.facts import Alarm, Served
from modelecology.governance.rules import LiveLimits
from modelecology.governance.sequential import STAKES

GOOD, BAD = [0.0], [1.0]


def until(bad: list[float], allowed: float) -> int:
    """How many of these it takes until the alarm is raised."""
    return next(n for n in range(1, len(bad) + 1) if alarm(bad[:n], allowed).loudness >= RAISED)


def test_nothing_answered_raises_nothing() -> None:
    assert alarm([], 0.05) == Alarm()


@given(st.lists(st.floats(0.0, 0.04), max_size=60))
def test_answers_that_are_all_within_the_limit_raise_nothing(bad: list[float]) -> None:
    assert alarm(bad, 0.05).loudness <= 0.0


@pytest.mark.parametrize(("allowed", "answers"), [(0.001, 3), (0.02, 5), (0.1, 8)])
def test_a_revision_that_fails_always_is_found_after_some_answers_however_good_it_was(
    allowed: float, answers: int
) -> None:
    assert until(BAD * 50, allowed) == answers
    assert until(GOOD * 1000 + BAD * 50, allowed) - 1000 == answers


def test_the_alarm_says_how_many_of_the_last_answers_were_bad() -> None:
    found = alarm(GOOD * 3000 + BAD * 12, 0.1)
    assert (found.answers, found.bad) == (12, 12.0)


def test_what_has_recovered_is_not_told_of_any_more() -> None:
    assert alarm(BAD * 20, 0.1).loudness >= RAISED
    assert alarm(BAD * 20 + GOOD * 2000, 0.1).loudness < RAISED


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]), max_size=40), st.integers(0, 30))
def test_what_went_well_before_does_not_hide_what_goes_wrong_now(bad: list[float], before: int) -> None:
    # Good answers leave every wealth at its least, from which the next one begins anew.
    told = alarm(bad, 0.25).loudness
    assert alarm(GOOD * before + bad, 0.25).loudness == pytest.approx(told) or not bad


def test_a_revision_at_its_limit_raises_it_seldom() -> None:
    random = np.random.default_rng(11)
    raised = 0
    for _ in range(200):
        answers = (random.random(2000) < 0.1).astype(float)
        raised += any(alarm(list(answers[:n]), 0.1).loudness >= RAISED for n in range(50, 2001, 50))
    # 400,000 answers: at most 0.4 alarms on average.
    assert raised <= 3


def test_the_wealth_is_that_of_the_best_beginning_for_each_stake() -> None:
    bad = [0.0, 1.0, 1.0, 0.0, 1.0]
    best = []
    for stake in STAKES:
        wealth = 1.0
        for each in bad:
            wealth = max(wealth, 1.0) * (1 - stake + stake * each / 0.2)
        best.append(wealth)
    assert alarm(bad, 0.2).loudness == pytest.approx(math.log(sum(best) / len(best)))


def test_only_limits_that_the_policy_sets_are_checked_each_in_its_words() -> None:
    loud = Alarm(9, 8.0, RAISED)
    served = Served(errors=loud, late=Alarm(), wrong=None)
    checks = check_served(served, LiveLimits(errors=0.05, latency=2.0, score=0.5))
    assert [(c.name, c.outcome) for c in checks] == [
        ("LiveErrors", Outcome.FAIL),
        ("LiveLatency", Outcome.PASS),
    ]
    assert checks[0].message == "8 of the last 9 answers failed; allowed: at most 5 %."
    assert checks[1].message == "0 of the last 0 answers took longer than 2 s; allowed: at most 10 %."
