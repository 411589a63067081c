"""Rules that hold for any evidence."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from modelecology.api.vocabulary import Action, State
from modelecology.governance.decide import decide
from modelecology.governance.facts import Evidence, Results, Situation, Verdict, Wait

from .scenes import NAME, POLICY, evidence, scored, situation

N = 40
FORWARD = (Action.PROPOSE, Action.ADMIT, Action.PROMOTE)
bits = st.lists(st.sampled_from((0.0, 1.0)), min_size=N, max_size=N)


def forward(said: Verdict | Wait) -> bool:
    return isinstance(said, Verdict) and said.transition.action in FORWARD


@st.composite
def told(draw: st.DrawFn) -> Evidence:
    """Evidence with any answers of candidate and routes."""
    ours, theirs, kept, base = (draw(bits) for _ in range(4))
    return Evidence(
        baseline={
            "dates": scored("dates", "generalist", theirs),
            "everyday": scored("everyday", "generalist", base),
        },
        incumbent=scored("dates", "generalist", theirs),
        candidate={"dates": scored("dates", NAME, ours), "everyday": scored("everyday", NAME, kept)},
        shadow=scored("dates", NAME, ours),
        shadow_incumbent=scored("dates", "generalist", theirs),
        digest="sha256:evidence",
    )


def harmed(results: Results, item: int) -> Results:
    """The same results with one answer wrong."""
    items = list(results.items)
    items[item] = replace(items[item], score=0.0)
    return replace(results, items=tuple(items))


states = st.sampled_from((State.EVALUATING, State.SHADOW))


@given(states, told(), st.integers(0, N - 1), st.sampled_from(("dates", "everyday", "shadow")))
def test_one_more_wrong_answer_never_admits(state: State, found: Evidence, item: int, where: str) -> None:
    assert found.shadow is not None
    if where == "shadow":
        worse = replace(found, shadow=harmed(found.shadow, item))
    else:
        worse = replace(found, candidate={**found.candidate, where: harmed(found.candidate[where], item)})
    if forward(decide(situation(state, evidence=worse))):
        assert forward(decide(situation(state, evidence=found)))


@given(states, told(), st.integers(-100, 400), st.integers(0, 400))
def test_a_higher_threshold_never_admits_more(state: State, found: Evidence, low: int, step: int) -> None:
    def at(threshold: int) -> Situation:
        return situation(state, evidence=found, policy=replace(POLICY, threshold=Decimal(threshold)))

    if forward(decide(at(low + step))):
        assert forward(decide(at(low)))


@given(told(), st.floats(0.5, 0.99), st.floats(0.5, 0.99))
def test_more_confidence_never_admits_more(found: Evidence, one: float, other: float) -> None:
    less, more = sorted((one, other))

    def at(confidence: float) -> Situation:
        return situation(State.EVALUATING, evidence=found, policy=replace(POLICY, confidence=confidence))

    if forward(decide(at(more))):
        assert forward(decide(at(less)))


@given(st.floats(0, 0.9), st.floats(0, 0.09))
def test_a_larger_minimum_gap_never_proposes_more(gap: float, step: float) -> None:
    def at(minimum: float) -> Situation:
        return situation(State.PENDING, artifact=None, policy=replace(POLICY, minimum_gap=minimum))

    if forward(decide(at(gap + step))):
        assert forward(decide(at(gap)))


@given(st.sampled_from(tuple(State)), told())
def test_a_verdict_is_a_function_of_its_situation(state: State, found: Evidence) -> None:
    here = situation(state, evidence=found)
    assert decide(here) == decide(replace(here))


@settings(max_examples=30)
@given(told(), st.sampled_from(("dates", "everyday")))
def test_a_missing_answer_is_never_a_pass(found: Evidence, where: str) -> None:
    results = found.candidate[where]
    short = replace(results, items=results.items[1:], expected=None)
    said = decide(
        situation(State.EVALUATING, evidence=replace(found, candidate={**found.candidate, where: short}))
    )
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
