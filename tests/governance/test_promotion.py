"""What the checks of a promotion say, in full: a person decides by them, and a decision keeps them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Outcome, State
from modelecology.governance.decide import decide
from modelecology.governance.evidence import difference
from modelecology.governance.facts import Check, Evidence, Interval, Live, Results, Situation
from modelecology.governance.lifecycle import CheckName
from modelecology.governance.promotion import check_scored, check_served_gain, check_still_repays, compare
from modelecology.governance.rules import Limits, LiveShadow

from .scenes import NAME, POLICY, evidence, look, record, right, scored, situation, verdict

ASKED = POLICY.minimum_scored
THEIRS = right("dates", "generalist", 0.1, 40)


def shadow(told: Evidence, **changes: object) -> Situation:
    return situation(State.SHADOW, evidence=told, **changes)


def with_answers(n: int) -> Situation:
    return shadow(replace(evidence(), shadow=right("dates", NAME, 1.0, n)))


def test_as_many_answers_as_are_asked_are_enough() -> None:
    assert check_scored(with_answers(ASKED)) == Check(
        CheckName.SCORED,
        Outcome.PASS,
        f"{ASKED}",
        f"at least {ASKED}",
        n=ASKED,
        message=f"{ASKED} answers were scored through the endpoint; {ASKED} are asked.",
    )


def test_one_answer_less_is_too_few_and_the_remedy_has_the_numbers() -> None:
    some = with_answers(ASKED - 1)
    results = some.evidence.shadow
    assert results is not None
    for known, split in ((results, ASKED - 1), (replace(results, expected=None), ASKED - 1)):
        told = check_scored(replace(some, evidence=replace(some.evidence, shadow=known)))
        assert told == Check(
            CheckName.SCORED,
            Outcome.INCONCLUSIVE,
            f"{ASKED - 1}",
            f"at least {ASKED}",
            n=ASKED - 1,
            message=f"{ASKED - 1} answers were scored through the endpoint; policy.shadow.minimumScored "
            f"asks for {ASKED}, and the suite's shadow split of dates has {split} items. "
            "Give the suite more items, or lower minimumScored.",
        )
    part = replace(results, expected=50)
    told = check_scored(replace(some, evidence=replace(some.evidence, shadow=part)))
    assert "shadow split of dates has 50 items" in told.message


def test_no_answer_is_said_as_such() -> None:
    told = check_scored(shadow(replace(evidence(), shadow=None)))
    assert told == Check(
        CheckName.SCORED,
        Outcome.INCONCLUSIVE,
        "0",
        f"at least {ASKED}",
        n=0,
        message="No answer was scored through the endpoint.",
    )


def served_gain(ours: Results) -> Check:
    told = replace(evidence(), shadow=ours, shadow_incumbent=THEIRS)
    return check_served_gain(shadow(told), compare(ours, THEIRS, 0.95))


def test_a_served_gain_is_told_with_its_bounds() -> None:
    ours = right("dates", NAME, 0.9, 40)
    bounds = difference(ours, THEIRS, 0.95).interval
    assert served_gain(ours) == Check(
        CheckName.SERVED_GAIN,
        Outcome.PASS,
        "+0.80",
        "more than 0",
        bounds,
        40,
        f"dates, through the endpoint: 0.90 against the generalist's 0.10, +0.80, between {bounds.low:+.2f} "
        f"and {bounds.high:+.2f} with 95 % confidence; 40 items.",
    )


def test_a_gain_whose_bound_is_0_is_none_and_a_loss_whose_bound_is_0_is_one() -> None:
    found = difference(right("dates", NAME, 0.9, 40), THEIRS, 0.95)
    here = shadow(replace(evidence(), shadow=right("dates", NAME, 0.9, 40), shadow_incumbent=THEIRS))

    def said(low: float, high: float) -> Outcome:
        return check_served_gain(here, replace(found, interval=Interval(low, high, 0.95))).outcome

    assert said(0.0, 0.2) is Outcome.INCONCLUSIVE
    assert said(1e-9, 0.2) is Outcome.PASS
    assert said(-0.2, 0.0) is Outcome.FAIL
    assert said(-0.2, 1e-9) is Outcome.INCONCLUSIVE


def test_what_cannot_be_compared_is_an_error_and_what_is_not_there_is_open() -> None:
    ours = scored("dates", NAME, [1.0] * 39)
    why = compare(ours, THEIRS, 0.95)
    assert isinstance(why, str)
    assert served_gain(ours) == Check(
        CheckName.SERVED_GAIN, Outcome.ERROR, "no comparison", "more than 0", message=why
    )
    assert compare(None, THEIRS, 0.95) == compare(ours, None, 0.95) == "The results are not there."
    nothing = shadow(replace(evidence(), shadow=None))
    told = check_served_gain(nothing, "The results are not there.")
    assert (told.outcome, told.message) == (Outcome.INCONCLUSIVE, "The results are not there.")


def test_the_gain_that_repays_today_is_told_beside_the_one_that_was_proven() -> None:
    proven = record(State.SHADOW, proven=look(margin=0.25))
    told = check_still_repays(shadow(evidence(), record=proven))
    assert (told.name, told.outcome) == (CheckName.GAIN, Outcome.PASS)
    assert told.message.startswith("dates: a gain of more than +0.250 was proven; today ")
    assert told.message.endswith(" repays.")
    assert told.observed == "more than +0.250"
    assert told.limit.startswith("more than +")


@pytest.mark.parametrize(
    ("seconds", "action", "reason", "outcome"),
    [
        (9.0, Action.REJECT, Reason.HARD_INVARIANT_FAILURE, Outcome.FAIL),
        (None, Action.FAIL, Reason.EVIDENCE_ERROR, Outcome.ERROR),
    ],
)
def test_a_limit_ends_the_shadow_with_all_its_checks(
    seconds: float | None, action: Action, reason: Reason, outcome: Outcome
) -> None:
    results = right("dates", NAME, 1.0, 40)
    timed = replace(results, items=tuple(replace(item, seconds=seconds) for item in results.items))
    here = shadow(replace(evidence(), shadow=timed), policy=replace(POLICY, limits=Limits(latency=1.0)))
    found = verdict(decide(here))
    assert (found.transition.action, found.reason, found.outcome) == (action, reason, outcome)
    limits = next(c for c in found.checks if c.name == CheckName.INVARIANTS)
    prefix = "Hard invariant failure. " if outcome is Outcome.FAIL else ""
    assert found.message == prefix + limits.message
    assert len(found.checks) == 6


@pytest.mark.parametrize(
    ("differences", "action", "reason", "outcome"),
    [
        ((-1.0, 0.0) * 40, Action.REJECT, Reason.LIVE_SCORE_REFUTED, Outcome.FAIL),
        ((7.0,) * 40, Action.FAIL, Reason.EVIDENCE_ERROR, Outcome.ERROR),
        ((1.0, 0.0) * 40, Action.PROMOTE, Reason.SERVED_SCORE_CONFIRMED, Outcome.PASS),
    ],
)
def test_what_live_requests_say_is_in_the_verdict(
    differences: tuple[float, ...], action: Action, reason: Reason, outcome: Outcome
) -> None:
    asked = replace(POLICY, live_shadow=LiveShadow(50, 0.0, reject_late=True))
    live = Live(differences, len(differences), len(differences))
    found = verdict(decide(shadow(replace(evidence(), live=live), policy=asked)))
    assert (found.transition.action, found.reason, found.outcome) == (action, reason, outcome)
    said = found.checks[-1]
    assert said.name == CheckName.LIVE_GAIN
    assert found.message.endswith(said.message)
