"""Hard invariants: four outcomes, two scopes, all reported."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelecology.api.vocabulary import Outcome, Scope
from modelecology.governance.facts import GENERALIST, Check, Evidence
from modelecology.governance.invariants import check_each, measured, summary

from .scenes import EVERYDAY, FORMAT, NAME, TASKS, evidence, right


def everyday(share: float) -> Check:
    found = check_each(TASKS, "dates", evidence(everyday=share), 0.95)
    return next(c for c in found if c.name == "HardInvariants/everyday")


@pytest.mark.parametrize(
    ("share", "outcome"),
    [
        (1.0, Outcome.PASS),
        (0.75, Outcome.PASS),
        (0.72, Outcome.PASS),
        (0.69, Outcome.INCONCLUSIVE),
        (0.62, Outcome.INCONCLUSIVE),  # the score is below the limit, but that is not certain
        (0.5, Outcome.FAIL),
        (0.0, Outcome.FAIL),
    ],
)
def test_an_invariant_passes_only_when_it_is_proven_and_fails_only_when_that_is_certain(
    share: float, outcome: Outcome
) -> None:
    found = everyday(share)
    assert found.outcome is outcome
    assert found.interval is not None
    assert found.n == 100


def test_an_invariant_is_told_in_plain_words() -> None:
    assert everyday(0.02).message == (
        "everyday: 0.02 against the generalist's 0.75; at most 0.10 may be lost; 100 items."
    )
    assert everyday(0.69).message.endswith(
        "The loss may be as much as 0.11: not proven. Give the suite more items."
    )


def test_a_routed_invariant_that_is_not_routed_to_the_candidate_loses_nothing() -> None:
    found = check_each(TASKS, "dates", evidence(), 0.95)[1]
    assert found.name == "HardInvariants/format"
    assert found.outcome is Outcome.PASS
    assert "not routed to a specialist for dates" in found.message


def test_a_routed_invariant_that_is_routed_to_the_candidate_is_measured() -> None:
    assert measured(TASKS, "dates") == (EVERYDAY,)
    assert measured(TASKS, "format") == (EVERYDAY, FORMAT)


def test_a_broken_judge_is_an_error_and_never_a_pass() -> None:
    for lacking in (
        replace(evidence(), candidate={}),
        replace(evidence(), baseline={}),
        replace(evidence(), candidate={"everyday": right("everyday", NAME, 0.75, 99)}),
    ):
        (found,) = check_each((EVERYDAY,), "dates", lacking, 0.95)
        assert found.outcome is Outcome.ERROR


def test_all_invariants_are_reported_when_one_fails() -> None:
    second = replace(EVERYDAY, name="safety")
    told = Evidence(
        baseline={t: right(t, GENERALIST, 0.75) for t in ("everyday", "safety")},
        candidate={"everyday": right("everyday", NAME, 0.0), "safety": right("safety", NAME, 0.1)},
    )
    each = check_each((EVERYDAY, second, FORMAT), "dates", told, 0.95)
    whole = summary(each)
    assert [c.outcome for c in each] == [Outcome.FAIL, Outcome.FAIL, Outcome.PASS]
    assert whole.outcome is Outcome.FAIL
    assert whole.observed == "2 of 3 broken"
    assert "everyday: 0.00" in whole.message
    assert "safety: 0.10" in whole.message


@pytest.mark.parametrize("worst", [Outcome.ERROR, Outcome.FAIL, Outcome.INCONCLUSIVE])
def test_the_worst_outcome_is_the_sum(worst: Outcome) -> None:
    order = [Outcome.ERROR, Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS]
    checks = tuple(Check(str(o), o, message=f"{o}.") for o in reversed(order[order.index(worst) :]))
    assert summary(checks).outcome is worst
    assert summary(checks).message == f"{worst}."


def test_a_suite_without_invariants_says_so() -> None:
    assert summary(()).message == "The suite has no hard invariant."
    assert summary(check_each(TASKS, "dates", evidence(), 0.95)).message == "All hard invariants hold."
    assert Scope.ROUTED in {t.scope for t in TASKS}
