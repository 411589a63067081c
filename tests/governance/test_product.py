"""Every state under every outcome: only edges of the table, each of them reached, all others refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import product

import pytest

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Outcome, State, Target
from modelecology.governance.decide import BY_STATE, decide
from modelecology.governance.facts import (
    Approval,
    Artifact,
    Cost,
    Evidence,
    JobFailure,
    Residency,
    Situation,
    Verdict,
    Wait,
)
from modelecology.governance.lifecycle import (
    JOB_ENDS,
    PASSING,
    TRANSITIONS,
    IllegalTransition,
    Transition,
    transition,
)
from modelecology.governance.verdict import due

from .scenes import (
    ARTIFACT,
    CLAIM,
    HOUR,
    NAME,
    NOW,
    POLICY,
    PROVED,
    REVISION,
    evidence,
    record,
    right,
    situation,
)

EVIDENCE: dict[str, Evidence] = {
    "good": evidence(),
    "no gap": evidence(incumbent=0.95),
    "breaks an invariant": evidence(everyday=0.0),
    "an invariant not proven": evidence(everyday=0.69),
    "no gain": evidence(candidate=0.1),
    "refuted through the endpoint": evidence(served=0.0),
    "not proven through the endpoint": evidence(served=0.1),
    "broken": replace(
        evidence(),
        candidate={"dates": right("dates", NAME, 1.0, 99), "everyday": right("everyday", NAME, 1.0, 99)},
    ),
    "missing": Evidence(),
}
FAILURES = {
    "none": None,
    "passing": JobFailure("InternalError", "again", retry=True),
    "for good": JobFailure("DataInvalid", "line 3", retry=False),
    "outage": JobFailure("StoreFull", "no space", retry=False),
}
ARTIFACTS: dict[str, Artifact | None] = {
    "none": None,
    "made": ARTIFACT,
    "adopted": replace(ARTIFACT, adopted=True),
    "too large": replace(ARTIFACT, rank=64),
}
RESIDENCIES: dict[str, Residency | None] = {
    "none": None,
    "proved": PROVED,
    "mismatched": Residency(2, 1, 1, 0),
    "away": Residency(2, 1, 0, 1),
}
TIMES = {"early": NOW - HOUR, "late": NOW - timedelta(days=30)}
PREMISES = {"same": "sha256:policy", "changed": "sha256:other"}
# Edges that no situation of a revision makes due: a person asks for another try, a newer revision takes the
# place, or the Specialist object is deleted. Another module records them.
ELSEWHERE = frozenset(
    (t.action, t.source, t.target)
    for t in TRANSITIONS
    if Reason.RETRY_REQUESTED in t.reasons or (t.action is Action.DELETE and t.source is not State.RETIRED)
)
ELSEWHERE_REASONS = frozenset({Reason.RETRY_REQUESTED, Reason.SUPERSEDED, Reason.DELETED})


# What a state looks at, beside who wants what, since when, under which premises and after how many tries.
LOOKS_AT: dict[State, tuple[str, ...]] = {
    State.PENDING: ("evidence", "failure"),
    State.TRAINING: ("failure", "artifact"),
    State.EVALUATING: ("evidence", "failure"),
    State.SHADOW: ("evidence", "failure", "residency"),
    State.LIVE: ("residency",),
}
AXES: dict[str, tuple[object, ...]] = {
    "evidence": tuple(EVIDENCE.values()),
    "failure": tuple(FAILURES.values()),
    "artifact": tuple(ARTIFACTS.values()),
    "residency": tuple(RESIDENCIES.values()),
}


def situations(state: State) -> Iterator[Situation]:
    """The full product of what can be the case in a state and is looked at there."""
    names = LOOKS_AT.get(state, ())
    common = product(Target, TIMES.values(), PREMISES.values(), (0, 3))
    looked_at = tuple(product(*(AXES[name] for name in names)))
    for (wanted, entered, policy, tired), values in product(common, looked_at):
        known = record(
            state,
            entered=entered,
            attempts=tired,
            reason="HardInvariantFailure",
            was_live=tired == 0,
            previous=State.LIVE,
        )
        yield situation(
            state,
            record=known,
            claim=replace(CLAIM, wanted=wanted),
            policy_digest=policy,
            **({"artifact": None} if state is State.TRAINING else {}) | dict(zip(names, values, strict=True)),
        )


def extremes(state: State) -> Iterator[Situation]:
    """Situations of policy: dear, full, spent; and each reason that a job may give."""
    yield situation(state, policy=replace(POLICY, threshold=Decimal(10**6)))
    yield situation(state, residents=POLICY.adapters)
    yield situation(state, spent=Cost(cpu_seconds=Decimal(10**9)))
    yield situation(state, suite_digest="sha256:other")
    for approval in (None, Approval(REVISION, "ada@noon"), Approval("b" * 12, "ada@noon")):
        yield situation(state, policy=replace(POLICY, manual=True), approval=approval)
    bare = replace(evidence(), candidate={}, shadow=None)
    for reason, retry in product((*PASSING, *JOB_ENDS), (True, False)):
        yield situation(state, artifact=None, evidence=bare, failure=JobFailure(reason, "said", retry=retry))


@pytest.fixture(scope="module")
def outcomes() -> dict[State, list[tuple[Situation, Verdict | Wait]]]:
    return {
        state: [(here, decide(here)) for here in (*extremes(state), *situations(state))] for state in State
    }


Outcomes = dict[State, list[tuple[Situation, Verdict | Wait]]]


def test_every_state_has_its_rule() -> None:
    assert set(BY_STATE) == set(State)


def test_every_verdict_is_an_edge_of_the_table_with_a_reason_of_that_edge(outcomes: Outcomes) -> None:
    for state, found in outcomes.items():
        for _, said in found:
            if isinstance(said, Verdict):
                assert said.transition in TRANSITIONS
                assert said.transition.source is state
                assert said.reason in said.transition.reasons
            assert said.message
            assert "\n" not in said.message


def test_every_edge_is_reached_and_so_is_every_reason_of_it(outcomes: Outcomes) -> None:
    reached = {
        (said.transition, said.reason)
        for found in outcomes.values()
        for _, said in found
        if isinstance(said, Verdict)
    }
    edges = {(t.action, t.source, t.target) for t, _ in reached}
    every = {(t.action, t.source, t.target) for t in TRANSITIONS}
    assert every - edges == ELSEWHERE
    unreached = {
        (t.source, reason)
        for t in TRANSITIONS
        if (t.action, t.source, t.target) not in ELSEWHERE
        for reason in t.reasons
        if (t, reason) not in reached and reason not in ELSEWHERE_REASONS
    }
    # A training has no evidence that could be wrong.
    assert unreached == {(State.TRAINING, Reason.EVIDENCE_ERROR)}


def test_all_checks_of_a_chain_are_reported_once_and_in_order(outcomes: Outcomes) -> None:
    for found in outcomes.values():
        for here, said in found:
            if isinstance(said, Verdict) and said.transition.chain:
                edge = said.transition
                chain = (*edge.chain, *(edge.manual if here.policy.manual else ()))
                assert tuple(c.name for c in said.checks if "/" not in c.name) == chain
            assert len({c.name for c in said.checks}) == len(said.checks)
            assert all(c.message for c in said.checks)


def test_nothing_goes_forward_unless_every_check_passed(outcomes: Outcomes) -> None:
    forward = {Action.PROPOSE, Action.EVALUATE, Action.ADMIT, Action.PROMOTE}
    moved = [
        said
        for found in outcomes.values()
        for _, said in found
        if isinstance(said, Verdict) and said.transition.action in forward
    ]
    assert {v.transition.action for v in moved} == forward
    assert all(c.outcome is Outcome.PASS for v in moved for c in v.checks)
    assert all(v.outcome is Outcome.PASS for v in moved)


def test_deciding_twice_says_the_same(outcomes: Outcomes) -> None:
    for found in outcomes.values():
        for here, said in found[:40]:
            assert decide(here) == said


@pytest.mark.parametrize("action", Action)
def test_edges_that_the_table_lacks_are_refused(action: Action) -> None:
    legal = {(t.source, t.target) for t in TRANSITIONS if t.action is action}
    for source, target in product(State, State):
        if (source, target) in legal:
            assert isinstance(transition(action, source, target), Transition)
        else:
            with pytest.raises(IllegalTransition, match=f"{action} does not lead from {source} to {target}"):
                transition(action, source, target)


def test_a_reason_that_the_edge_lacks_is_refused() -> None:
    with pytest.raises(IllegalTransition, match="GapProven is no reason for Promote"):
        due(situation(State.SHADOW), Action.PROMOTE, State.LIVE, Reason.GAP_PROVEN, "no")


def test_live_is_reached_from_shadow_and_from_a_retirement_that_is_undone_only() -> None:
    assert {(t.action, t.source) for t in TRANSITIONS if t.target is State.LIVE} == {
        (Action.PROMOTE, State.SHADOW),
        (Action.RESTORE, State.RETIRED),
    }


def test_an_edge_stands_in_the_table_once() -> None:
    edges = [(t.action, t.source, t.target) for t in TRANSITIONS]
    assert len(edges) == len(set(edges))
