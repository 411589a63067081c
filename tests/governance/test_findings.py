"""What a course found: its checks and its scorecard are about the items that were met, and no others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelecology.api.vocabulary import Outcome, State
from modelecology.governance.courses import screen_course, sealed
from modelecology.governance.facts import GENERALIST, Evidence, Situation
from modelecology.governance.findings import Found, check_gain, checks_of, found_by, scorecard_of
from modelecology.governance.invariants import measured
from modelecology.governance.trial import among, units_of, weigh

from .scenes import NAME, POLICY, SUITE, answered, evidence, right, scored, situation

LARGE = 400


def screened(told: Evidence | None = None, **changes: Any) -> tuple[Situation, Found]:
    """A situation, and what its screen found."""
    here = situation(State.EVALUATING, evidence=told or evidence(), **changes)
    against = sealed(here)
    assert against is not None
    course = screen_course(here, against)
    standing = weigh(course, here.evidence.screen, against)
    return here, found_by(course, standing, here.evidence.screen, against, here.claim.task)


def test_all_results_are_cut_down_to_the_items_that_were_met() -> None:
    base = {t: right(t, GENERALIST, 0.5, LARGE) for t in ("dates", "everyday")}
    told = replace(evidence(), baseline=base, incumbent=base["dates"])
    told = answered(told, right("dates", NAME, 0.9, LARGE), right("everyday", NAME, 0.0, LARGE))
    names = {t: frozenset(units_of(base[t], SUITE)[:25]) for t in base}
    first = replace(
        told, screen={t: replace(among(r, names[t]), expected=None) for t, r in told.screen.items()}
    )
    here, found = screened(first)
    # The screen ended after one of four rounds: an invariant was broken.
    assert (found.standing.rounds, len(found.course.rounds)) == (1, 4)
    assert found.standing.outcome is Outcome.FAIL
    assert found.units == {"dates": 25, "everyday": 25}
    for results in (*found.candidate.values(), *found.baseline.values(), found.incumbent):
        assert {i.cluster for i in results.items} == names[results.task]
    whole = checks_of(here, found)[0]
    assert (whole.n, whole.observed) == (50, "2 questions, 1 of 4 rounds")
    assert whole.message == "The screen asked 50 items in 1 of 4 rounds."
    card = scorecard_of(here, found)
    assert card is not None
    assert (card.score, card.incumbent_score, card.n) == (
        found.candidate["dates"].mean,
        found.incumbent.mean,
        25,
    )
    assert card.difference == found.gain.interval


def test_the_gain_is_told_in_money_between_its_bounds_with_an_exact_test_beside_it() -> None:
    here, found = screened()
    check = check_gain(here, found)
    assert (check.outcome, check.limit, check.n) == (found.gain.outcome, "more than 0.00", 25)
    assert check.interval is not None
    assert check.interval.low < float(check.observed) < check.interval.high
    assert check.interval.confidence == found.gain.interval.confidence
    assert check.message.startswith(f"dates: {found.gain.mean:+.2f} against the generalist, between ")
    assert ", exact McNemar p = " in check.message


def test_an_exact_test_is_not_told_where_scores_are_graded() -> None:
    told = answered(evidence(), scored("dates", NAME, [0.5] * 100))
    here, found = screened(told)
    assert "McNemar" not in check_gain(here, found).message


def test_without_answers_there_is_no_scorecard_and_no_test() -> None:
    here, found = screened()
    for nothing in ({}, {"dates": replace(found.candidate["dates"], items=())}):
        bare = replace(found, candidate=nothing)
        assert scorecard_of(here, bare) is None
        assert check_gain(here, bare).n == 0
        assert "McNemar" not in check_gain(here, bare).message


def test_each_invariant_is_reported_after_their_sum() -> None:
    here, found = screened(evidence(everyday=0.0))
    checks = checks_of(here, found)
    assert [str(c.name) for c in checks] == [
        "EvidenceComplete",
        "HardInvariants",
        "HardInvariants/everyday",
        "HardInvariants/format",
        "PortfolioGain",
    ]
    assert [c.outcome for c in checks[:4]] == [Outcome.PASS, Outcome.FAIL, Outcome.FAIL, Outcome.PASS]
    assert checks[1].message == checks[2].message
    assert len(measured(here.tasks, "dates")) == 1


@settings(max_examples=30)
@given(
    st.lists(st.sampled_from((0.0, 1.0)), min_size=100, max_size=100),
    st.sampled_from(("dates", "everyday", "incumbent")),
    st.floats(0, 0.5),
)
def test_what_the_screen_tells_does_not_depend_on_what_it_did_not_meet(
    scores: list[float], where: str, astray: float
) -> None:
    policy = replace(POLICY, misrouting=astray)
    here, found = screened(policy=policy)

    def hidden(task: str, model: str, share: float) -> Any:
        results = right(task, model, share)
        met = frozenset(units_of(results, SUITE)[:25])
        items = zip(results.items, scores, strict=True)
        return replace(
            results,
            items=tuple(i if i.cluster in met else replace(i, score=s) for i, s in items),
        )

    told = here.evidence
    if where == "incumbent":
        told = replace(told, incumbent=hidden("dates", GENERALIST, 0.1))
    else:
        share = 0.1 if where == "dates" else 0.75
        told = replace(told, baseline={**told.baseline, where: hidden(where, GENERALIST, share)})
    again, other = screened(told, policy=policy)
    assert checks_of(again, other) == checks_of(here, found)
    assert scorecard_of(again, other) == scorecard_of(here, found)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_the_checks_outcome_is_the_answers(share: float) -> None:
    here, found = screened(evidence(candidate=share))
    assert checks_of(here, found)[-1].outcome is found.gain.outcome
