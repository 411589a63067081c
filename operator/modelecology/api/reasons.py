"""Every reason this software gives: the same string in a condition, an Event, a metric and the docs."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Reason(StrEnum):
    """A machine-readable cause, with the remedy a person needs beside it."""

    remedy: str

    def __new__(cls, value: str, remedy: str) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.remedy = remedy
        return member

    # Verdicts of the control point.
    GAP_PROVEN = "GapProven", "The contract's target is provably out of reach today; a candidate is made."
    INSUFFICIENT_EVIDENCE = (
        "InsufficientEvidence",
        "The gap is not proven on the fixed suite. Raise the target, or give the suite more items.",
    )
    HARD_INVARIANT_FAILURE = (
        "HardInvariantFailure",
        "The candidate breaks a skill that is never traded. Train with replay, or with fewer steps.",
    )
    GAIN_DOES_NOT_REPAY = (
        "PortfolioGainDoesNotRepayCost",
        "The change in the portfolio's value is not above the threshold, with confidence.",
    )
    SCREEN_SURVIVED = "ScreenSurvived", "The screen found nothing against the candidate; its proof is opened."
    PROOF_NOT_PASSED = (
        "ProofNotPassed",
        "The sealed items did not prove the gain and every invariant. Make a better candidate.",
    )
    GAIN_PROVEN = "PortfolioGainProven", "Every invariant holds and the portfolio gains more than it costs."
    EVIDENCE_ERROR = "EvidenceError", "The judge is broken or items are missing; it is never a pass. Retry."

    # Milestones of the lifecycle.
    ARTIFACT_COMMITTED = "ArtifactCommitted", "The adapter is in the store and sound."
    ARTIFACT_ADOPTED = "ArtifactAdopted", "An adapter of the same key was there already; nothing was trained."
    SERVED_SCORE_CONFIRMED = (
        "ServedScoreConfirmed",
        "The served endpoint scores as the evaluation said it would.",
    )
    SERVED_SCORE_REFUTED = (
        "ServedScoreRefuted",
        "Through the endpoint the candidate is no better than the incumbent.",
    )
    LIVE_SCORE_REFUTED = (
        "LiveScoreRefuted",
        "On live requests it is worse than who serves, by more than is allowed. Make a better candidate.",
    )
    LIVE_LIMIT_BROKEN = (
        "LiveLimitBroken",
        "On live requests too many of its answers failed, came late or were wrong. Read the message.",
    )
    STEP_PASSED = "StepPassed", "What users got in this step of the canary bears the next one."
    STEP_SKIPPED = (
        "StepSkipped",
        "What users got bears the next step; a person ended this one before its time and number were full.",
    )
    SUPERSEDED = "Superseded", "A newer revision of the same specialist went live."
    RETIREMENT_REQUESTED = (
        "RetirementRequested",
        "lifecycle.target is Retired. Set it to Live within the undo window to restore.",
    )
    CONTRACT_WITHDRAWN = (
        "ContractWithdrawn",
        "The suite has no such task any more. Let it go: kubectl ecology retire NAME.",
    )
    UNUSED = "Unused", "Nobody asks for its task. Let it go: kubectl ecology retire NAME."
    QUALITY_DRIFTED = (
        "QualityDrifted",
        "What users get is worse than the evaluation said. Let it go: kubectl ecology retire NAME.",
    )
    DOMINATED = (
        "Dominated",
        "Another route is at least as good and costs no more. Let it go: kubectl ecology retire NAME.",
    )
    NEGATIVE_VALUE = (
        "NegativeValue",
        "The population is worth more without it. Let it go: kubectl ecology retire NAME.",
    )
    STILL_VIABLE = "StillViable", "The cause for its retirement is gone, so it stays."
    RESTORED = (
        "Restored",
        "What was retired was taken back within its undo window, or a pinned revision is asked for again.",
    )
    UNDO_WINDOW_CLOSED = "UndoWindowClosed", "The undo window is over and the weights are deleted."
    DELETED = "Deleted", "The Specialist was deleted; its adapters were unloaded."
    RETRY_REQUESTED = "RetryRequested", "A person asked for another try."
    PREMISES_CHANGED = (
        "PremisesChanged",
        "The policy, the suite or the incumbent changed, so the verdict is taken again.",
    )
    FINGERPRINT_MISMATCH = (
        "FingerprintMismatch",
        "The engine's answers are not the evaluated adapter's. Look at the engine, then retry.",
    )
    QUARANTINE_REQUESTED = (
        "QuarantineRequested",
        "A person took it out of service. To let it earn its place again: kubectl ecology release NAME.",
    )
    RELEASED = "Released", "A person let it out of quarantine; it has to earn its place again."
    ROLLED_BACK = "RolledBack", "What replaced it was quarantined, so it serves again."
    PINNED = "Pinned", "lifecycle.pinned names it, so it answers who asks for it by its served name."
    PIN_NOT_HELD = (
        "PinNotHeld",
        "A revision that lifecycle.pinned names is not live. Read the message, or take it out of the list.",
    )
    JOB_RETRIED = "JobRetried", "The job failed for a passing cause and is tried again after a pause."
    ATTEMPTS_EXHAUSTED = "AttemptsExhausted", "The job failed too often. Read the message, then retry."

    # Waiting: nothing is lost, the operator goes on by itself.
    POPULATION_NOT_FOUND = "PopulationNotFound", "Create the Population that spec.populationRef.name names."
    SUITE_NOT_FOUND = "SuiteNotFound", "Create the EvaluationSuite that spec.suiteRef.name names."
    TASK_NOT_IN_SUITE = "TaskNotInSuite", "Use a task of the suite in spec.contract.task."
    TASK_NOT_TRADED = "TaskNotTraded", "spec.contract.task names an invariant; name a task of role Task."
    MATCH_PATTERN_UNUSABLE = (
        "MatchPatternUnusable",
        "Gateways cannot use a regex of contract.match, so it routes nothing. Mend the one that is named.",
    )
    CLASSIFIER_MISSING = (
        "ClassifierMissing",
        "Examples of contract.match route nothing without a classifier. Set serving.gateway.classifier of "
        "the Population, or take them out.",
    )
    RANK_ABOVE_CAPACITY = "RankAboveCapacity", "Lower lora.rank, or raise serving.capacity.maxRank."
    BASELINE_RUNNING = "BaselineRunning", "The generalist is being evaluated on the suite."
    QUEUED = "Queued", "Other jobs of the population run first (spec.jobs.parallelism)."
    TRAINING = "Training", "The training job runs."
    IMPORTING = "Importing", "The import job runs."
    EVALUATING = "Evaluating", "The evaluation job runs."
    SHADOWING = "Shadowing", "The candidate is loaded and scored through the served endpoint."
    LIVE_SCORING = "LiveScoring", "Answers to live requests are scored, beside those of who serves."
    CANARY_RUNNING = "CanaryRunning", "A part of the users gets its answers, and these are scored."
    AWAITING_APPROVAL = (
        "AwaitingApproval",
        "It goes live when a person approves it: kubectl ecology approve NAME.",
    )
    PROVING = "Proving", "The engine is loading the adapter, and its answers are compared."
    UNLOADING = "Unloading", "The engines let the adapter go, and it is archived once they have proved it."
    BUDGET_SPENT = "BudgetSpent", "The budget's window is used up. It goes on when the window moves."
    POLICY_DRIFTED = (
        "PolicyDrifted",
        "The policy was edited since the trial began. It ends under the old one; the next has the new.",
    )
    SUITE_EXHAUSTED = (
        "SuiteExhausted",
        "What was told of the suite has used it up: nothing is promoted on it. Make one of fresh items.",
    )
    CAPACITY_FULL = "CapacityFull", "All adapter slots are taken. Retire one or raise capacity.adapters."
    BACKOFF = "Backoff", "A failed job waits before its next try."
    RUNNER_UNAVAILABLE = (
        "RunnerUnavailable",
        "No job runner answers. Start it or mend spec.jobs.ray.address; see whether KubeRay's operator runs.",
    )
    RUNNER_REFUSED = (
        "RunnerRefused",
        "The job runner refused the request. Check spec.jobs.ray.tokenSecretRef or spec.jobs.kubeRay.",
    )
    ENGINE_UNREACHABLE = (
        "EngineUnreachable",
        "The engine does not answer. Start it or mend serving.endpoints.",
    )
    ENGINE_REFUSED = "EngineRefused", "The engine refused a request. Read the message."
    STORE_UNAVAILABLE = (
        "StoreUnavailable",
        "The store cannot be read or written. Mount it where spec.store.uri says, or mend spec.store.s3.",
    )
    STORE_FULL = "StoreFull", "No space is left in the store. Free some; the job is tried again."
    LOG_BROKEN = (
        "LogBroken",
        "The chain of Decisions has a gap or a wrong digest. Restore them from a backup.",
    )
    DECISION_NAME_TAKEN = (
        "DecisionNameTaken",
        "Delete the Decision that the message names, or wait until it is garbage-collected.",
    )
    STORE_FORMAT_UNKNOWN = "StoreFormatUnknown", "The store was written by a newer version. Upgrade."

    # What a job can say.
    DATA_NOT_FOUND = "DataNotFound", "Mend the uri, or put the file there."
    DATA_DIGEST_MISMATCH = (
        "DataDigestMismatch",
        "The file is not what its digest says. Mend the one or the other.",
    )
    DATA_INVALID = "DataInvalid", "Mend the named line of the JSONL file."
    DATA_EMPTY = "DataEmpty", "The file has no rows."
    DATA_CONTAMINATED = "DataContaminated", "Training rows stand in the sealed suite. Take them out."
    BASE_NOT_FOUND = "BaseNotFound", "Mend spec.generalist.model, or prepare the base there."
    BASE_DIGEST_MISMATCH = "BaseDigestMismatch", "The base is not what spec.generalist.digest says."
    BASE_NOT_CAUSAL_LM = "BaseNotCausalLM", "The base must be a causal language model."
    ADAPTER_UNSOUND = "AdapterUnsound", "The adapter failed the admission check. Read the message."
    ARTIFACT_NOT_FOUND = "ArtifactNotFound", "Mend source.artifact.uri, or put the adapter there."
    ARTIFACT_DIGEST_MISMATCH = "ArtifactDigestMismatch", "The adapter is not what its digest says."
    ARTIFACT_CORRUPT = "ArtifactCorrupt", "Stored bytes changed after their commit. Restore the store."
    ARTIFACT_MISSING = "ArtifactMissing", "The store has no such artifact."
    TRAINING_DIVERGED = "TrainingDiverged", "The loss is not finite. Lower recipe.learningRate."
    DEADLINE_EXCEEDED = "DeadlineExceeded", "The job ran out of time. Raise jobs.deadline or lower steps."
    INTENT_INVALID = "IntentInvalid", "The job's orders cannot be read; operator and workload differ."
    INTERNAL_ERROR = "InternalError", "A fault of this software. The job's log has the traceback."

    # Conditions that are simply fine.
    READY = "Ready", "Everything is as the spec asks."
    SERVING = "Serving", "A live revision is loaded and proved on every endpoint."
    RETIRED = "Retired", "The specialist is retired, as its spec asks."
    SHADOW_HELD = "ShadowHeld", "The specialist stays in shadow, as lifecycle.target asks."


_BY_VALUE = {reason.value: reason for reason in Reason}


def named(reason: str) -> Reason:
    """Find a reason by its string; one that this version does not know is an internal error."""
    return _BY_VALUE.get(reason, Reason.INTERNAL_ERROR)


class Mover(StrEnum):
    """Who moves what stands still for a reason."""

    NOBODY = "nobody"
    EVIDENCE = "evidence"
    PERSON = "a person"


# All is well, or the operator is at it, or time alone does it.
_BY_ITSELF = frozenset(
    {
        Reason.ARTIFACT_ADOPTED,
        Reason.ARTIFACT_COMMITTED,
        Reason.BACKOFF,
        Reason.BASELINE_RUNNING,
        Reason.BUDGET_SPENT,
        Reason.CANARY_RUNNING,
        Reason.DELETED,
        Reason.EVALUATING,
        Reason.GAIN_PROVEN,
        Reason.GAP_PROVEN,
        Reason.IMPORTING,
        Reason.JOB_RETRIED,
        Reason.LIVE_SCORING,
        Reason.PINNED,
        Reason.POLICY_DRIFTED,
        Reason.PREMISES_CHANGED,
        Reason.PROVING,
        Reason.QUEUED,
        Reason.READY,
        Reason.RELEASED,
        Reason.RESTORED,
        Reason.RETIRED,
        Reason.RETIREMENT_REQUESTED,
        Reason.RETRY_REQUESTED,
        Reason.ROLLED_BACK,
        Reason.SCREEN_SURVIVED,
        Reason.SERVED_SCORE_CONFIRMED,
        Reason.SERVING,
        Reason.SHADOWING,
        Reason.SHADOW_HELD,
        Reason.STEP_PASSED,
        Reason.STEP_SKIPPED,
        Reason.STILL_VIABLE,
        Reason.SUPERSEDED,
        Reason.TRAINING,
        Reason.UNDO_WINDOW_CLOSED,
        Reason.UNLOADING,
    }
)
# Another suite, policy, incumbent or candidate changes the verdict; nothing is broken.
_BY_EVIDENCE = frozenset({Reason.GAIN_DOES_NOT_REPAY, Reason.INSUFFICIENT_EVIDENCE, Reason.PROOF_NOT_PASSED})
# The message says all that there is to do, or there is nothing to do.
_NO_REMEDY = _BY_ITSELF | {Reason.GAIN_DOES_NOT_REPAY}


def mover(reason: str) -> Mover:
    """Say who moves what stands still for a reason; an unknown one is for a person to look at."""
    found = _BY_VALUE.get(reason)
    if found in _BY_ITSELF:
        return Mover.NOBODY
    return Mover.EVIDENCE if found in _BY_EVIDENCE else Mover.PERSON


def remedy_of(reason: str) -> str:
    """Say what to do about a reason; where there is nothing to do, or it is unknown, an empty string."""
    found = _BY_VALUE.get(reason)
    return "" if found is None or found in _NO_REMEDY else found.remedy


def reference() -> str:
    """Render the page docs/reasons.md."""
    rows = "\n".join(f"| `{r}` | {mover(r)} | {r.remedy} |" for r in sorted(Reason))
    return f"""# Reasons

The same string stands in a condition, an Event, a Decision and a metric. This page is rendered by
`python -m modelecology.api.reasons`.

The second column says who moves what stands still for this reason: nobody, because the operator or time does;
evidence, that is another suite, policy, incumbent or candidate; or a person.

| reason | moved by | what it means, or what to do |
|---|---|---|
{rows}
"""


if __name__ == "__main__":
    print(reference(), end="")
