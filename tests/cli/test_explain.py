"""Why a specialist stands where it stands."""

from __future__ import annotations

import pytest

from modelecology.api.decision import Decision
from modelecology.api.vocabulary import Action
from modelecology.cli.explain import choose, render_explanation, verdict_sentence
from modelecology.cli.port import CliError

from .desk import NOW, condition, decision, hasty_decisions, look, members, rendered, specialist
from .golden import golden

HASTY = members()[3]


def explained(decisions: tuple[Decision, ...], sequence: int | None = None) -> str:
    chosen = choose(decisions, "dates-hasty", sequence)
    return rendered(render_explanation(HASTY, decisions, chosen, NOW), 130)


def test_the_last_verdict_is_one_screen_with_every_check() -> None:
    assert explained(hasty_decisions()) == golden("explain-hasty")


def test_the_newest_verdict_with_checks_is_explained_even_when_plainer_decisions_follow() -> None:
    later = decision(9, "Retire", "Rejected", "Retired", "RetirementRequested")
    chosen = choose((*hasty_decisions(), later), "dates-hasty", None)
    assert chosen is not None
    assert chosen.spec.sequence == 6


def test_another_decision_can_be_asked_for_by_its_sequence() -> None:
    text = explained(hasty_decisions(), 3)
    assert "Decision 3: dates-hasty was proposed: gap proven." in text
    assert "     > 3" in text


def test_a_sequence_that_is_not_about_the_specialist_is_refused_with_those_that_are() -> None:
    with pytest.raises(CliError, match="No decision 4 is about dates-hasty") as refused:
        choose(hasty_decisions(), "dates-hasty", 4)
    assert refused.value.remedy == "Its newest decisions are: 3, 5, 6."


def test_no_action_is_said_in_the_words_of_the_control_point() -> None:
    held = decision(1, "Hold", "Pending", "Pending", "InsufficientEvidence", outcome="Inconclusive")
    assert verdict_sentence(held.spec) == "No action: insufficient evidence."
    shelved = decision(2, "Shelve", "Evaluating", "Shelved", "PortfolioGainDoesNotRepayCost", outcome="Fail")
    assert verdict_sentence(shelved.spec) == "dates-hasty was shelved: portfolio gain does not repay cost."


@pytest.mark.parametrize("action", [a for a in Action if a is not Action.HOLD])
def test_every_action_reads_as_a_sentence(action: Action) -> None:
    body = decision(1, action, "Pending", "Training", "GapProven").spec
    assert " went from " not in verdict_sentence(body)


def test_only_the_last_ten_decisions_are_listed_and_the_rest_is_counted() -> None:
    many = tuple(decision(n, "Retry", "Training", "Training", "JobRetried") for n in range(1, 14))
    text = explained(many)
    assert "3 older decisions are not shown." in text
    assert text.count("JobRetried") == 10


def test_a_specialist_without_decisions_says_what_it_waits_for() -> None:
    waiting = specialist("new")
    text = rendered(render_explanation(waiting, (), None, NOW), 100)
    assert text.splitlines() == [
        "new (task dates) is Pending. The operator has not said why yet.",
        "Nothing has been decided about it yet.",
    ]


def test_a_retired_specialist_says_until_when_it_can_be_restored() -> None:
    retired = specialist("dates", state="Retired", expires="2026-12-01T12:00:00Z")
    text = rendered(render_explanation(retired, (), None, NOW), 160)
    assert "It can be restored until 2026-12-01 12:00:00Z: set lifecycle.target to Live." in text


def test_a_remedy_that_the_condition_gives_is_not_said_twice() -> None:
    remedy = "The candidate breaks a skill that is never traded. Train with replay, or with fewer steps."
    told = specialist(
        "dates-hasty",
        state="Rejected",
        conditions=[condition("Ready", "False", "HardInvariantFailure", f"everyday is lost. {remedy}")],
    )
    text = rendered(render_explanation(told, hasty_decisions(), hasty_decisions()[-1], NOW), 250)
    assert text.count("Train with replay") == 1


def test_intervals_of_different_confidence_each_name_their_own() -> None:
    checks = [
        {"name": "A", "outcome": "Pass", "interval": {"low": 0.1, "high": 0.2, "confidence": 0.95}},
        {"name": "B", "outcome": "Pass", "interval": {"low": 0.1, "high": 0.2, "confidence": 0.99}},
    ]
    text = explained((decision(1, "Propose", "Pending", "Training", "GapProven", checks=checks),))
    assert "[0.10, 0.20] 0.95" in text
    assert "[0.10, 0.20] 0.99" in text


def test_a_proof_is_explained_by_what_it_was_given_and_what_it_told() -> None:
    proofs = (
        decision(1, "Prove", "Evaluating", "Evaluating", "ScreenSurvived", look=look()),
        decision(2, "Admit", "Evaluating", "Shadow", "PortfolioGainProven", look=look(passed=True, round=1)),
        decision(3, "Shelve", "Evaluating", "Shelved", "ProofNotPassed", outcome="Inconclusive", look=look()),
    )
    given = (
        "look      level 0.0027, of 10 looks at this suite; disclosure Verdict; "
        "more than +0.003 is asked against generalist"
    )
    told = ("", "; passed in round 1 of 2", "; not passed")
    for number, end in enumerate(told, start=1):
        text = rendered(render_explanation(HASTY, proofs, choose(proofs, "dates-hasty", number), NOW), 200)
        assert f"{given}{end}\n" in text
    assert "dates-hasty goes into its proof: screen survived." in rendered(
        render_explanation(HASTY, proofs, proofs[0], NOW), 200
    )
    assert "What to do: The sealed items did not prove the gain and every invariant." in text


@pytest.mark.parametrize(
    ("kind", "reason", "message"),
    [
        ("Drift", "PolicyDrifted", "The policy was edited since the trial began"),
        ("MatchRefused", "MatchPatternUnusable", "spec.contract.match[1].regex: unclosed group"),
    ],
)
def test_what_is_to_be_known_beside_the_state_is_said_there(kind: str, reason: str, message: str) -> None:
    for status, said in (("True", f" {message}."), ("False", "")):
        drifted = specialist(
            "dates",
            state="Evaluating",
            conditions=[
                condition("Ready", "False", "Evaluating", "The proof asks at most 93 of dates."),
                condition(kind, status, reason, message),
            ],
        )
        text = rendered(render_explanation(drifted, (), None, NOW), 200)
        assert text.splitlines()[0] == (
            f"dates (task dates) is Evaluating. Evaluating: The proof asks at most 93 of dates.{said}"
        )
