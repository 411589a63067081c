"""The table of transitions: who may go where, by which action, after which checks, for which reasons.

The operator, the tests, the diagram in the docs and the CRD's rules all read this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, State


class CheckName(StrEnum):
    """The checks, as they are named in a Decision."""

    GAP = "GapProven"
    EXPECTED_GAIN = "ExpectedGainRepays"
    RANK = "RankWithinCapacity"
    BUDGET = "WithinBudget"
    SOUND = "AdapterSound"
    EVIDENCE = "EvidenceComplete"
    INVARIANTS = "HardInvariants"
    GAIN = "PortfolioGain"
    CAPACITY = "CapacityFree"
    PROOF = "ProofPassed"
    FINGERPRINT = "ServedFingerprint"
    SCORED = "ShadowScored"
    SERVED_GAIN = "ServedGain"
    LIVE_GAIN = "LiveGain"
    LIVE_ERRORS = "LiveErrors"
    LIVE_LATENCY = "LiveLatency"
    LIVE_SCORE = "LiveScore"
    STEP = "StepCompleted"
    APPROVED = "Approved"
    UNDO = "WithinUndoWindow"
    VIABLE = "StillViable"


@dataclass(frozen=True, slots=True)
class Transition:
    """One edge of the lifecycle."""

    action: Action
    source: State
    target: State
    reasons: tuple[Reason, ...]
    chain: tuple[CheckName, ...] = ()
    live: tuple[CheckName, ...] = ()  # what the policy may ask of live requests after the chain
    manual: tuple[CheckName, ...] = ()  # what is asked after the chain where a person has the last word


PROPOSAL = (CheckName.RANK, CheckName.GAP, CheckName.EXPECTED_GAIN, CheckName.BUDGET)
# Invariants come first: they are never traded, so no gain is looked at before them.
SCREEN = (CheckName.EVIDENCE, CheckName.INVARIANTS, CheckName.GAIN, CheckName.CAPACITY)
# The proof answers the same questions; what is told of it depends on the disclosure.
PROOF = (CheckName.PROOF,)
JUDGEMENT = (CheckName.EVIDENCE, CheckName.INVARIANTS, CheckName.GAIN, CheckName.PROOF)
PROMOTION = (
    CheckName.FINGERPRINT,
    CheckName.SCORED,
    CheckName.INVARIANTS,  # the latency, which only the endpoint shows
    CheckName.SERVED_GAIN,
    CheckName.GAIN,
)
CANARY = (
    CheckName.FINGERPRINT,
    CheckName.LIVE_ERRORS,
    CheckName.LIVE_LATENCY,
    CheckName.LIVE_GAIN,
    CheckName.STEP,
)
# What policy.quarantine asks of what users get of a live revision.
SERVED = (CheckName.LIVE_ERRORS, CheckName.LIVE_LATENCY, CheckName.LIVE_SCORE)

# Causes outside the job: it is tried again for as long as they last, and they do not use up its attempts.
PASSING = (
    Reason.RUNNER_UNAVAILABLE,
    Reason.STORE_UNAVAILABLE,
    Reason.STORE_FULL,
    Reason.ENGINE_UNREACHABLE,
)
# What ends a job for good, in its own words.
JOB_ENDS = (
    Reason.DATA_NOT_FOUND,
    Reason.DATA_DIGEST_MISMATCH,
    Reason.DATA_INVALID,
    Reason.DATA_EMPTY,
    Reason.DATA_CONTAMINATED,
    Reason.BASE_NOT_FOUND,
    Reason.BASE_DIGEST_MISMATCH,
    Reason.BASE_NOT_CAUSAL_LM,
    Reason.ADAPTER_UNSOUND,
    Reason.ARTIFACT_NOT_FOUND,
    Reason.ARTIFACT_DIGEST_MISMATCH,
    Reason.ARTIFACT_CORRUPT,
    Reason.ARTIFACT_MISSING,
    Reason.RANK_ABOVE_CAPACITY,
    Reason.TRAINING_DIVERGED,
    Reason.DEADLINE_EXCEEDED,
    Reason.INTENT_INVALID,
    Reason.RUNNER_REFUSED,
    Reason.ENGINE_REFUSED,
    Reason.STORE_FORMAT_UNKNOWN,
    Reason.INTERNAL_ERROR,
)

# Why evidence takes a live revision out of service.
CAUSES = (
    Reason.CONTRACT_WITHDRAWN,
    Reason.UNUSED,
    Reason.QUALITY_DRIFTED,
    Reason.DOMINATED,
    Reason.NEGATIVE_VALUE,
)

UNDECIDED = (State.PENDING, State.TRAINING, State.EVALUATING, State.SHADOW, State.CANARY)
STICKY = (State.REJECTED, State.SHELVED)
STOPPED = (State.REJECTED, State.SHELVED, State.QUARANTINED, State.FAILED)
PROMOTING = (Action.START_CANARY, Action.ADVANCE, Action.PROMOTE)  # what an approval may be used for
RESIDENT = (State.SHADOW, State.CANARY, State.LIVE)
WORKING = (State.TRAINING, State.EVALUATING, State.SHADOW)
ON_TRIAL = (*WORKING, State.CANARY)  # under the policy of the trial's beginning


def _table() -> tuple[Transition, ...]:
    own = [
        Transition(Action.PROPOSE, State.PENDING, State.TRAINING, (Reason.GAP_PROVEN,), PROPOSAL),
        Transition(
            Action.HOLD,
            State.PENDING,
            State.PENDING,
            (Reason.INSUFFICIENT_EVIDENCE, Reason.GAIN_DOES_NOT_REPAY),
            PROPOSAL,
        ),
        Transition(
            Action.EVALUATE,
            State.TRAINING,
            State.EVALUATING,
            (Reason.ARTIFACT_COMMITTED, Reason.ARTIFACT_ADOPTED),
            (CheckName.SOUND,),
        ),
        Transition(Action.PROVE, State.EVALUATING, State.EVALUATING, (Reason.SCREEN_SURVIVED,), SCREEN),
        Transition(Action.ADMIT, State.EVALUATING, State.SHADOW, (Reason.GAIN_PROVEN,), PROOF),
        Transition(
            Action.REJECT, State.EVALUATING, State.REJECTED, (Reason.HARD_INVARIANT_FAILURE,), JUDGEMENT
        ),
        Transition(
            Action.SHELVE,
            State.EVALUATING,
            State.SHELVED,
            (Reason.GAIN_DOES_NOT_REPAY, Reason.PROOF_NOT_PASSED, Reason.INSUFFICIENT_EVIDENCE),
            JUDGEMENT,
        ),
        Transition(
            Action.PROMOTE,
            State.SHADOW,
            State.LIVE,
            (Reason.SERVED_SCORE_CONFIRMED,),
            PROMOTION,
            live=(CheckName.LIVE_GAIN,),
            manual=(CheckName.APPROVED,),
        ),
        Transition(
            Action.START_CANARY,
            State.SHADOW,
            State.CANARY,
            (Reason.SERVED_SCORE_CONFIRMED,),
            PROMOTION,
            live=(CheckName.LIVE_GAIN,),
            manual=(CheckName.APPROVED,),
        ),
        Transition(
            Action.REJECT,
            State.SHADOW,
            State.REJECTED,
            (Reason.HARD_INVARIANT_FAILURE, Reason.SERVED_SCORE_REFUTED, Reason.LIVE_SCORE_REFUTED),
            PROMOTION,
            live=(CheckName.LIVE_GAIN,),
        ),
        Transition(
            Action.SHELVE,
            State.SHADOW,
            State.SHELVED,
            (Reason.GAIN_DOES_NOT_REPAY, Reason.INSUFFICIENT_EVIDENCE),
            PROMOTION,
            live=(CheckName.LIVE_GAIN,),
        ),
        Transition(
            Action.ADVANCE,
            State.CANARY,
            State.CANARY,
            (Reason.STEP_PASSED, Reason.STEP_SKIPPED),
            CANARY,
            manual=(CheckName.APPROVED,),
        ),
        Transition(
            Action.PROMOTE,
            State.CANARY,
            State.LIVE,
            (Reason.STEP_PASSED, Reason.STEP_SKIPPED),
            CANARY,
            manual=(CheckName.APPROVED,),
        ),
        Transition(
            Action.REJECT,
            State.CANARY,
            State.REJECTED,
            (Reason.LIVE_SCORE_REFUTED, Reason.LIVE_LIMIT_BROKEN),
            CANARY,
        ),
        Transition(Action.SHELVE, State.CANARY, State.SHELVED, (Reason.INSUFFICIENT_EVIDENCE,), CANARY),
        # The owner holds it in shadow, or nobody may promote in steps any more.
        Transition(Action.HOLD, State.CANARY, State.SHADOW, (Reason.SHADOW_HELD,)),
        Transition(
            Action.RESTORE,
            State.RETIRED,
            State.LIVE,
            (Reason.RESTORED, Reason.ROLLED_BACK, Reason.PINNED),
            (CheckName.UNDO, CheckName.CAPACITY),
        ),
        # A pinned revision takes its task over again: the spec asks for it, or what replaced it has fallen.
        Transition(Action.RESTORE, State.LIVE, State.LIVE, (Reason.RESTORED, Reason.ROLLED_BACK)),
        Transition(Action.RESTORE, State.RETIRED, State.PENDING, (Reason.RESTORED,)),
        Transition(Action.RESTORE, State.DELETED, State.PENDING, (Reason.RESTORED,)),
        # The cause of a retirement is recorded when it is first seen, and when it is gone.
        Transition(Action.HOLD, State.LIVE, State.LIVE, (*CAUSES, Reason.STILL_VIABLE), (CheckName.VIABLE,)),
        Transition(
            Action.RETIRE,
            State.LIVE,
            State.RETIRED,
            (Reason.RETIREMENT_REQUESTED, Reason.SUPERSEDED, *CAUSES),
        ),
        Transition(Action.DELETE, State.RETIRED, State.DELETED, (Reason.UNDO_WINDOW_CLOSED, Reason.DELETED)),
        Transition(Action.DELETE, State.LIVE, State.DELETED, (Reason.DELETED,)),
    ]
    for state in WORKING:
        own.append(Transition(Action.RETRY, state, state, (Reason.JOB_RETRIED, *PASSING)))
        own.append(
            Transition(
                Action.FAIL,
                state,
                State.FAILED,
                (Reason.ATTEMPTS_EXHAUSTED, Reason.EVIDENCE_ERROR, *JOB_ENDS),
            )
        )
    for state in RESIDENT:
        # A canary that breaks a limit is rejected; who served before it serves all again.
        limits, asked = ((Reason.LIVE_LIMIT_BROKEN,), SERVED) if state is State.LIVE else ((), ())
        own.append(
            Transition(
                Action.QUARANTINE,
                state,
                State.QUARANTINED,
                (Reason.FINGERPRINT_MISMATCH, Reason.QUARANTINE_REQUESTED, *limits),
                (CheckName.FINGERPRINT,),
                live=asked,
            )
        )
    own.append(Transition(Action.RELEASE, State.QUARANTINED, State.EVALUATING, (Reason.RELEASED,)))
    for state in (*UNDECIDED, *STOPPED):
        own.append(
            Transition(Action.RETIRE, state, State.RETIRED, (Reason.RETIREMENT_REQUESTED, Reason.SUPERSEDED))
        )
        own.append(Transition(Action.DELETE, state, State.DELETED, (Reason.DELETED,)))
    for state in STOPPED:
        own.append(Transition(Action.RETRY, state, State.PENDING, (Reason.RETRY_REQUESTED,)))
    for state in (State.SHADOW, State.CANARY, *STICKY):
        own.append(Transition(Action.RECONSIDER, state, State.EVALUATING, (Reason.PREMISES_CHANGED,)))
    return tuple(own)


TRANSITIONS: tuple[Transition, ...] = _table()
_BY_EDGE = {(t.action, t.source, t.target): t for t in TRANSITIONS}


class IllegalTransition(ValueError):
    """Raised when an edge is asked for that the table lacks; a fault of this software, never retried."""


def transition(action: Action, source: State, target: State) -> Transition:
    """Find an edge of the table. Raises IllegalTransition."""
    try:
        return _BY_EDGE[action, source, target]
    except KeyError:
        raise IllegalTransition(f"{action} does not lead from {source} to {target}") from None
