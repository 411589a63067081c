"""The words of the lifecycle: states, actions, outcomes. The table of transitions is governance.lifecycle."""

from __future__ import annotations

from enum import StrEnum

# How people act on a Specialist. Each ends as a Decision that names who asked, and is served once.
RETRY_ANNOTATION = "modelecology.io/retry"  # <actor>@<time>
APPROVE_ANNOTATION = "modelecology.io/approve"  # <revision>/<actor>@<time>
PROMOTE_ANNOTATION = "modelecology.io/promote"  # <revision>/<actor>@<time>
RETIRE_ANNOTATION = "modelecology.io/retire"  # <revision>/<actor>@<time>
UNDO_ANNOTATION = "modelecology.io/undo"  # <revision>/<actor>@<time>
QUARANTINE_ANNOTATION = "modelecology.io/quarantine"  # <revision>/<actor>@<time>, and why after a space
RELEASE_ANNOTATION = "modelecology.io/release"  # <revision>/<actor>@<time>


class State(StrEnum):
    """Where a revision stands."""

    PENDING = "Pending"
    TRAINING = "Training"
    EVALUATING = "Evaluating"
    SHADOW = "Shadow"
    CANARY = "Canary"
    LIVE = "Live"
    RETIRED = "Retired"
    REJECTED = "Rejected"
    SHELVED = "Shelved"
    QUARANTINED = "Quarantined"
    FAILED = "Failed"
    DELETED = "Deleted"


class Action(StrEnum):
    """What a decision does to a revision."""

    HOLD = "Hold"
    PROPOSE = "Propose"
    EVALUATE = "Evaluate"
    PROVE = "Prove"
    ADMIT = "Admit"
    REJECT = "Reject"
    SHELVE = "Shelve"
    START_CANARY = "StartCanary"
    ADVANCE = "Advance"
    PROMOTE = "Promote"
    RETIRE = "Retire"
    RESTORE = "Restore"
    RETRY = "Retry"
    RECONSIDER = "Reconsider"
    QUARANTINE = "Quarantine"
    RELEASE = "Release"
    FAIL = "Fail"
    DELETE = "Delete"


class Outcome(StrEnum):
    """The four outcomes of a check and of a verdict."""

    PASS = "Pass"
    FAIL = "Fail"
    INCONCLUSIVE = "Inconclusive"
    ERROR = "Error"


class Disclosure(StrEnum):
    """What is told of a proof: passed or not; also a new best lead, rounded; or all results, item by item."""

    VERDICT = "Verdict"
    ROUNDED = "Rounded"
    FULL = "Full"


class Method(StrEnum):
    """How a proof is judged: unit by unit with e-processes, or once at its end with exact tests."""

    SEQUENTIAL = "Sequential"
    FIXED_SIZE = "FixedSize"


class LiveUnit(StrEnum):
    """What counts once in live evidence: whoever asked, or each request by itself."""

    ASKER = "Asker"
    REQUEST = "Request"


class OnInconclusive(StrEnum):
    """What becomes of a trial that has proved nothing when its time is over."""

    HOLD = "Hold"
    REJECT = "Reject"


class MatchBy(StrEnum):
    """What a rule of routing looks at. All but Header and Metadata: the last user message or the prompt."""

    HEADER = "Header"
    METADATA = "Metadata"
    KEYWORD = "Keyword"
    REGEX = "Regex"
    EXAMPLE = "Example"


class Target(StrEnum):
    """What the owner wants of a specialist."""

    LIVE = "Live"
    SHADOW = "Shadow"
    RETIRED = "Retired"


class Role(StrEnum):
    """What a suite's task is for: a Task is traded, an Invariant never is."""

    TASK = "Task"
    INVARIANT = "Invariant"


class Scope(StrEnum):
    """What an invariant looks at: the skill under the adapter, or only what routing would send it."""

    ADAPTER = "Adapter"
    ROUTED = "Routed"


class Scorer(StrEnum):
    """How an answer is scored, in [0, 1]; Perplexity gives exp(-mean negative log-likelihood)."""

    EXACT = "Exact"
    CONTAINS = "Contains"
    REGEX = "Regex"
    CHOICE = "Choice"
    PERPLEXITY = "Perplexity"
    ENTRY_POINT = "EntryPoint"
