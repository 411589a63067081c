"""A suite that is spent promotes nothing, trains nothing, and says what fresh items would buy."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Disclosure, Method, Outcome, State
from modelecology.governance.courses import plan_of
from modelecology.governance.decide import decide
from modelecology.governance.exhaustion import exhausted
from modelecology.governance.facts import (
    GENERALIST,
    Situation,
    TakenLook,
    Verdict,
    Wait,
)
from modelecology.governance.lives import life_under
from modelecology.governance.log import Entry, LogState, Subject, apply, sealed
from modelecology.governance.looks import Look, SuiteLife
from modelecology.governance.rules import EvidenceRules
from modelecology.governance.supply import Aim, looks_bought

from .scenes import NOW, POLICY, SUITE, N, evidence, right, situation, wait

MESSAGE = re.compile(r"([\d,]+) items buy (\d+) looks?")


def spent(rules: EvidenceRules | None = None) -> SuiteLife:
    """A life that used up all its looks."""
    plan = plan_of(replace(POLICY, evidence=rules or EvidenceRules()))
    life = life_under(plan)
    while life.next_level():
        life = life.after(Look(False))
    return life


def here(state: State, rules: EvidenceRules | None = None, **changes: Any) -> Situation:
    policy = replace(POLICY, evidence=rules or EvidenceRules())
    life = changes.pop("life", spent(policy.evidence))
    return situation(state, policy=policy, life=life, **changes)


def test_nothing_is_promoted_on_a_suite_that_is_spent_and_the_message_counts_items() -> None:
    found = wait(decide(here(State.EVALUATING)))
    assert found.reason is Reason.SUITE_EXHAUSTED
    assert found.message == (
        "The suite can prove nothing more: 200 looks were taken and 0 passed. Give it fresh items, as a new "
        "suite: for a true gain of +0.05 at 80 % power, 1,918 items buy 1 look, 2,876 items buy 10 looks."
    )
    assert all(c.outcome in (Outcome.PASS, Outcome.INCONCLUSIVE) for c in found.checks)


def test_nothing_is_trained_for_a_suite_that_is_spent() -> None:
    found = wait(decide(here(State.PENDING, artifact=None)))
    assert found.reason is Reason.SUITE_EXHAUSTED
    assert "1,918 items buy 1 look" in found.message
    assert [str(c.name) for c in found.checks] == [
        "RankWithinCapacity",
        "GapProven",
        "ExpectedGainRepays",
        "WithinBudget",
    ]


def test_a_suite_that_is_too_small_is_exhausted_before_its_first_look() -> None:
    few = replace(
        evidence(),
        baseline={t: right(t, GENERALIST, 0.0, 60 if t == "dates" else 8) for t in evidence().baseline},
        incumbent=right("dates", GENERALIST, 0.0, 60),
        screen={},
    )
    fresh = here(State.PENDING, life=None, artifact=None, evidence=few)
    found = wait(decide(fresh))
    assert found.reason is Reason.SUITE_EXHAUSTED
    assert found.message.startswith("The suite can prove nothing more: 0 looks were taken and 0 passed.")


@settings(max_examples=20)
@given(
    st.sampled_from(Disclosure),
    st.sampled_from(Method),
    st.integers(1, 40),
    st.integers(1, 3),
    st.sampled_from((0.001, 0.02, 0.05, 0.3, 1.0)),
)
def test_the_items_that_are_named_buy_the_looks_and_one_less_does_not(
    disclosure: Disclosure, method: Method, looks: int, slices: int, effect: float
) -> None:
    rules = EvidenceRules(disclosure=disclosure, method=method, looks=looks, slices=slices, effect=effect)
    assume(disclosure is not Disclosure.FULL or effect > 0.01)  # the same, by the million items
    found = exhausted(here(State.EVALUATING, rules))
    bought = [(int(n.replace(",", "")), int(k)) for n, k in MESSAGE.findall(found.message)]
    assert [k for _, k in bought] == [k for k in (1, 10) if k <= looks]
    fresh = life_under(plan_of(replace(POLICY, evidence=rules)))
    for items, count in bought:
        assert looks_bought(fresh, "dates", items, Aim(effect)) >= count
        assert looks_bought(fresh, "dates", items - 1, Aim(effect)) < count


# Over whole histories.


def recorded(state: LogState, who: str, verdict: Verdict) -> LogState:
    """The entry of a verdict; the first one of an object is preceded by what led to its evaluation."""
    edges = [(verdict.transition.action, verdict.transition.source, verdict.transition.target, verdict.look)]
    if who not in state.specialists:
        edges = [
            (Action.PROPOSE, State.PENDING, State.TRAINING, None),
            (Action.EVALUATE, State.TRAINING, State.EVALUATING, None),
            *edges,
        ]
    for action, source, target, look in edges:
        state = apply(
            state,
            sealed(
                Entry(
                    population="desk",
                    sequence=state.sequence + 1,
                    time=NOW,
                    subject=Subject(who, who, "r" * 12),
                    action=action,
                    from_state=source,
                    to=target,
                    outcome=verdict.outcome,
                    reason=str(verdict.reason),
                    actor="operator",
                    previous=state.digest,
                    look=look,
                )
            ),
        )
    return state


def judged(state: LogState, who: str, here: Situation) -> Verdict | Wait:
    known = state.specialists.get(who)
    record = known.revisions["r" * 12] if known is not None else here.record
    return decide(replace(here, life=state.lives.get(SUITE), record=record))


@settings(max_examples=20)
@given(
    st.integers(1, 5),
    st.sampled_from((Disclosure.VERDICT, Disclosure.ROUNDED)),
    st.lists(st.tuples(st.booleans(), st.sampled_from((0.1, 0.9))), min_size=8, max_size=8),
)
def test_after_all_looks_no_proof_is_opened_any_more_whatever_became_of_them(
    looks: int, disclosure: Disclosure, candidates: list[tuple[bool, float]]
) -> None:
    rules = EvidenceRules(looks=looks, disclosure=disclosure)
    state, levels, open_ = LogState(), [], list[tuple[str, Situation]]()
    for number, (waits, share) in enumerate(candidates):
        screening = here(State.EVALUATING, rules, evidence=evidence(candidate=share))
        who = f"s{number}"
        said = judged(state, who, screening)
        if isinstance(said, Wait):
            assert said.reason is Reason.SUITE_EXHAUSTED
            break
        assert said.transition.action is Action.PROVE
        assert isinstance(said.look, TakenLook)
        levels.append(said.look.level)
        state = recorded(state, who, said)
        open_.append((who, screening))
        while open_ and not waits:
            name, other = open_.pop()
            ended = judged(state, name, other)
            assert isinstance(ended, Verdict)
            assert ended.transition.action in (Action.ADMIT, Action.SHELVE)
            state = recorded(state, name, ended)
    assert len(levels) <= looks
    assert sum(levels) <= 0.05 + 1e-12
    last = here(State.EVALUATING, rules)
    if state.lives[SUITE].looks == looks:
        found = judged(state, "late", last)
        assert isinstance(found, Wait)
        assert found.reason is Reason.SUITE_EXHAUSTED
        # Who is under way is still judged: its look was taken in time.
        for name, other in open_:
            assert isinstance(judged(state, name, other), Verdict)


@pytest.mark.parametrize("disclosure", Disclosure)
def test_a_single_look_is_enough_for_one_candidate_and_for_no_second(disclosure: Disclosure) -> None:
    rules = EvidenceRules(looks=1, disclosure=disclosure)
    fresh = here(State.EVALUATING, rules, life=None)
    said = decide(fresh)
    assert isinstance(said, Verdict)
    assert said.transition.action is Action.PROVE
    assert said.look is not None
    assert said.look.level == pytest.approx(0.05 if disclosure is not Disclosure.ROUNDED else 0.025)
    used = life_under(plan_of(fresh.policy)).after(Look(True, met={"dates": N, "everyday": N}))
    assert wait(decide(replace(fresh, life=used))).reason is Reason.SUITE_EXHAUSTED
