"""`retry`: a person asks for another try, by an annotation which the operator turns into a Decision."""

from __future__ import annotations

from datetime import datetime

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import RETRY_ANNOTATION
from modelecology.governance.lifecycle import TRANSITIONS

from .port import CliError, Cluster
from .signature import sign

# The states from which the lifecycle has an edge for a person's retry.
RETRYABLE = tuple(sorted({t.source for t in TRANSITIONS if Reason.RETRY_REQUESTED in t.reasons}))


def request_retry(cluster: Cluster, name: str, now: datetime) -> str:
    """Set the annotation `modelecology.io/retry` to `<user>@<time>`, and say so.

    Raises `CliError` when the specialist does not exist or is in no state that can be retried.
    """
    state = cluster.specialist(name).status.state
    if state not in RETRYABLE:
        raise CliError(
            f"{name} is {state}; only {', '.join(RETRYABLE)} can be retried.",
            f"kubectl ecology explain {name} says what it waits for.",
        )
    user = sign(cluster, name, RETRY_ANNOTATION, now)
    return f"Asked for another try of {name} as {user}."
