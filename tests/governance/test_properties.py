"""Rules that hold for any evidence."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from modelecology.api.vocabulary import Action, State
from modelecology.governance.courses import gain_margin
from modelecology.governance.decide import decide
from modelecology.governance.facts import (
    Evidence,
    Results,
    Situation,
    Verdict,
    Wait,
)
from modelecology.governance.rules import Policy

from .scenes import (
    DATES,
    EVERYDAY,
    NAME,
    POLICY,
    answered,
    evidence,
    look,
    proving,
    record,
    scored,
    situation,
)

N = 40
FORWARD = (Action.PROPOSE, Action.PROVE, Action.ADMIT, Action.PROMOTE)
TASKS = (DATES, replace(EVERYDAY, max_regression=0.6))  # a small suite can prove it
bits = st.integers(0, N).flatmap(lambda k: st.permutations([1.0] * k + [0.0] * (N - k)))


def forward(said: Verdict | Wait) -> bool:
    return isinstance(said, Verdict) and said.transition.action in FORWARD


@st.composite
def told(draw: st.DrawFn) -> Evidence:
    """Evidence with any answers of candidate and routes."""
    ours, theirs, kept, base = (draw(bits) for _ in range(4))
    found = Evidence(
        baseline={
            "dates": scored("dates", "generalist", theirs),
            "everyday": scored("everyday", "generalist", base),
        },
        incumbent=scored("dates", "generalist", theirs),
        shadow=scored("dates", NAME, ours),
        shadow_incumbent=scored("dates", "generalist", theirs),
        digest="sha256:evidence",
    )
    return answered(found, scored("dates", NAME, ours), scored("everyday", NAME, kept))


def at(stage: str, found: Evidence, policy: Policy = POLICY) -> Situation:
    """A situation of a stage, in which each passes what was opened under its own policy."""
    here = situation(State.SHADOW, evidence=found, policy=policy, tasks=TASKS)
    if stage == "shadow":
        return here
    if stage == "screen":
        return replace(here, record=record(State.EVALUATING))
    opened = look(policy, level=0.3 * (1 - policy.confidence), margin=min(gain_margin(here), 0.999))
    return proving(opened, evidence=found, policy=policy, tasks=TASKS)


def harmed(results: Results, item: int) -> Results:
    """The same results with one answer wrong."""
    items = list(results.items)
    place = item % len(items)
    items[place] = replace(items[place], score=0.0)
    return replace(results, items=tuple(items))


stages = st.sampled_from(("screen", "proof", "shadow"))


@settings(max_examples=40)
@given(stages, told(), st.integers(0, N - 1), st.sampled_from(("dates", "everyday")))
def test_one_more_wrong_answer_never_admits(stage: str, found: Evidence, item: int, where: str) -> None:
    assert found.shadow is not None
    worse = replace(
        found,
        shadow=harmed(found.shadow, item),
        screen={**found.screen, where: harmed(found.screen[where], item)},
        proof={**found.proof, where: harmed(found.proof[where], item)},
    )
    if forward(decide(at(stage, worse))):
        assert forward(decide(at(stage, found)))


@settings(max_examples=40)
@given(st.sampled_from(("screen", "proof")), told(), st.integers(-100, 300), st.integers(0, 300))
def test_a_higher_threshold_never_admits_more(stage: str, found: Evidence, low: int, step: int) -> None:
    def under(threshold: int) -> Situation:
        return at(stage, found, replace(POLICY, threshold=Decimal(threshold)))

    if forward(decide(under(low + step))):
        assert forward(decide(under(low)))


@settings(max_examples=40)
@given(st.sampled_from(("proof", "shadow")), told(), st.floats(0.5, 0.99), st.floats(0.5, 0.99))
def test_more_confidence_never_admits_more(stage: str, found: Evidence, one: float, other: float) -> None:
    less, more = sorted((one, other))
    if forward(decide(at(stage, found, replace(POLICY, confidence=more)))):
        assert forward(decide(at(stage, found, replace(POLICY, confidence=less))))


@settings(max_examples=40)
@given(st.floats(0, 0.9), st.floats(0, 0.09))
def test_a_larger_minimum_gap_never_proposes_more(gap: float, step: float) -> None:
    def under(minimum: float) -> Situation:
        return situation(State.PENDING, artifact=None, policy=replace(POLICY, minimum_gap=minimum))

    if forward(decide(under(gap + step))):
        assert forward(decide(under(gap)))


@settings(max_examples=60)
@given(st.sampled_from(tuple(State)), told())
def test_a_verdict_is_a_function_of_its_situation(state: State, found: Evidence) -> None:
    here = situation(state, evidence=found)
    assert decide(here) == decide(replace(here))


@settings(max_examples=30)
@given(
    st.sampled_from(("screen", "proof")), told(), st.sampled_from(("dates", "everyday")), st.integers(0, 9)
)
def test_a_missing_answer_is_never_a_pass(stage: str, found: Evidence, where: str, item: int) -> None:
    def short(results: Results) -> Results:
        return replace(results, items=(*results.items[:item], *results.items[item + 1 :]), expected=None)

    fewer = replace(
        found,
        screen={**found.screen, where: short(found.screen[where])},
        proof={**found.proof, where: short(found.proof[where])},
    )
    said = decide(at(stage, fewer))
    assert isinstance(said, Verdict)
    assert said.transition.action is Action.FAIL


def test_governance_needs_nothing_but_numbers() -> None:
    code = (
        "import sys, modelecology.governance.decide\n"
        "heavy = {'kopf', 'torch', 'pydantic', 'aiohttp', 'kubernetes', 'fsspec', 'ray'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    found = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, "")
    assert evidence().digest == "sha256:evidence"
