"""An API client that kills its own process with SIGKILL before, or after, each of its writes, once each.

What was died of lies in a file, a line each, so a successor gets one write further. Writes that differ in
nothing but times, sums and digests are the same write: else it would never end. Where a file of that name
with .only behind it exists, only writes that begin like one of its lines are died of.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
from enum import StrEnum
from pathlib import Path
from typing import Any

from kubernetes.aio import client

from modelecology.kube.cluster import DECISION, ApiCluster, Body, Kind, connected

# They go on with the clock, or follow from what does.
_MOVING = frozenset({"lastTransitionTime", "since", "until", "expires", "ledger", "ownLedger", "digest"})
# A read-modify-write names the version that it has seen.
_SEEN = frozenset({"resourceVersion"})


class Moment(StrEnum):
    """When a write is died of: before it is sent, or after the server has answered."""

    BEFORE = "before"
    AFTER = "after"


class MortalCluster(ApiCluster):
    """The real Kubernetes API, for a process that dies of each write; `deaths` is the file of them."""

    def __init__(self, api: client.ApiClient, moment: Moment, deaths: Path) -> None:
        super().__init__(api)
        self._moment = moment
        self._deaths = deaths
        self._only = only(deaths)

    @classmethod
    async def reach(cls, told: str) -> MortalCluster:
        """Connect as ApiCluster does; told MOMENT:FILE. Raises Refused."""
        moment, _, file = told.partition(":")
        return cls(await connected(), Moment(moment), Path(file))

    async def create(self, kind: Kind, namespace: str, body: Body) -> Body:
        """Create an object; see Cluster."""
        what = _created(kind, body)
        self._die(Moment.BEFORE, what)
        created = await super().create(kind, namespace, body)
        self._die(Moment.AFTER, what)
        return created

    async def patch(self, kind: Kind, namespace: str, name: str, body: Body, *, status: bool = False) -> Body:
        """Merge a patch; see Cluster."""
        what = _patched(kind, name, body, status)
        self._die(Moment.BEFORE, what)
        patched = await super().patch(kind, namespace, name, body, status=status)
        self._die(Moment.AFTER, what)
        return patched

    def _die(self, moment: Moment, what: str) -> None:
        if moment is not self._moment or what in deaths(self._deaths):
            return
        if self._only is not None and not what.startswith(self._only):
            return
        with self._deaths.open("a", encoding="utf-8") as file:
            file.write(what + "\n")
        os.kill(os.getpid(), signal.SIGKILL)


def deaths(file: Path) -> list[str]:
    """List what was died of, in order."""
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


def only(file: Path) -> tuple[str, ...] | None:
    """Say how the writes begin that are died of; None where it is all of them."""
    told = file.with_name(f"{file.name}.only")
    return tuple(told.read_text(encoding="utf-8").splitlines()) if told.exists() else None


def _created(kind: Kind, body: Body) -> str:
    name = body["metadata"]["name"]
    if kind == DECISION:
        return f"{kind.kind} {body['spec']['sequence']} {body['spec']['action']}"
    return f"{kind.kind} {name}"


def _patched(kind: Kind, name: str, body: Body, status: bool) -> str:
    said = body.get("status", {})
    ready = next((c["reason"] for c in said.get("conditions", ()) if c["type"] == "Ready"), "")
    still = hashlib.sha256(json.dumps(_still(body), sort_keys=True).encode()).hexdigest()[:8]
    words = ["status", said.get("state", ""), ready] if status else ["object"]
    return " ".join(word for word in (kind.kind, name, *words, still) if word)


def _still(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _still(v) for k, v in value.items() if k not in _MOVING | _SEEN}
    if isinstance(value, list):
        return [_still(each) for each in value]
    return value
