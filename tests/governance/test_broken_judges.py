"""A broken judge is an error and never a pass: every fault of the evidence fails the candidate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Disclosure, Outcome
from modelecology.governance.decide import decide
from modelecology.governance.facts import Results, Situation
from modelecology.governance.rules import EvidenceRules

from .scenes import (
    POLICY,
    evaluating,
    evidence,
    full,
    look,
    names,
    proving,
    units_in_order,
    verdict,
)


def broken(results: Results) -> Iterator[Results]:
    """Results with one thing that is wrong."""
    items = results.items
    yield replace(results, items=items[1:], expected=None)
    yield replace(results, items=(*items, items[0]), expected=None)
    yield replace(results, items=(replace(items[0], cluster="strange"), *items[1:]))
    yield replace(results, items=(replace(items[0], cluster=items[1].cluster), *items[1:]))
    yield replace(results, items=(replace(items[0], id="strange"), *items[1:]))
    yield replace(results, items=(replace(items[0], score=2.0), *items[1:]))
    yield replace(results, items=(replace(items[0], score=float("nan")), *items[1:]))
    yield replace(results, items=())
    yield replace(results, task="cron")


@pytest.mark.parametrize("task", ["dates", "everyday"])
@pytest.mark.parametrize("stage", ["screen", "proof"])
@pytest.mark.parametrize("disclosure", Disclosure)
def test_each_fault_of_the_judge_fails_and_never_passes(
    task: str, stage: str, disclosure: Disclosure
) -> None:
    policy = replace(POLICY, evidence=EvidenceRules(disclosure=disclosure))
    if disclosure is Disclosure.FULL:
        here = full(evidence())
    elif stage == "screen":
        here = evaluating(policy=policy)
    else:
        here = proving(look(policy), policy=policy)
    told = here.evidence
    answers = told.proof if disclosure is Disclosure.FULL or stage == "proof" else told.screen
    for wrong in broken(answers[task]):
        found = verdict(
            decide(
                replace(
                    here,
                    evidence=replace(
                        told, screen={**told.screen, task: wrong}, proof={**told.proof, task: wrong}
                    ),
                )
            )
        )
        assert found.transition.action is Action.FAIL
        assert found.reason is Reason.EVIDENCE_ERROR
        assert found.outcome is Outcome.ERROR
        assert names(found) == ("EvidenceComplete",)
        assert found.look is None


@pytest.mark.parametrize("where", ["incumbent", "dates", "everyday"])
@pytest.mark.parametrize("here", [evaluating(), proving()])
def test_broken_results_of_a_route_fail_and_never_pass(here: Situation, where: str) -> None:
    told = here.evidence
    results = told.incumbent if where == "incumbent" else told.baseline[where]
    assert results is not None
    for wrong in (
        replace(results, items=results.items[1:]),
        replace(results, items=(*results.items, results.items[0]), expected=None),
        replace(results, items=tuple(replace(i, cluster="all") for i in results.items)),
    ):
        changed = (
            replace(told, incumbent=wrong)
            if where == "incumbent"
            else replace(told, baseline={**told.baseline, where: wrong})
        )
        found = verdict(decide(replace(here, evidence=changed)))
        assert found.transition.action is Action.FAIL
        assert found.reason is Reason.EVIDENCE_ERROR


def test_broken_evidence_comes_before_a_broken_invariant() -> None:
    told = evidence(everyday=0.0)
    told = replace(told, screen={**told.screen, "dates": next(broken(told.screen["dates"]))})
    assert verdict(decide(evaluating(told))).reason is Reason.EVIDENCE_ERROR


def test_a_proof_that_was_opened_against_another_route_is_an_error() -> None:
    found = verdict(decide(proving(look(incumbent="dates-old"))))
    assert found.reason is Reason.EVIDENCE_ERROR
    assert found.message == (
        "dates: the proof was opened against dates-old, and the results are those of generalist. Retry."
    )


def test_a_course_that_ended_with_a_question_open_is_an_error() -> None:
    half = {
        task: replace(r, items=tuple(i for i in r.items if i.cluster in units_in_order(r)[:18]), expected=18)
        for task, r in evidence().proof.items()
    }
    found = verdict(decide(proving(evidence=replace(evidence(), proof=half))))
    assert found.reason is Reason.EVIDENCE_ERROR
    assert found.message == (
        "dates: the proof ended after 1 of 4 rounds, with a question open. Evaluate again."
    )
