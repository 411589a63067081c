"""`quarantine` and `release`: a person takes a revision out of service, or lets it earn its place again."""

from __future__ import annotations

from datetime import datetime

from modelecology.api.specialist import RevisionStatus, Specialist
from modelecology.api.vocabulary import QUARANTINE_ANNOTATION, RELEASE_ANNOTATION, State
from modelecology.governance.lifecycle import RESIDENT

from .port import CliError, Cluster
from .signature import sign

_LONGEST_REASON = 500


def quarantine(
    cluster: Cluster, name: str, reason: str, now: datetime, *, revision: str | None = None
) -> str:
    """Set the annotation `modelecology.io/quarantine` to `<revision>/<user>@<time> <reason>`, and say so.

    It is about the given revision, else the canary, else the live one, else the one in shadow. Raises
    `CliError` when the specialist does not exist, engines hold none of it, or the reason is too long.
    """
    why = " ".join(reason.split())
    if len(why) > _LONGEST_REASON:
        raise CliError(f"The reason has {len(why)} characters.", f"Say it in {_LONGEST_REASON}.")
    specialist = cluster.specialist(name)
    chosen = _serving(specialist) if revision is None else _named(specialist, revision)
    if chosen is None and revision is not None:
        raise CliError(
            f"Revision {revision} of {name} is not on the engines.",
            f"kubectl ecology tree says which are, and kubectl ecology explain {name} what became of it.",
        )
    if chosen is None:
        raise CliError(
            f"{name} is {specialist.status.state}; only what is Shadow, Canary or Live can be quarantined.",
            f"kubectl ecology explain {name} says what became of it.",
        )
    user = sign(cluster, name, QUARANTINE_ANNOTATION, now, revision=chosen.revision, why=why)
    return f"Took revision {chosen.revision} of {name} out of service as {user}."


def release(cluster: Cluster, name: str, now: datetime) -> str:
    """Set the annotation `modelecology.io/release` to `<revision>/<user>@<time>`, and say so.

    Raises `CliError` when the specialist does not exist or its newest revision is not quarantined.
    """
    specialist = cluster.specialist(name)
    status, newest = specialist.status, specialist.status.candidate
    if status.state is not State.QUARANTINED or newest is None:
        raise CliError(
            f"{name} is {status.state}; only what is Quarantined can be released.",
            f"kubectl ecology explain {name} says what it waits for.",
        )
    user = sign(cluster, name, RELEASE_ANNOTATION, now, revision=newest.revision)
    return f"Released revision {newest.revision} of {name} as {user}; it must earn its place again."


def _named(specialist: Specialist, revision: str) -> RevisionStatus | None:
    """Find a revision that engines may hold, by its digest or its served name."""
    status = specialist.status
    each = (r for r in (status.live, status.candidate, status.previous, *status.pinned) if r is not None)
    return next((r for r in each if revision in (r.revision, r.served_name) and r.state in RESIDENT), None)


def _serving(specialist: Specialist) -> RevisionStatus | None:
    """Find the canary, else what answers users, else what is in shadow."""
    live, newest = specialist.status.live, specialist.status.candidate
    if newest is not None and newest.state is State.CANARY:
        return newest  # who served before it serves on
    if live is not None:
        return live
    return newest if newest is not None and newest.state in (State.SHADOW, State.CANARY) else None
