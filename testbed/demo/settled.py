"""When the show is over: nobody is on the way any more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from modelecology.api.meta import Condition, ConditionStatus, ConditionType
from modelecology.api.reasons import Reason
from modelecology.api.specialist import Specialist
from modelecology.api.vocabulary import State
from modelecology.cli.port import Snapshot
from modelecology.cli.rows import find

_ENDS = (State.REJECTED, State.SHELVED, State.FAILED, State.QUARANTINED)
_HELD = (Reason.INSUFFICIENT_EVIDENCE, Reason.GAIN_DOES_NOT_REPAY)


class TookTooLong(Exception):
    """Raised when the population has not settled in time."""


def is_ready(specialist: Specialist) -> bool:
    """Say whether a specialist is where its spec wants it."""
    ready = _ready(specialist)
    return ready is not None and ready.status is ConditionStatus.TRUE


def is_settled(specialist: Specialist) -> bool:
    """Say whether a specialist has ended where it will stay: serving, refused, or held without a trial."""
    ready = _ready(specialist)
    held = specialist.status.state is State.PENDING and ready is not None and ready.reason in _HELD
    return is_ready(specialist) or specialist.status.state in _ENDS or held


def _ready(specialist: Specialist) -> Condition | None:
    """Find what is said of the spec as it is now."""
    status = specialist.status
    if status.observed_generation != specialist.metadata.generation:
        return None
    return find(status.conditions, ConditionType.READY)


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
