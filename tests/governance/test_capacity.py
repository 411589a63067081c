"""Is there a place for one more adapter, who is due for retirement, and whom would the best set leave out?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from modelecology.api.vocabulary import Outcome, State
from modelecology.governance.capacity import best_with, check_capacity
from modelecology.governance.facts import GENERALIST, Evidence, Member, Situation, Standing

from .scenes import MEMBER, NAME, POLICY, evidence, right, situation

MIB = 2**20
GIB = 2**30
BASE = (Member(GENERALIST, "dates", 0.1, 0, 0.05, 0.2), Member(GENERALIST, "cron", 0.05, 0, 0.0, 0.1))
OLD = Member("dates-old", "dates", 0.5, 5 * MIB, 0.45, 0.55)
CRON = replace(MEMBER, low=0.7, high=0.9)


def screened(score: float) -> Evidence:
    return replace(evidence(), screen={"dates": right("dates", NAME, score)})


def full(*members: Member, score: float = 0.9, **changes: Any) -> Situation:
    slots = changes.pop("slots", len(members))
    here = situation(
        State.EVALUATING,
        members=members,
        residents=len(members),
        policy=replace(POLICY, adapters=slots, **changes.pop("policy", {})),
        evidence=screened(score),
        standing=Standing(BASE, members),
    )
    return replace(here, **changes)


def test_a_free_slot_is_a_place() -> None:
    check = check_capacity(full(CRON, slots=2))
    assert (check.outcome, check.observed, check.limit) == (Outcome.PASS, "1 taken", "2 slots")
    assert check.message == "1 of 2 adapter slots are taken."


def test_where_there_is_none_the_check_names_whom_the_best_set_would_leave_out() -> None:
    check = check_capacity(full(CRON, OLD))
    assert check.outcome is Outcome.FAIL
    assert check.message == ("2 of 2 adapter slots are taken. The best set would leave out dates-old.")
    worse = check_capacity(full(CRON, OLD, score=0.3))
    assert worse.message.endswith("The best set would leave out this candidate.")
    assert check_capacity(replace(full(CRON, OLD), standing=None)).outcome is Outcome.FAIL


def test_all_that_is_in_shadow_keeps_its_place() -> None:
    waiting = replace(full(CRON, OLD, slots=3), residents=3)
    assert best_with(waiting).kept == (MEMBER.served_name, NAME)
    assert best_with(replace(waiting, residents=5)).kept == ()


def test_live_members_are_tested_for_retirement_before_one_more_is_let_in() -> None:
    silent = replace(OLD, task="poems")
    check = check_capacity(full(CRON, silent, slots=3))
    assert check.outcome is Outcome.PASS
    assert check.message == (
        "2 of 3 adapter slots are taken. Due for retirement: dates-old (ContractWithdrawn)."
    )
    assert check_capacity(full(CRON, silent)).message.endswith(
        "Due for retirement: dates-old (ContractWithdrawn). The best set would leave out dates-old."
    )


def test_memory_is_a_limit_where_the_policy_sets_one() -> None:
    fits = check_capacity(full(CRON, slots=4, policy={"memory": 10 * MIB}))
    assert (fits.outcome, fits.observed, fits.limit) == (
        Outcome.PASS,
        "1 taken, 10 MiB needed",
        "4 slots, 10 MiB",
    )
    short = check_capacity(full(CRON, OLD, slots=4, policy={"memory": 10 * MIB}))
    assert short.outcome is Outcome.FAIL
    assert short.message == (
        "2 of 4 adapter slots are taken. With it the adapters take 15 of 10 MiB. "
        "The best set would leave out dates-old."
    )


def test_the_memory_of_what_is_in_shadow_counts() -> None:
    here = full(CRON, slots=4, policy={"memory": 10 * MIB})
    beside = replace(here, standing=Standing(BASE, (CRON,), shadow_bytes=MIB))
    assert check_capacity(beside).outcome is Outcome.FAIL
    assert best_with(beside).kept == (MEMBER.served_name,)


def test_a_candidate_that_the_screen_has_not_met_is_taken_to_score_nothing() -> None:
    here = replace(full(CRON, OLD), evidence=replace(evidence(), screen={}))
    assert best_with(here).left_out == (NAME,)
