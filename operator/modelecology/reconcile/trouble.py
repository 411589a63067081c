"""Which reasons mean that something outside is in the way, so that a person is told."""

from __future__ import annotations

from modelecology.api.reasons import Reason

# Runners, engines and stores that do not answer: looked at again soon.
ENVIRONMENT = (
    Reason.RUNNER_UNAVAILABLE,
    Reason.STORE_UNAVAILABLE,
    Reason.STORE_FULL,
    Reason.ENGINE_UNREACHABLE,
)
# What keeps a specialist or a population from being judged or served, through no fault of its adapter.
OUTSIDE = (
    *ENVIRONMENT,
    Reason.RUNNER_REFUSED,
    Reason.ENGINE_REFUSED,
    Reason.STORE_FORMAT_UNKNOWN,
    Reason.ARTIFACT_CORRUPT,
    Reason.ARTIFACT_MISSING,
    Reason.LOG_BROKEN,
    Reason.DECISION_NAME_TAKEN,
    Reason.POPULATION_NOT_FOUND,
    Reason.SUITE_NOT_FOUND,
    Reason.TASK_NOT_IN_SUITE,
    Reason.TASK_NOT_TRADED,
    Reason.RANK_ABOVE_CAPACITY,
    Reason.DATA_NOT_FOUND,
    Reason.DATA_DIGEST_MISMATCH,
    Reason.DATA_INVALID,
    Reason.DATA_EMPTY,
    Reason.BASE_NOT_FOUND,
    Reason.BASE_DIGEST_MISMATCH,
    Reason.BASE_NOT_CAUSAL_LM,
    Reason.EVIDENCE_ERROR,
    Reason.DEADLINE_EXCEEDED,
    Reason.INTERNAL_ERROR,
)
# As above, and told as well, though nothing is wrong: somebody may want to make room, or is asked.
TOLD = (*OUTSIDE, Reason.BUDGET_SPENT, Reason.CAPACITY_FULL, Reason.AWAITING_APPROVAL)
