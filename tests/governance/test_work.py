"""Training and the failures of jobs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Outcome, State
from modelecology.governance.decide import decide
from modelecology.governance.facts import Cost, JobFailure, Situation
from modelecology.governance.lifecycle import PASSING, WORKING
from modelecology.governance.work import LONGEST_PAUSE, backoff, paused_until

from .scenes import ARTIFACT, CLAIM, HOUR, NOW, evidence, record, situation, verdict, wait

SPENT = Cost(cpu_seconds=Decimal(90))


def at_work(state: State, **changes: Any) -> Situation:
    """A job runs and has delivered nothing."""
    bare = replace(evidence(), screen={}, shadow=None)
    artifact = None if state is State.TRAINING else ARTIFACT
    return situation(state, **{"artifact": artifact, "evidence": bare, **changes})


def failure(reason: str = "InternalError", *, retry: bool = True) -> JobFailure:
    return JobFailure(reason, "the last line of the log", retry=retry, cost=SPENT)


def test_a_committed_adapter_is_evaluated_and_charged() -> None:
    found = verdict(decide(situation(State.TRAINING)))
    assert found.transition.target is State.EVALUATING
    assert found.reason is Reason.ARTIFACT_COMMITTED
    assert found.message == "The adapter is in the store and sound: rank 8, 5.0 MiB; it took 0.1 CPU-hours."
    assert found.cost == ARTIFACT.cost


def test_an_adopted_adapter_is_evaluated_and_costs_nothing() -> None:
    found = verdict(decide(situation(State.TRAINING, artifact=replace(ARTIFACT, adopted=True))))
    assert found.reason is Reason.ARTIFACT_ADOPTED
    assert found.message == "The store had an adapter of the same key (rank 8, 5.0 MiB); nothing was trained."
    assert found.cost == Cost()


def test_an_adapter_that_the_engine_cannot_hold_fails() -> None:
    found = verdict(decide(situation(State.TRAINING, artifact=replace(ARTIFACT, rank=64))))
    assert found.transition.target is State.FAILED
    assert found.reason is Reason.RANK_ABOVE_CAPACITY
    assert found.message.startswith("The adapter has rank 64; serving.capacity.maxRank allows 16.")


@pytest.mark.parametrize(("steps", "reason"), [(60, Reason.TRAINING), (0, Reason.IMPORTING)])
def test_a_running_job_is_waited_for(steps: int, reason: Reason) -> None:
    found = wait(decide(at_work(State.TRAINING, claim=replace(CLAIM, steps=steps))))
    assert found.reason is reason


@pytest.mark.parametrize("state", WORKING)
def test_a_passing_failure_is_tried_again_and_charged(state: State) -> None:
    found = verdict(decide(at_work(state, failure=failure())))
    assert (found.transition.action, found.transition.target) == (Action.RETRY, state)
    assert found.reason is Reason.JOB_RETRIED
    assert found.message == "Retry 1 of 3 starts in 10 s. InternalError: the last line of the log"
    assert found.cost == SPENT
    assert found.outcome is Outcome.ERROR


@pytest.mark.parametrize("state", WORKING)
def test_a_failure_for_good_ends_it_with_its_own_reason(state: State) -> None:
    found = verdict(decide(at_work(state, failure=failure("DataDigestMismatch", retry=False))))
    assert found.transition.target is State.FAILED
    assert found.reason is Reason.DATA_DIGEST_MISMATCH
    assert found.message == "DataDigestMismatch: the last line of the log"
    assert found.cost == SPENT


@pytest.mark.parametrize("unknown", ["SomethingNew", "GapProven"])
def test_a_reason_that_no_job_may_give_is_an_internal_error_which_names_it(unknown: str) -> None:
    found = verdict(decide(at_work(State.TRAINING, failure=failure(unknown, retry=False))))
    assert found.reason is Reason.INTERNAL_ERROR
    assert found.message.startswith(f"{unknown}: ")


@pytest.mark.parametrize("state", WORKING)
def test_used_up_attempts_end_it_and_name_the_last_failure(state: State) -> None:
    tired = record(state, attempts=3)
    found = verdict(decide(at_work(state, record=tired, failure=failure())))
    assert found.reason is Reason.ATTEMPTS_EXHAUSTED
    assert found.message == (
        "The job failed 4 times, and policy allows 3 retries. The last failure: "
        "InternalError: the last line of the log"
    )


@pytest.mark.parametrize("reason", PASSING)
@pytest.mark.parametrize("attempts", [0, 3, 400])
def test_an_outage_is_waited_out_however_long_it_lasts(reason: Reason, attempts: int) -> None:
    weary = record(State.TRAINING, attempts=attempts, excused=attempts)
    found = verdict(decide(at_work(State.TRAINING, record=weary, failure=failure(reason, retry=False))))
    assert found.transition.action is Action.RETRY
    assert found.reason is reason
    if attempts > 3:
        assert "in 300 s, for as long as this lasts" in found.message


def test_retries_for_an_outage_do_not_use_up_the_jobs_own() -> None:
    mixed = record(State.TRAINING, attempts=12, excused=10)
    found = verdict(decide(at_work(State.TRAINING, record=mixed, failure=failure())))
    assert found.message.startswith("Retry 3 of 3 starts in 300 s.")
    spent = replace(mixed, attempts=13)
    assert verdict(decide(at_work(State.TRAINING, record=spent, failure=failure()))).reason is (
        Reason.ATTEMPTS_EXHAUSTED
    )


@pytest.mark.parametrize("state", WORKING)
def test_the_next_try_waits_out_its_pause_and_the_old_failure_is_not_judged_twice(state: State) -> None:
    retried = record(state, since=NOW - timedelta(seconds=3), attempts=1)
    found = wait(decide(at_work(state, record=retried, failure=failure())))
    assert found.reason is Reason.BACKOFF
    assert found.until == NOW + timedelta(seconds=7)
    assert found.message == "Try 2 starts at 2026-03-01 12:00:07 UTC."
    after = at_work(state, record=retried, now=NOW + timedelta(seconds=7))
    assert wait(decide(after)).reason is not Reason.BACKOFF


def test_a_pause_doubles_up_to_five_minutes() -> None:
    assert [backoff(n).total_seconds() for n in (0, 1, 2, 3, 4, 5, 6, 7, 10**9)] == [
        5, 10, 20, 40, 80, 160, 300, 300, 300
    ]  # fmt: skip
    assert paused_until(record(State.TRAINING)) is None


@given(st.integers(-5, 10**6))
def test_a_pause_never_shrinks_and_never_exceeds_its_limit(attempts: int) -> None:
    assert timedelta(seconds=5) <= backoff(attempts) <= backoff(attempts + 1) <= LONGEST_PAUSE


def test_a_delivered_adapter_wins_over_a_failure_and_over_the_pause() -> None:
    retried = record(State.TRAINING, since=NOW, attempts=1)
    found = verdict(decide(situation(State.TRAINING, record=retried, failure=failure())))
    assert found.reason is Reason.ARTIFACT_COMMITTED


def test_a_very_long_failure_is_cut_to_what_a_decision_holds() -> None:
    long = JobFailure("InternalError", "x" * 5000, retry=False)
    found = verdict(decide(at_work(State.TRAINING, failure=long)))
    assert len(found.message) == 1000
    assert found.message.endswith(" ...")


def test_the_time_in_shadow_does_not_start_again_after_an_outage() -> None:
    long_ago = record(State.SHADOW, entered=NOW - 48 * HOUR, since=NOW - HOUR, attempts=1)
    assert verdict(decide(at_work(State.SHADOW, record=long_ago))).transition.action is Action.SHELVE
    outage = replace(long_ago, excused=1)
    assert verdict(decide(at_work(State.SHADOW, record=outage))).transition.action is Action.SHELVE
