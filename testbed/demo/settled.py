"""When the show is over: nobody is on the way any more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from modelecology.api.meta import ConditionStatus, ConditionType
from modelecology.api.specialist import Specialist
from modelecology.api.vocabulary import State
from modelecology.cli.port import Snapshot

_ENDS = (State.REJECTED, State.SHELVED, State.FAILED, State.QUARANTINED)


class TookTooLong(Exception):
    """Raised when the population has not settled in time."""


def is_ready(specialist: Specialist) -> bool:
    """Say whether a specialist is where its spec wants it."""
    status = specialist.status
    if status.observed_generation != specialist.metadata.generation:
        return False
    ready = next((c for c in status.conditions if c.type == ConditionType.READY), None)
    return ready is not None and ready.status is ConditionStatus.TRUE


def is_settled(specialist: Specialist) -> bool:
    """Say whether a specialist has ended where it will stay: serving, refused, or held without a trial."""
    status = specialist.status
    held = status.state is State.PENDING and status.last_decision is not None
    return is_ready(specialist) or status.state in _ENDS or held


def all_settled(snapshot: Snapshot) -> bool:
    """Say whether everybody in a snapshot is settled."""
    return bool(snapshot.specialists) and all(is_settled(s) for s in snapshot.specialists)


def until(
    snapshots: Iterable[Snapshot],
    done: Callable[[Snapshot], bool],
    now: Callable[[], datetime],
    deadline: datetime,
) -> Iterator[Snapshot]:
    """Pass snapshots on until one is as wanted. Raises TookTooLong."""
    for snapshot in snapshots:
        yield snapshot
        if done(snapshot):
            return
        if now() > deadline:
            waiting = [s.metadata.name for s in snapshot.specialists if not is_settled(s)]
            raise TookTooLong(
                f"{', '.join(waiting) or 'the population'} did not settle by {deadline:%H:%M} UTC"
            )
