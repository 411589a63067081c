"""The table of transitions: what every edge keeps to, whatever else is added to it."""

from __future__ import annotations

import pytest

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, State
from modelecology.governance.lifecycle import (
    CAUSES,
    JOB_ENDS,
    PASSING,
    RESIDENT,
    STOPPED,
    TRANSITIONS,
    UNDECIDED,
    WORKING,
    CheckName,
    IllegalTransition,
    transition,
)


def test_an_edge_is_found_by_its_action_and_its_two_ends() -> None:
    for edge in TRANSITIONS:
        assert transition(edge.action, edge.source, edge.target) is edge


def test_an_edge_that_the_table_lacks_is_refused_by_name() -> None:
    with pytest.raises(IllegalTransition, match=r"^Promote does not lead from Pending to Live$"):
        transition(Action.PROMOTE, State.PENDING, State.LIVE)


def test_an_edge_has_reasons_and_names_each_reason_and_each_check_once() -> None:
    for edge in TRANSITIONS:
        checks = (*edge.chain, *edge.live, *edge.manual)
        assert edge.reasons
        assert len(set(edge.reasons)) == len(edge.reasons), edge
        assert len(set(checks)) == len(checks), edge
        assert all(isinstance(each, Reason) for each in edge.reasons), edge
        assert all(isinstance(each, CheckName) for each in checks), edge


def test_invariants_are_looked_at_before_any_gain() -> None:
    judged = [e for e in TRANSITIONS if CheckName.GAIN in e.chain]
    assert judged
    for edge in judged:
        gains = (edge.chain.index(c) for c in (CheckName.GAIN, CheckName.SERVED_GAIN) if c in edge.chain)
        assert edge.chain.index(CheckName.INVARIANTS) < min(gains), edge


def test_a_person_is_asked_before_users_get_its_answers_and_nowhere_else() -> None:
    asked = {(e.action, e.source) for e in TRANSITIONS if e.manual}
    assert asked == {
        (Action.PROMOTE, State.SHADOW),
        (Action.START_CANARY, State.SHADOW),
        (Action.ADVANCE, State.CANARY),
        (Action.PROMOTE, State.CANARY),
    }
    assert all(e.manual in ((), (CheckName.APPROVED,)) for e in TRANSITIONS)


def test_nothing_comes_to_live_but_from_shadow_or_from_where_it_was_live() -> None:
    into = {(e.action, e.source) for e in TRANSITIONS if e.target is State.LIVE}
    assert into == {
        (Action.PROMOTE, State.SHADOW),
        (Action.PROMOTE, State.CANARY),
        (Action.RESTORE, State.RETIRED),
        (Action.HOLD, State.LIVE),
        (Action.RESTORE, State.LIVE),
    }


@pytest.mark.parametrize("state", WORKING)
def test_work_can_fail_for_every_end_of_a_job_and_is_tried_again_for_every_cause_outside_it(
    state: State,
) -> None:
    failed = transition(Action.FAIL, state, State.FAILED)
    assert failed.reasons == (Reason.ATTEMPTS_EXHAUSTED, Reason.EVIDENCE_ERROR, *JOB_ENDS)
    tried = transition(Action.RETRY, state, state)
    assert tried.reasons == (Reason.JOB_RETRIED, *PASSING)
    assert not set(JOB_ENDS) & set(PASSING)


@pytest.mark.parametrize("state", [*UNDECIDED, *STOPPED])
def test_what_does_not_serve_can_be_retired_and_deleted_by_its_owner(state: State) -> None:
    assert Reason.RETIREMENT_REQUESTED in transition(Action.RETIRE, state, State.RETIRED).reasons
    assert transition(Action.DELETE, state, State.DELETED).reasons == (Reason.DELETED,)


def test_every_cause_retires_what_is_live_and_is_recorded_first() -> None:
    for action, target in ((Action.RETIRE, State.RETIRED), (Action.HOLD, State.LIVE)):
        assert set(CAUSES) <= set(transition(action, State.LIVE, target).reasons)


@pytest.mark.parametrize("state", RESIDENT)
def test_what_answers_as_another_adapter_is_taken_out_of_service(state: State) -> None:
    edge = transition(Action.QUARANTINE, state, State.QUARANTINED)
    assert Reason.FINGERPRINT_MISMATCH in edge.reasons
    assert edge.chain == (CheckName.FINGERPRINT,)


@pytest.mark.parametrize("state", STOPPED)
def test_what_has_stopped_starts_again_when_a_person_asks(state: State) -> None:
    assert transition(Action.RETRY, state, State.PENDING).reasons == (Reason.RETRY_REQUESTED,)


def test_every_state_is_reached_from_the_first_one() -> None:
    reached = {State.PENDING}
    while more := {e.target for e in TRANSITIONS if e.source in reached} - reached:
        reached |= more
    assert reached == set(State)
