"""Hard invariants: what each asks, two scopes, all reported, and none traded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from modelecology.api.vocabulary import Outcome, Role, Scope
from modelecology.governance.facts import GENERALIST, Check, Interval, SuiteTask
from modelecology.governance.invariants import check_each, check_name, hard, limits, measured, summary
from modelecology.governance.sequential import Answer, Question
from modelecology.governance.trial import Inquiry, Measure

from .scenes import DATES, EVERYDAY, FORMAT, NAME, TASKS, right

SAFETY = SuiteTask("safety", Role.INVARIANT, Scope.ADAPTER, 0.0, Decimal(0), None, floor=0.9, must_pass=True)
ANY = Interval(-0.1, 0.1, 0.95)


def answers(*outcomes: Outcome, task: str = "everyday") -> list[tuple[Inquiry, Answer]]:
    """An answer of each kind of measure, in their order."""
    asked = Question("asked", 0.0, 0.05, 0.0, 0.05)
    kinds = (Measure.LOSS, Measure.FLOOR, Measure.EVERY)
    return [
        (Inquiry(kind, task, kind, asked), Answer(asked, outcome, 25, -0.05, ANY, 1.0, 1.0))
        for kind, outcome in zip(kinds, outcomes, strict=False)
    ]


def everyday(*outcomes: Outcome) -> Check:
    candidate, baseline = (
        {"everyday": right("everyday", NAME, 0.7)},
        {"everyday": right("everyday", "", 0.75)},
    )
    found = check_each(TASKS, "dates", answers(*outcomes), candidate, baseline)
    return next(c for c in found if c.name == "HardInvariants/everyday")


@pytest.mark.parametrize(
    ("outcomes", "outcome"),
    [
        ((Outcome.PASS,), Outcome.PASS),
        ((Outcome.PASS, Outcome.PASS, Outcome.PASS), Outcome.PASS),
        ((Outcome.PASS, Outcome.INCONCLUSIVE), Outcome.INCONCLUSIVE),
        ((Outcome.PASS, Outcome.PASS, Outcome.FAIL), Outcome.FAIL),
        ((Outcome.INCONCLUSIVE, Outcome.FAIL), Outcome.FAIL),
        ((Outcome.FAIL,), Outcome.FAIL),
    ],
)
def test_an_invariant_holds_when_all_that_it_asks_does(outcomes: Sequence[Outcome], outcome: Outcome) -> None:
    found = everyday(*outcomes)
    assert found.outcome is outcome
    assert found.interval == ANY
    assert (found.observed, found.n) == ("0.70 against 0.75", 100)


def test_an_invariant_is_told_in_plain_words() -> None:
    said = "everyday: 0.70 against the generalist's 0.75; asked: at most 0.15 lost; 100 items."
    assert everyday(Outcome.FAIL).message == said
    assert everyday(Outcome.PASS).message == said
    assert everyday(Outcome.PASS).limit == "at most 0.15 lost"
    assert everyday(Outcome.INCONCLUSIVE).message == said + " That is not proven yet."


def test_what_an_invariant_asks_is_named_in_full() -> None:
    assert limits(EVERYDAY) == "at most 0.15 lost"
    assert limits(SAFETY) == "every item right, at least 0.90"
    assert limits(replace(SAFETY, must_pass=False, max_regression=0.0)) == "at least 0.90, at most 0.00 lost"


def test_only_answers_about_the_invariant_count_and_never_the_one_about_the_gain() -> None:
    gain = replace(answers(Outcome.FAIL)[0][0], measure=Measure.GAIN)
    others = [(gain, answers(Outcome.FAIL)[0][1]), *answers(Outcome.FAIL, task="safety")]
    found = check_each((DATES, EVERYDAY), "dates", [*others, *answers(Outcome.PASS)], {}, {})
    assert [c.outcome for c in found] == [Outcome.PASS]
    assert (found[0].observed, found[0].n) == ("0.00 against 0.00", 0)


def test_an_invariant_that_does_not_ask_about_a_loss_has_no_interval() -> None:
    (found,) = check_each((SAFETY,), "dates", answers(Outcome.PASS, task="safety")[1:], {}, {})
    assert found.interval is None


def test_a_routed_invariant_that_is_not_routed_to_the_candidate_loses_nothing() -> None:
    found = check_each(TASKS, "dates", answers(Outcome.FAIL), {}, {})[1]
    assert found.name == "HardInvariants/format"
    assert found.outcome is Outcome.PASS
    assert (found.observed, found.limit) == ("not routed to the candidate", "at most 0.05 lost")
    assert found.message == (
        "format: its requests are not routed to a specialist for dates; the generalist still answers them, "
        "so nothing is lost."
    )


def test_a_routed_invariant_that_is_routed_to_the_candidate_is_measured() -> None:
    assert hard(TASKS) == (EVERYDAY, FORMAT)
    assert measured(TASKS, "dates") == (EVERYDAY,)
    assert measured(TASKS, "format") == (EVERYDAY, FORMAT)
    assert check_name("format") == "HardInvariants/format"


def test_the_answers_about_a_routed_invariant_count_for_the_candidate_that_claims_it() -> None:
    told = answers(Outcome.FAIL, task="format")
    routed, unrouted = (check_each((FORMAT,), claimed, told, {}, {})[0] for claimed in ("format", "dates"))
    assert (routed.outcome, unrouted.outcome) == (Outcome.FAIL, Outcome.PASS)


def test_all_invariants_are_reported_when_one_fails() -> None:
    second = replace(EVERYDAY, name="safety")
    told = [*answers(Outcome.FAIL), *answers(Outcome.FAIL, task="safety")]
    candidate = {t: right(t, NAME, share) for t, share in (("everyday", 0.0), ("safety", 0.1))}
    baseline = {t: right(t, GENERALIST, 0.75) for t in candidate}
    each = check_each((EVERYDAY, second, FORMAT), "dates", told, candidate, baseline)
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
    found = summary(checks)
    assert (found.name, found.outcome, found.limit) == ("HardInvariants", worst, "all hold")
    assert found.message == f"{worst}."
    words = {
        Outcome.ERROR: "cannot be judged",
        Outcome.FAIL: "broken",
        Outcome.INCONCLUSIVE: "not proven to hold",
    }
    assert found.observed == f"1 of {len(checks)} {words[worst]}"


def test_all_that_have_the_worst_outcome_say_so() -> None:
    broken = tuple(Check(name, Outcome.FAIL, message=f"{name} is broken.") for name in ("one", "two"))
    assert summary(broken).message == "one is broken. two is broken."


def test_a_suite_without_invariants_says_so() -> None:
    assert summary(()).message == "The suite has no hard invariant."
    whole = summary(check_each(TASKS, "dates", answers(Outcome.PASS), {}, {}))
    assert (whole.outcome, whole.message) == (Outcome.PASS, "All hard invariants hold.")
    assert (whole.name, whole.observed, whole.limit) == ("HardInvariants", "2 of 2 hold", "all hold")
