"""A trial keeps the rules under which it began; what is as it is now makes no verdict easier to reach."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from modelecology.api.vocabulary import Action, State
from modelecology.governance.decide import decide
from modelecology.governance.facts import Situation
from modelecology.governance.pinning import pinned
from modelecology.governance.rules import Policy

from .scenes import POLICY, proving, situation, verdict, wait

# What engines hold, what may be spent, how often jobs are tried, and what people have to say.
AS_NOW = {
    "undo_window",
    "budget",
    "adapters",
    "max_rank",
    "memory",
    "replicas",
    "retries",
    "manual",
    "automatic_retirement",
    "retirement_grace",
    "retire_by_point",
    "idle_after",
}
NAMES = [field.name for field in fields(Policy)]


def marked(when: str) -> Policy:
    """A policy of which each field says when it is from."""
    values: Any = {name: (when, name) for name in NAMES}
    return Policy(**values)


@pytest.mark.parametrize("name", NAMES)
def test_each_rule_is_that_of_the_beginning_unless_it_is_about_means_or_people(name: str) -> None:
    found = getattr(pinned(marked("then"), marked("now")), name)
    assert found == ("now" if name in AS_NOW else "then", name)


def test_a_policy_that_was_not_edited_stays_as_it_is() -> None:
    assert pinned(POLICY, POLICY) == POLICY


def test_of_two_edits_the_last_counts_and_the_beginning_stays_the_beginning() -> None:
    between, now = replace(POLICY, adapters=2, confidence=0.5), replace(POLICY, adapters=9, confidence=0.6)
    assert pinned(pinned(POLICY, between), now) == pinned(POLICY, now)


EASIER = replace(
    POLICY,
    confidence=0.6,
    minimum_gap=0.0,
    threshold=Decimal(-1000),
    minimum_scored=1,
    shadow_maximum=timedelta(days=365),
)


@pytest.mark.parametrize("here", [situation(State.EVALUATING), proving(), situation(State.SHADOW)])
def test_a_rule_that_is_loosened_in_a_trial_changes_nothing_of_its_verdict(here: Situation) -> None:
    assert decide(replace(here, policy=pinned(POLICY, EASIER))) == decide(here)


def test_the_rule_of_the_beginning_keeps_out_whom_the_loosened_one_would_promote() -> None:
    strict = situation(State.SHADOW, policy=replace(POLICY, minimum_scored=1000))
    loosened = replace(strict, policy=replace(strict.policy, minimum_scored=1))
    assert verdict(decide(loosened)).transition.action is Action.PROMOTE
    under_way = replace(strict, policy=pinned(strict.policy, loosened.policy))
    assert verdict(decide(under_way)).transition.action is Action.SHELVE


def test_an_engine_that_has_become_smaller_holds_no_more_because_a_trial_began_before() -> None:
    full = pinned(POLICY, replace(POLICY, adapters=1))
    here = situation(State.EVALUATING, policy=full, residents=1)
    assert wait(decide(here)).reason == "CapacityFull"
