"""`approve`: a person lets a revision go live, by an annotation which the operator turns into a Decision."""

from __future__ import annotations

from datetime import datetime

from modelecology.api.vocabulary import APPROVE_ANNOTATION

from .port import CliError, Cluster
from .rows import awaits_approval
from .signature import sign


def approve(cluster: Cluster, name: str, now: datetime) -> str:
    """Set the annotation `modelecology.io/approve` to `<revision>/<user>@<time>`, and say so.

    Raises `CliError` when the specialist does not exist or does not wait for approval.
    """
    specialist = cluster.specialist(name)
    status = specialist.status
    if status.observed_generation < specialist.metadata.generation:
        raise CliError(
            f"The spec of {name} has changed, and the operator has not looked at it yet.",
            f"Look at it again: kubectl ecology explain {name}.",
        )
    if not awaits_approval(specialist) or status.candidate is None:
        raise CliError(
            f"{name} is {status.state} and does not wait for approval.",
            f"kubectl ecology explain {name} says what it waits for.",
        )
    revision = status.candidate.revision
    user = sign(cluster, name, APPROVE_ANNOTATION, now, revision=revision)
    return f"Approved revision {revision} of {name} as {user}."
