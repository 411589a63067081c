"""The writes of a contender, read from the API server's audit log and sorted into what they are for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from testbed.audit import AuditLog, Request

_WRITING = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True, slots=True)
class WriteCounts:
    """Writes by what they are for."""

    decisions: int
    status: int  # of the specialists
    population_status: int
    other_patches: int  # finalizers and annotations
    events: int
    refused: int

    @property
    def total(self) -> int:
        """All of them."""
        return (
            self.decisions
            + self.status
            + self.population_status
            + self.other_patches
            + self.events
            + self.refused
        )

    def __add__(self, other: WriteCounts) -> WriteCounts:
        return WriteCounts(
            self.decisions + other.decisions,
            self.status + other.status,
            self.population_status + other.population_status,
            self.other_patches + other.other_patches,
            self.events + other.events,
            self.refused + other.refused,
        )


def writes(log: AuditLog, user: str, namespace: str) -> list[Request]:
    """Give a user's new writes in a namespace, in the order of the log."""
    return [r for r in log.read(user) if r.namespace == namespace and is_write(r)]


def is_write(request: Request) -> bool:
    """Say whether a request writes an object; asking for one's own rights is none."""
    return request.verb in _WRITING and not request.resource.startswith("selfsubject")


def count(found: Iterable[Request]) -> WriteCounts:
    """Sort writes into their counts."""
    kinds = [_kind(write) for write in found]
    return WriteCounts(
        decisions=kinds.count("decision"),
        status=kinds.count("status"),
        population_status=kinds.count("population"),
        other_patches=kinds.count("other"),
        events=kinds.count("event"),
        refused=kinds.count("refused"),
    )


def _kind(write: Request) -> str:
    if write.refused:
        return "refused"
    if write.resource == "events":
        return "event"
    if write.resource == "decisions":
        return "decision"
    if write.subresource == "status":
        return "population" if write.resource == "populations" else "status"
    return "other"
