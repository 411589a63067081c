"""`promote`: a person ends the step of a canary, by an annotation that becomes a Decision."""

from __future__ import annotations

from datetime import datetime

from modelecology.api.vocabulary import PROMOTE_ANNOTATION, State

from .port import CliError, Cluster
from .signature import sign


def promote(cluster: Cluster, name: str, now: datetime) -> str:
    """Set the annotation `modelecology.io/promote` to `<revision>/<user>@<time>`, and say so.

    Raises `CliError` when the specialist does not exist or is no canary.
    """
    specialist = cluster.specialist(name)
    status = specialist.status
    if status.state is not State.CANARY or status.candidate is None:
        raise CliError(
            f"{name} is {status.state} and no canary, so there is no step to end.",
            f"kubectl ecology explain {name} says what it waits for.",
        )
    revision = status.candidate.revision
    user = sign(cluster, name, PROMOTE_ANNOTATION, now, revision=revision)
    return f"Ended the step of revision {revision} of {name} as {user}. Evidence has to bear it all the same."
