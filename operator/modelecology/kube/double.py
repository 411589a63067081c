"""A Kubernetes API in memory, for tests and for trying the operator without a cluster.

It keeps what the operator relies on: resourceVersions and conflicts, AlreadyExists, the status subresource,
generations, finalizers, and garbage collection by owner. The same tests prove that for it and for a real API
server. It does not check schemas beyond the models of the kinds.
"""

from __future__ import annotations

import asyncio
import copy
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from modelecology.api.meta import API_VERSION

from .cache import InvalidObject, parse
from .cluster import DECISION, POPULATION, SPECIALIST, SUITE, Body, EventText, Kind
from .endpoint_slices import Behind
from .errors import AlreadyExists, ApiUnavailable, Conflict, NotFound, Refused

Watcher = Callable[[str, Kind, Body], None]
_PARSED = (POPULATION, SPECIALIST, SUITE)
CONFIG_MAP = Kind("ConfigMap", "configmaps")
_OWNED = (DECISION, CONFIG_MAP)


class Write(NamedTuple):
    """One write that changed something: create, patch, patch-status, delete or event."""

    verb: str
    kind: str
    name: str


@dataclass(slots=True)
class Told:
    """One Event that was posted."""

    kind: str
    name: str
    event: EventText


@dataclass(slots=True)
class InMemoryCluster:
    """A Cluster whose watchers are called on every change; `now` stamps creation and deletion.

    `down` makes every call raise ApiUnavailable; `lost_replies` writes take effect and then raise it.
    """

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    down: bool = False
    lost_replies: int = 0
    writes: list[Write] = field(default_factory=list)
    events: list[Told] = field(default_factory=list)
    lists: int = 0
    _objects: dict[tuple[Kind, str, str], Body] = field(default_factory=dict)
    _watchers: list[Watcher] = field(default_factory=list)
    _version: int = 0
    _behind: dict[tuple[str, str], Behind] = field(default_factory=dict)
    _followers: list[tuple[tuple[str, str], Callable[[Behind], None]]] = field(default_factory=list)

    # The port.

    async def list(self, kind: Kind, namespace: str | None, labels: str = "") -> list[Body]:
        """List objects; see Cluster."""
        self._answer()
        self.lists += 1
        wanted = [pair.split("=", 1) for pair in labels.split(",") if pair]
        return [
            copy.deepcopy(body)
            for (k, where, _), body in sorted(self._objects.items(), key=lambda item: item[0][1:])
            if k == kind
            and namespace in (None, where)
            and all(body["metadata"].get("labels", {}).get(name) == value for name, value in wanted)
        ]

    async def create(self, kind: Kind, namespace: str, body: Body) -> Body:
        """Create an object; see Cluster."""
        self._answer()
        name = str(body["metadata"]["name"])
        if (kind, namespace, name) in self._objects:
            raise AlreadyExists(f'{kind.plural} "{name}" already exists')
        made = copy.deepcopy({k: v for k, v in body.items() if k != "status"})
        made |= {"apiVersion": API_VERSION if kind != CONFIG_MAP else "v1", "kind": kind.kind}
        made["metadata"] |= {
            "namespace": namespace,
            "uid": str(uuid.uuid4()),
            "generation": 1,
            "creationTimestamp": self._stamp(),
        }
        self._check(kind, made)
        return self._store("create", "ADDED", kind, made)

    async def patch(self, kind: Kind, namespace: str, name: str, body: Body, *, status: bool = False) -> Body:
        """Merge a patch into an object or its status; see Cluster."""
        self._answer()
        known = self._objects.get((kind, namespace, name))
        if known is None:
            raise NotFound(f'{kind.plural} "{name}" not found')
        version = body.get("metadata", {}).get("resourceVersion")
        if version is not None and version != known["metadata"]["resourceVersion"]:
            raise Conflict(f'{kind.plural} "{name}" was changed since it was read')
        after = _merged(known, body)
        if status:
            after = {**copy.deepcopy(known), "status": after.get("status", {})}
        else:
            after.pop("status", None)
            if "status" in known:
                after["status"] = copy.deepcopy(known["status"])
            after["metadata"]["generation"] = known["metadata"]["generation"] + (
                after.get("spec") != known.get("spec")
            )
        after["metadata"]["resourceVersion"] = known["metadata"]["resourceVersion"]
        if after == known:
            return copy.deepcopy(known)
        self._check(kind, after)
        verb = "patch-status" if status else "patch"
        if after["metadata"].get("deletionTimestamp") and not after["metadata"].get("finalizers"):
            return self._remove(verb, kind, after)
        return self._store(verb, "MODIFIED", kind, after)

    async def remove(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        """Delete an object of this uid; see Cluster."""
        self._answer()
        known = self._objects.get((kind, namespace, name))
        if known is None:
            return
        if known["metadata"]["uid"] != uid:
            raise Conflict(f'{kind.plural} "{name}" is another object')
        self.delete(kind, namespace, name)

    async def config_map(self, namespace: str, name: str) -> Body | None:
        """Read a ConfigMap; see Cluster."""
        self._answer()
        return self.get(CONFIG_MAP, namespace, name)

    async def create_config_map(self, namespace: str, body: Body) -> Body:
        """Create a ConfigMap; see Cluster."""
        return await self.create(CONFIG_MAP, namespace, body)

    async def patch_config_map(self, namespace: str, name: str, body: Body) -> Body:
        """Merge a patch into a ConfigMap; see Cluster."""
        return await self.patch(CONFIG_MAP, namespace, name, body)

    async def post_event(self, kind: Kind, namespace: str, name: str, uid: str, event: EventText) -> None:
        """Post an Event; see Cluster."""
        self._answer()
        self.events.append(Told(kind.kind, name, event))

    async def follow_service(
        self,
        namespace: str,
        service: str,
        seen: Callable[[Behind], None],
        failed: Callable[[str], None],
    ) -> None:
        """Tell what `put_behind` puts behind a Service; see Cluster."""
        follower = ((namespace, service), seen)
        self._followers.append(follower)
        try:
            seen(self._behind.get((namespace, service), Behind()))
            await asyncio.Event().wait()
        finally:
            self._followers.remove(follower)

    async def close(self) -> None:
        """Do nothing: there is no connection."""

    # What a test, or a person at the keyboard, does with it.

    def watch(self, watcher: Watcher) -> None:
        """Call the watcher with ADDED, MODIFIED or DELETED on each change."""
        self._watchers.append(watcher)

    def put_behind(self, namespace: str, service: str, found: Behind) -> None:
        """Let these pods be behind a Service."""
        self._behind[namespace, service] = found
        for where, seen in tuple(self._followers):
            if where == (namespace, service):
                seen(found)

    def get(self, kind: Kind, namespace: str, name: str) -> Body | None:
        """Find an object."""
        found = self._objects.get((kind, namespace, name))
        return copy.deepcopy(found) if found is not None else None

    def delete(self, kind: Kind, namespace: str, name: str) -> None:
        """Delete an object as a person would: with finalizers it only begins. Raises NotFound."""
        known = self._objects.get((kind, namespace, name))
        if known is None:
            raise NotFound(f'{kind.plural} "{name}" not found')
        after = copy.deepcopy(known)
        if not after["metadata"].get("finalizers"):
            self._remove("delete", kind, after)
        elif "deletionTimestamp" not in after["metadata"]:
            after["metadata"]["deletionTimestamp"] = self._stamp()
            self._store("delete", "MODIFIED", kind, after)

    def _answer(self) -> None:
        if self.down:
            raise ApiUnavailable("the API double is down")

    def _stamp(self) -> str:
        return self.now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _check(self, kind: Kind, body: Body) -> None:
        if kind in _PARSED:
            try:
                parse(kind, body)
            except InvalidObject as error:
                raise Refused(f"{kind.kind} {body['metadata']['name']}: {error}") from error

    def _store(self, verb: str, event: str, kind: Kind, body: Body) -> Body:
        self._version += 1
        body["metadata"]["resourceVersion"] = str(self._version)
        meta = body["metadata"]
        self._objects[kind, meta["namespace"], meta["name"]] = body
        return self._written(verb, event, kind, body)

    def _remove(self, verb: str, kind: Kind, body: Body) -> Body:
        meta = body["metadata"]
        self._version += 1
        meta["resourceVersion"] = str(self._version)
        self._objects.pop((kind, meta["namespace"], meta["name"]), None)
        self._collect(meta["uid"])
        return self._written(verb, "DELETED", kind, body)

    def _written(self, verb: str, event: str, kind: Kind, body: Body) -> Body:
        self.writes.append(Write(verb, kind.kind, body["metadata"]["name"]))
        for watcher in self._watchers if kind != CONFIG_MAP else ():
            watcher(event, kind, copy.deepcopy(body))
        if self.lost_replies:
            self.lost_replies -= 1
            raise ApiUnavailable("the reply was lost")
        return copy.deepcopy(body)

    def _collect(self, owner: str) -> None:
        """Delete what the gone object owned."""
        for (kind, namespace, name), body in list(self._objects.items()):
            owners = body["metadata"].get("ownerReferences", ())
            if kind in _OWNED and any(each["uid"] == owner for each in owners):
                del self._objects[kind, namespace, name]


def _merged(before: Body, patch: Body) -> Body:
    """Merge as RFC 7386 says: a null takes away, lists are replaced."""
    after = copy.deepcopy(before)
    for name, value in patch.items():
        if value is None:
            after.pop(name, None)
        elif isinstance(value, dict):
            inner = after.get(name)
            after[name] = _merged(inner if isinstance(inner, dict) else {}, value)
        else:
            after[name] = copy.deepcopy(value)
    return after
