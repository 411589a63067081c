"""Reads the API server's audit log: what was written, by whom, when, and with which answer."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

_WRITING = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_REFUSED = 400


@dataclass(frozen=True, slots=True)
class Write:
    """One request that writes; `received` is the moment at which it reached the API server, in seconds."""

    received: float
    user: str
    verb: str
    resource: str
    subresource: str
    name: str
    namespace: str
    code: int

    @property
    def refused(self) -> bool:
        """Whether the API server said no, such as to a stale version."""
        return self.code >= _REFUSED


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


class AuditLog:
    """The growing file; each read gives what was added since the last one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""

    def skip(self) -> None:
        """Leave out everything so far."""
        self.read("", "")

    def read(self, user: str, namespace: str) -> list[Write]:
        """Give a user's new writes in a namespace, in the order of the log."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            content = self._rest + file.read()
            self._offset = file.tell()
        *lines, self._rest = content.split(b"\n")
        mark = f'"{user}"'.encode()
        found = (write_of(json.loads(line)) for line in lines if mark in line)
        return [w for w in found if w is not None and (w.user, w.namespace) == (user, namespace)]


def write_of(entry: dict[str, Any]) -> Write | None:
    """Read one line of the log; None if it is no write of an object."""
    target = entry.get("objectRef")
    if entry.get("verb") not in _WRITING or target is None:
        return None
    if target.get("resource", "").startswith("selfsubject"):
        return None
    return Write(
        received=datetime.fromisoformat(entry["requestReceivedTimestamp"]).timestamp(),
        user=entry["user"]["username"],
        verb=entry["verb"],
        resource=target["resource"],
        subresource=target.get("subresource", ""),
        name=target.get("name", ""),
        namespace=target.get("namespace", ""),
        code=entry.get("responseStatus", {}).get("code", 0),
    )


def count(writes: Iterable[Write]) -> WriteCounts:
    """Sort writes into their counts."""
    kinds = [_kind(write) for write in writes]
    return WriteCounts(
        decisions=kinds.count("decision"),
        status=kinds.count("status"),
        population_status=kinds.count("population"),
        other_patches=kinds.count("other"),
        events=kinds.count("event"),
        refused=kinds.count("refused"),
    )


def _kind(write: Write) -> str:
    if write.refused:
        return "refused"
    if write.resource == "events":
        return "event"
    if write.resource == "decisions":
        return "decision"
    if write.subresource == "status":
        return "population" if write.resource == "populations" else "status"
    return "other"
