"""Hard limits: an adapter's size, and how long its answers take."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelecology.api.vocabulary import Outcome
from modelecology.governance.facts import Item, Results
from modelecology.governance.limits import check_latency, check_memory
from modelecology.governance.rules import Limits
from tests.governance.scenes import ARTIFACT, NAME

LATENCY = Limits(latency=1.0, percentile=90)


def timed(*seconds: float | None) -> Results:
    items = tuple(Item(f"i{n}", f"i{n}", 1.0, each) for n, each in enumerate(seconds))
    return Results("dates", NAME, items, expected=len(items))


def test_without_limits_nothing_is_checked() -> None:
    assert check_memory(Limits(), ARTIFACT) is None
    assert check_latency(Limits(), timed(1.0), 0.95) is None


@pytest.mark.parametrize(("most", "outcome"), [(5 * 2**20, Outcome.PASS), (5 * 2**20 - 1, Outcome.FAIL)])
def test_an_adapter_may_take_as_much_as_the_limit_says(most: int, outcome: Outcome) -> None:
    found = check_memory(Limits(memory=most), ARTIFACT)
    assert found is not None
    assert found.outcome is outcome
    assert "policy.limits.memory" in found.message


def test_an_adapter_that_is_not_there_is_within_no_limit() -> None:
    found = check_memory(Limits(memory=2**30), None)
    assert found is not None
    assert found.outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("late", "in_time", "outcome"),
    [
        (0, 40, Outcome.PASS),
        (0, 10, Outcome.INCONCLUSIVE),
        (4, 36, Outcome.INCONCLUSIVE),
        (20, 20, Outcome.FAIL),
    ],
)
def test_latency_passes_when_enough_answers_are_proven_to_come_in_time(
    late: int, in_time: int, outcome: Outcome
) -> None:
    found = check_latency(LATENCY, timed(*[2.0] * late, *[1.0] * in_time), 0.95)
    assert found is not None
    assert found.outcome is outcome
    assert found.observed == f"{late} of {late + in_time} late"


@pytest.mark.parametrize("shadow", [None, timed(), timed(0.1, None)])
def test_answers_that_were_not_timed_are_an_error_and_never_a_pass(shadow: Results | None) -> None:
    found = check_latency(LATENCY, shadow, 0.95)
    assert found is not None
    assert found.outcome is Outcome.ERROR


@given(st.lists(st.floats(0, 10), min_size=1, max_size=200), st.floats(0.1, 5))
def test_faster_answers_never_make_it_worse(seconds: list[float], cut: float) -> None:
    order = (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS)
    slow = check_latency(LATENCY, timed(*seconds), 0.95)
    fast = check_latency(LATENCY, timed(*(each / (1 + cut) for each in seconds)), 0.95)
    assert slow is not None
    assert fast is not None
    assert order.index(fast.outcome) >= order.index(slow.outcome)
    looser = check_latency(replace(LATENCY, latency=2.0), timed(*seconds), 0.95)
    assert looser is not None
    assert order.index(looser.outcome) >= order.index(slow.outcome)
