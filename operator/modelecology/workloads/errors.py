"""What can go wrong inside a job, and whether trying again can help.

    WorkloadError
    +-- DataNotFound, DataDigestMismatch, DataInvalid, DataEmpty, DataContaminated
    +-- BaseNotFound, BaseDigestMismatch, BaseNotCausalLM
    +-- ArtifactNotFound, ArtifactDigestMismatch, AdapterUnsound
    +-- TrainingDiverged, DeadlineExceeded, IntentInvalid, JudgeBroken
    +-- EngineRefused
    +-- EngineUnreachable                                          (retry)

The store's own errors carry a reason in the same way and pass through unchanged.
"""

from __future__ import annotations

from typing import ClassVar

from modelecology.api.reasons import Reason


class WorkloadError(Exception):
    """Base of every job error: the `reason` that users see, and whether a `retry` can help."""

    reason: ClassVar[Reason] = Reason.INTERNAL_ERROR
    retry: ClassVar[bool] = False


class DataNotFound(WorkloadError):
    """A data file is not there."""

    reason = Reason.DATA_NOT_FOUND


class DataDigestMismatch(WorkloadError):
    """A data file is not what its digest says."""

    reason = Reason.DATA_DIGEST_MISMATCH


class DataInvalid(WorkloadError):
    """A line of a data file cannot be used; the message names the file and the line."""

    reason = Reason.DATA_INVALID


class DataEmpty(WorkloadError):
    """A data file has no rows, or none on the wanted side of the split."""

    reason = Reason.DATA_EMPTY


class DataContaminated(WorkloadError):
    """Training rows stand in the sealed suite."""

    reason = Reason.DATA_CONTAMINATED


class BaseNotFound(WorkloadError):
    """The base directory is not there or lacks a file."""

    reason = Reason.BASE_NOT_FOUND


class BaseDigestMismatch(WorkloadError):
    """The base is not what its digest says."""

    reason = Reason.BASE_DIGEST_MISMATCH


class BaseNotCausalLM(WorkloadError):
    """The base is not a causal language model."""

    reason = Reason.BASE_NOT_CAUSAL_LM


class ArtifactNotFound(WorkloadError):
    """The adapter to import is not there."""

    reason = Reason.ARTIFACT_NOT_FOUND


class ArtifactDigestMismatch(WorkloadError):
    """The adapter to import is not what its digest says."""

    reason = Reason.ARTIFACT_DIGEST_MISMATCH


class AdapterUnsound(WorkloadError):
    """An adapter failed the admission check; the message names the file or the tensor."""

    reason = Reason.ADAPTER_UNSOUND


class TrainingDiverged(WorkloadError):
    """The loss stopped being a finite number."""

    reason = Reason.TRAINING_DIVERGED


class DeadlineExceeded(WorkloadError):
    """The job ran longer than it may."""

    reason = Reason.DEADLINE_EXCEEDED


class JudgeBroken(WorkloadError):
    """A scorer cannot be used or failed; that is never a pass."""

    reason = Reason.EVIDENCE_ERROR


class IntentInvalid(WorkloadError):
    """The job's orders cannot be read."""

    reason = Reason.INTENT_INVALID


class EngineRefused(WorkloadError):
    """The served endpoint answers, and will not do what it is asked."""

    reason = Reason.ENGINE_REFUSED


class EngineUnreachable(WorkloadError):
    """The served endpoint does not answer."""

    reason = Reason.ENGINE_UNREACHABLE
    retry = True
