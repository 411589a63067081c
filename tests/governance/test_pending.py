"""Pending: what is proposed, what is held, what waits."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Disclosure, Outcome, State
from modelecology.governance.courses import plan_of
from modelecology.governance.decide import decide
from modelecology.governance.facts import (
    Charge,
    Cost,
    Evidence,
    JobFailure,
    Situation,
)
from modelecology.governance.lifecycle import PROPOSAL
from modelecology.governance.lives import life_under
from modelecology.governance.looks import Look
from modelecology.governance.rules import EvidenceRules
from modelecology.governance.trial import units_of

from .scenes import CLAIM, NOW, POLICY, SUITE, N, evidence, record, right, situation, verdict, wait


def pending(**changes: Any) -> Situation:
    return situation(State.PENDING, artifact=None, residency=None, **changes)


def test_a_proven_gap_that_repays_is_proposed() -> None:
    found = verdict(decide(pending()))
    assert found.transition.action is Action.PROPOSE
    assert found.reason is Reason.GAP_PROVEN
    assert found.message == (
        "dates: the generalist scores 0.16, the target is 0.60: a gap of 0.44, "
        "at least 0.27 with 95 % confidence; more than 0.05 must be proven; 25 items. "
        "At its target it gains 158.36 over 720 h, and the trial costs 0.0056; more than 0.00 must remain."
    )
    assert tuple(c.name for c in found.checks) == PROPOSAL
    assert all(c.outcome is Outcome.PASS for c in found.checks)


@pytest.mark.parametrize(
    ("score", "outcome"), [(0.95, Outcome.FAIL), (0.56, Outcome.INCONCLUSIVE), (0.5, Outcome.INCONCLUSIVE)]
)
def test_a_gap_that_is_not_proven_trains_nothing(score: float, outcome: Outcome) -> None:
    found = verdict(decide(pending(evidence=evidence(incumbent=score))))
    assert found.transition.action is Action.HOLD
    assert found.reason is Reason.INSUFFICIENT_EVIDENCE
    assert found.outcome is outcome
    assert found.message.startswith("Insufficient evidence of a gap; nothing is trained.")


def test_a_gain_that_would_not_repay_the_trial_trains_nothing() -> None:
    found = verdict(decide(pending(policy=replace(POLICY, threshold=Decimal(500)))))
    assert found.transition.action is Action.HOLD
    assert found.reason is Reason.GAIN_DOES_NOT_REPAY
    assert found.message == (
        "The portfolio's gain would not repay the trial; nothing is trained. "
        "At its target it gains 158.36 over 720 h, and the trial costs 0.0056; more than 500.00 must remain."
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"evidence": evidence(incumbent=0.95)},
        {"policy": replace(POLICY, threshold=Decimal(500))},
    ],
)
def test_a_hold_is_decided_once_and_again_only_under_other_premises(changes: dict[str, Any]) -> None:
    first = verdict(decide(pending(**changes)))
    held = record(State.PENDING, reason=str(first.reason), evidence="sha256:evidence")
    waiting = wait(decide(pending(record=held, **changes)))
    assert (waiting.reason, waiting.message, waiting.checks) == (first.reason, first.message, first.checks)
    for other in (
        {"policy_digest": "sha256:other"},
        {"suite_digest": "sha256:other"},
        {"record": replace(held, evidence="sha256:other")},
        {"record": replace(held, reason="PremisesChanged")},
    ):
        again = pending(**{"record": held, **changes, **other})
        assert verdict(decide(again)).transition.action is Action.HOLD


def test_a_short_budget_parks_the_proposal_and_says_the_numbers() -> None:
    charges = (Charge(NOW - timedelta(hours=700), "cron", Cost(cpu_seconds=Decimal(50 * 3600))),)
    found = wait(decide(pending(charges=charges)))
    assert found.reason is Reason.BUDGET_SPENT
    assert found.message.startswith("The next step needs 0.111 CPU-hours and 50 of 50 are spent in 720 h.")
    assert found.until == NOW + timedelta(hours=20)
    assert [c.outcome for c in found.checks] == [Outcome.PASS] * 3 + [Outcome.FAIL]


def test_a_learned_time_for_a_step_replaces_the_prior() -> None:
    cheap = verdict(decide(pending(seconds_per_step=Decimal(1))))
    dear = wait(decide(pending(seconds_per_step=Decimal(4000))))
    assert cheap.transition.action is Action.PROPOSE
    assert dear.reason is Reason.BUDGET_SPENT
    assert "Raise budget.cpuHours." in dear.message


def test_a_task_that_the_suite_lacks_waits_for_the_suite() -> None:
    found = wait(decide(pending(claim=replace(CLAIM, task="poems"))))
    assert found.reason is Reason.TASK_NOT_IN_SUITE
    assert found.message == "The suite has no task 'poems'. Name one of: dates, cron, everyday, format."


def test_an_invariant_cannot_be_claimed() -> None:
    found = wait(decide(pending(claim=replace(CLAIM, task="everyday"))))
    assert found.reason is Reason.TASK_NOT_TRADED
    assert found.message == "everyday is an invariant, which is never traded. Name one of: dates, cron."


def test_a_rank_above_the_capacity_waits_for_one_or_the_other() -> None:
    found = wait(decide(pending(claim=replace(CLAIM, rank=32))))
    assert found.reason is Reason.RANK_ABOVE_CAPACITY
    assert found.message.startswith("The adapter has rank 32; serving.capacity.maxRank allows 16.")


def test_the_rank_of_an_import_is_not_asked_for_before_the_import() -> None:
    found = verdict(decide(pending(claim=replace(CLAIM, rank=0, steps=0))))
    assert found.checks[0].observed == "not known before the import"


@pytest.mark.parametrize("short", [replace(evidence(), incumbent=None), replace(evidence(), baseline={})])
def test_nothing_is_judged_before_the_baseline_is_there(short: Evidence) -> None:
    assert wait(decide(pending(evidence=short))).reason is Reason.BASELINE_RUNNING
    failed = pending(
        evidence=short, failure=JobFailure("DataNotFound", "dates.jsonl is not there.", retry=False)
    )
    found = wait(decide(failed))
    assert found.reason is Reason.DATA_NOT_FOUND
    assert found.message == "The baseline cannot be evaluated: dates.jsonl is not there."


@pytest.mark.parametrize("disclosure", Disclosure)
@pytest.mark.parametrize("where", ["incumbent", "dates", "everyday", "cron"])
def test_a_broken_baseline_is_an_error_and_proposes_nothing(where: str, disclosure: Disclosure) -> None:
    task = "dates" if where == "incumbent" else where
    incomplete = replace(right(task, "generalist", 0.1), expected=120)
    told = evidence()
    changed = (
        replace(told, incumbent=incomplete)
        if where == "incumbent"
        else replace(told, baseline={**told.baseline, where: incomplete})
    )
    policy = replace(POLICY, evidence=EvidenceRules(disclosure=disclosure))
    found = wait(decide(pending(evidence=changed, policy=policy)))
    assert found.reason is Reason.EVIDENCE_ERROR
    assert "100 of 120 items" in found.message
    assert [str(c.name) for c in found.checks] == ["RankWithinCapacity"]


@given(st.lists(st.sampled_from((0.0, 1.0)), min_size=N, max_size=N))
@settings(max_examples=30)
def test_the_gap_is_told_from_the_screen_alone(scores: list[float]) -> None:
    base = right("dates", "generalist", 0.1)
    hidden = units_of(base, SUITE)[25:]
    items = tuple(
        replace(i, score=s) if i.cluster in hidden else i for i, s in zip(base.items, scores, strict=True)
    )
    told = evidence()
    other = replace(
        told,
        incumbent=replace(base, items=items),
        baseline={**told.baseline, "dates": replace(base, items=items)},
    )
    assert decide(pending(evidence=other)) == decide(pending())


def test_under_full_all_answers_of_the_route_count_for_the_gap() -> None:
    policy = replace(POLICY, evidence=EvidenceRules(disclosure=Disclosure.FULL))
    found = verdict(decide(pending(policy=policy)))
    assert found.message.startswith("dates: the generalist scores 0.10, the target is 0.60: a gap of 0.50,")
    assert "100 items." in found.message


def test_what_is_spent_by_others_on_the_way_is_no_reason_to_train() -> None:
    life = life_under(plan_of(POLICY))
    for _ in range(3):
        life = life.after(Look(True))
    found = wait(decide(pending(life=life)))
    assert found.reason is Reason.SUITE_EXHAUSTED
    assert found.message.startswith("The suite can prove nothing more: 3 looks were taken and 3 passed.")
    assert tuple(c.name for c in found.checks) == PROPOSAL
