"""What an entry says of a verdict: all of it, within the limits of a Decision object."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelecology.api.decision import DecisionSpec
from modelecology.api.vocabulary import Action, Outcome, State
from modelecology.governance.book import Spent
from modelecology.governance.decide import decide
from modelecology.governance.entries import said
from modelecology.governance.facts import Check, Verdict
from modelecology.governance.log import GENESIS, Entry, Premises, Subject, sealed

from .scenes import NOW, REVISION, proving, situation, verdict

PLACE = Entry(
    population="desk",
    sequence=7,
    time=NOW,
    subject=Subject("dates", "u1", REVISION, "k" * 64),
    action=Action.HOLD,
    from_state=State.PENDING,
    to=State.PENDING,
    outcome=Outcome.INCONCLUSIVE,
    reason="InsufficientEvidence",
    actor="",
    previous=GENESIS,
    premises=Premises(*("sha256:" + digit * 64 for digit in "abcde")),
)
ADMITTED = verdict(decide(proving()))
COST = Spent(tokens=3)


def test_an_entry_says_all_of_a_verdict_and_keeps_its_own_place() -> None:
    found = said(PLACE, ADMITTED, COST)
    edge = ADMITTED.transition
    assert (found.action, found.from_state, found.to) == (edge.action, edge.source, edge.target)
    assert (found.outcome, found.reason, found.message) == (
        ADMITTED.outcome,
        str(ADMITTED.reason),
        ADMITTED.message,
    )
    assert (found.checks, found.scorecard, found.look) == (
        ADMITTED.checks,
        ADMITTED.scorecard,
        ADMITTED.look,
    )
    assert found.cost == COST
    for name in ("population", "sequence", "time", "subject", "previous", "premises", "account"):
        assert getattr(found, name) == getattr(PLACE, name)


def test_who_decides_is_the_person_of_the_verdict_or_the_operator() -> None:
    assert said(replace(PLACE, actor="eve"), ADMITTED, COST).actor == "operator"
    assert said(PLACE, replace(ADMITTED, actor="ada@2026"), COST).actor == "ada@2026"


def test_nothing_of_an_earlier_verdict_stays() -> None:
    bare = Verdict(ADMITTED.transition, Outcome.PASS, ADMITTED.reason, "short")
    found = said(said(PLACE, ADMITTED, COST), bare, Spent())
    assert (found.checks, found.scorecard, found.look, found.cost) == ((), None, None, Spent())


LONG = {"message": 2048, "check": 1024, "observed": 256, "limit": 256}


def shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 4] + " ..."


@pytest.mark.parametrize("over", [-1, 0, 1, 4, 5000])
def test_what_is_longer_than_a_decision_may_hold_is_cut_and_shows_it(over: int) -> None:
    texts = {name: "x" * (limit + over) for name, limit in LONG.items()}
    check = Check("Proof", Outcome.PASS, texts["observed"], texts["limit"], message=texts["check"])
    found = said(PLACE, replace(ADMITTED, message=texts["message"], checks=(check,)), COST)
    (kept,) = found.checks
    told = {"message": found.message, "check": kept.message, "observed": kept.observed, "limit": kept.limit}
    assert told == {name: shortened(text, LONG[name]) for name, text in texts.items()}
    assert all(len(text) <= LONG[name] for name, text in told.items())


@given(message=st.text(max_size=5000), count=st.integers(0, 100), text=st.text(max_size=1500))
def test_a_decision_object_takes_whatever_is_said(message: str, count: int, text: str) -> None:
    check = Check("Proof", Outcome.PASS, text, text, message=text)
    verbose = replace(ADMITTED, message=message, checks=(check,) * count, look=None)
    entry = said(PLACE, verbose, COST)
    assert len(entry.checks) == min(count, 64)
    assert said(entry, verbose, COST) == entry
    spec = DecisionSpec.model_validate(sealed(entry), from_attributes=True)
    assert (spec.message, len(spec.checks)) == (entry.message, len(entry.checks))


def test_the_first_checks_are_kept() -> None:
    checks = tuple(Check(f"C{n}", Outcome.PASS, "", "") for n in range(70))
    found = said(PLACE, replace(verdict(decide(situation(State.PENDING))), checks=checks), COST)
    assert found.checks == checks[:64]
