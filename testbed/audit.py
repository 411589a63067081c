"""Reads the API server's audit log: what was asked, by whom, when, and with which answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

REFUSED = 400
FORBIDDEN = 403


@dataclass(frozen=True, slots=True)
class Request:
    """One request about objects; `received` is the moment at which it reached the API server, in seconds."""

    received: float
    user: str
    verb: str
    group: str
    resource: str
    subresource: str
    name: str
    namespace: str
    code: int

    @property
    def refused(self) -> bool:
        """Whether the API server said no, such as to a stale version."""
        return self.code >= REFUSED

    @property
    def right(self) -> tuple[str, str, str]:
        """The right that it needs, as RBAC names it: group, resource with subresource, verb."""
        resource = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        return self.group, resource, self.verb


class AuditLog:
    """The growing file; each read gives what was added since the last one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""

    def skip(self) -> None:
        """Leave out everything so far."""
        self._lines()

    def read(self, user: str) -> list[Request]:
        """Give a user's new requests, in the order of the log; whoever else asked is passed over."""
        mark = f'"{user}"'.encode()
        found = (request_of(json.loads(line)) for line in self._lines() if mark in line)
        return [request for request in found if request is not None and request.user == user]

    def _lines(self) -> list[bytes]:
        with self._path.open("rb") as file:
            file.seek(self._offset)
            content = self._rest + file.read()
            self._offset = file.tell()
        *lines, self._rest = content.split(b"\n")
        return lines


def request_of(entry: dict[str, Any]) -> Request | None:
    """Read one line of the log; None if it is about no object."""
    target = entry.get("objectRef")
    if target is None:
        return None
    return Request(
        received=datetime.fromisoformat(entry["requestReceivedTimestamp"]).timestamp(),
        user=entry["user"]["username"],
        verb=entry["verb"],
        group=target.get("apiGroup", ""),
        resource=target.get("resource", ""),
        subresource=target.get("subresource", ""),
        name=target.get("name", ""),
        namespace=target.get("namespace", ""),
        code=entry.get("responseStatus", {}).get("code", 0),
    )
