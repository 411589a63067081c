"""`retire` and `undo`: a person accepts a proposed retirement, or takes one back, by an annotation."""

from __future__ import annotations

from datetime import datetime

from modelecology.api.vocabulary import RETIRE_ANNOTATION, UNDO_ANNOTATION, State, Target
from modelecology.governance.lifecycle import CAUSES

from .port import CliError, Cluster
from .rows import retirement_proposed
from .signature import sign


def retire(cluster: Cluster, name: str, now: datetime) -> str:
    """Set the annotation `modelecology.io/retire` to `<revision>/<user>@<time>`, and say so.

    Raises `CliError` when the specialist does not exist or its retirement is not proposed.
    """
    specialist = cluster.specialist(name)
    live, cause = specialist.status.live, retirement_proposed(specialist)
    if live is None or cause is None:
        raise CliError(
            f"Evidence does not ask for the retirement of {name}.",
            "To retire it all the same, set its lifecycle.target to Retired.",
        )
    user = sign(cluster, name, RETIRE_ANNOTATION, now, revision=live.revision)
    return f"Accepted the retirement of revision {live.revision} of {name} ({cause.reason}) as {user}."


def undo(cluster: Cluster, name: str, now: datetime) -> str:
    """Set the annotation `modelecology.io/undo` to `<revision>/<user>@<time>`, and say so.

    Raises `CliError` when the specialist does not exist or evidence has not retired it.
    """
    specialist = cluster.specialist(name)
    status, previous = specialist.status, specialist.status.previous
    if specialist.spec.lifecycle.target is Target.RETIRED:
        raise CliError(
            f"{name} is to be retired: its lifecycle.target says so.", "Set its lifecycle.target to Live."
        )
    if status.state is not State.RETIRED or previous is None or previous.reason not in CAUSES:
        raise CliError(
            f"{name} is {status.state}; only what evidence has retired can be taken back.",
            f"kubectl ecology explain {name} says what became of it.",
        )
    user = sign(cluster, name, UNDO_ANNOTATION, now, revision=previous.revision)
    return f"Took the retirement of revision {previous.revision} of {name} back as {user}."
