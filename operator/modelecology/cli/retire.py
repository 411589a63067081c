"""`retire`, `restore` and `undo`: a person retires a specialist, or takes that back, and is named for it."""

from __future__ import annotations

from datetime import datetime

from modelecology.api.reasons import Reason
from modelecology.api.specialist import Specialist
from modelecology.api.vocabulary import RETIRE_ANNOTATION, UNDO_ANNOTATION, Action, State, Target
from modelecology.governance.lifecycle import CAUSES

from .port import CliError, Cluster
from .rows import retirement_proposed
from .signature import sign

_GIT = "Where Git owns its manifest, change it there too."


def retire(cluster: Cluster, name: str, now: datetime) -> str:
    """Set the annotation `modelecology.io/retire` to `<revision>/<user>@<time>`, and say so.

    Where evidence proposes no retirement, the owner asks for it: `lifecycle.target` is set to Retired, too.
    Raises `CliError` when the specialist does not exist, or is retired already.
    """
    specialist = cluster.specialist(name)
    live, cause = specialist.status.live, retirement_proposed(specialist)
    if live is not None and cause is not None:
        user = sign(cluster, name, RETIRE_ANNOTATION, now, revision=live.revision)
        return f"Accepted the retirement of revision {live.revision} of {name} ({cause.reason}) as {user}."
    current = specialist.status.candidate or live
    if current is None or specialist.spec.lifecycle.target is Target.RETIRED:
        raise CliError(
            f"{name} has nothing that could be retired: it is {specialist.status.state}.",
            f"kubectl ecology explain {name} says what became of it.",
        )
    user = sign(cluster, name, RETIRE_ANNOTATION, now, revision=current.revision, target=Target.RETIRED)
    return f"Set lifecycle.target of {name} to Retired as {user}. {_GIT}"


def restore(cluster: Cluster, name: str, now: datetime) -> str:
    """Set `lifecycle.target` to Live and the annotation `modelecology.io/undo`, and say so.

    What evidence has retired is taken back by the annotation alone, as `undo` does. Raises `CliError` when
    the specialist does not exist or is not retired.
    """
    specialist = cluster.specialist(name)
    if specialist.spec.lifecycle.target is not Target.RETIRED:
        return undo(cluster, name, now)
    revision, _ = _retirement(cluster, specialist)
    user = sign(cluster, name, UNDO_ANNOTATION, now, revision=revision, target=Target.LIVE)
    return f"Set lifecycle.target of {name} to Live as {user}. {_GIT}"


def undo(cluster: Cluster, name: str, now: datetime) -> str:
    """Set the annotation `modelecology.io/undo` to `<revision>/<user>@<time>`, and say so.

    Raises `CliError` when the specialist does not exist or evidence has not retired it.
    """
    specialist = cluster.specialist(name)
    status = specialist.status
    if specialist.spec.lifecycle.target is Target.RETIRED:
        raise CliError(
            f"{name} is to be retired: its lifecycle.target says so.",
            f"kubectl ecology restore {name} sets it to Live.",
        )
    revision, reason = _retirement(cluster, specialist)
    if status.state not in (State.RETIRED, State.DELETED) or reason not in CAUSES:
        raise CliError(
            f"{name} is {status.state}; only what evidence has retired can be taken back.",
            f"kubectl ecology explain {name} says what became of it.",
        )
    user = sign(cluster, name, UNDO_ANNOTATION, now, revision=revision)
    return f"Took the retirement of revision {revision} of {name} back as {user}."


def _retirement(cluster: Cluster, specialist: Specialist) -> tuple[str, str]:
    """Give revision and reason of the last retirement: the revision that the spec asks for goes last.

    What gave way to it, or was unpinned, does not count. Where its Decision was pruned, they are those of the
    status.
    """
    each = (d.spec for d in cluster.decisions(specialist) if d.spec.action is Action.RETIRE)
    found = [spec for spec in each if spec.reason != Reason.SUPERSEDED]
    if found:
        return found[-1].subject.revision, found[-1].reason
    shown = specialist.status.previous or specialist.status.candidate
    return (shown.revision, shown.reason) if shown is not None else ("", "")
