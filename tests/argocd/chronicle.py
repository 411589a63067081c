"""Writes down every status that Argo CD gives an Application, as it is given."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from kubernetes import client, watch
from urllib3.exceptions import HTTPError

_WATCH_SECONDS = 3
_PAUSE_SECONDS = 1.0
_GONE = 410  # the server has forgotten the version that a watch is to go on from


@dataclass(frozen=True)
class Moment:
    """What an Application's status said, and since when."""

    time: datetime
    sync: str
    health: str
    revision: str
    phase: str
    message: str

    @property
    def line(self) -> str:
        """The moment as a line of a transcript."""
        return (
            f"{self.time:%H:%M:%S}  {self.revision[:7] or '-':7}  {self.sync or '-':9}  "
            f"{self.health or '-':11}  {self.phase or '-':9}  {self.message}".rstrip()
        )


def flaps_in(moments: Iterable[Moment]) -> list[Moment]:
    """Find each fall out of sync with a commit that the Application had been in sync with.

    A new commit is out of sync until it is applied; that is no flap.
    """
    synced: set[str] = set()
    found, before = [], ""
    for moment in moments:
        if moment.sync == "Synced":
            synced.add(moment.revision)
        elif moment.sync == "OutOfSync" and before != "OutOfSync" and moment.revision in synced:
            found.append(moment)
        before = moment.sync
    return found


class Chronicle:
    """The history of one Application, from a watch; what does not change is written down once."""

    def __init__(self, api: Any, namespace: str, application: str) -> None:
        self.gaps = 0  # how often something may have been missed
        self._moments: list[Moment] = []
        self._done = threading.Event()
        objects: Any = client.CustomObjectsApi(api)
        self._thread = threading.Thread(
            target=self._read, args=(objects, namespace, application), name="chronicle"
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    @property
    def moments(self) -> list[Moment]:
        """Everything so far."""
        return list(self._moments)

    def healths(self) -> list[str]:
        """Name the healths, in order."""
        named = [m.health for m in self.moments if m.health]
        return [h for n, h in enumerate(named) if n == 0 or named[n - 1] != h]

    def flaps(self) -> list[Moment]:
        """Find each moment at which it fell out of sync with a commit that it had been in sync with."""
        return flaps_in(self._moments)

    def transcript(self) -> str:
        """The history as text."""
        return "\n".join(moment.line for moment in self.moments)

    def _read(self, objects: Any, namespace: str, application: str) -> None:
        version = None
        while not self._done.is_set():
            watching: Any = watch.Watch()  # type: ignore[no-untyped-call]  # no types there
            try:
                for event in watching.stream(
                    objects.list_namespaced_custom_object,
                    "argoproj.io",
                    "v1alpha1",
                    namespace,
                    "applications",
                    field_selector=f"metadata.name={application}",
                    resource_version=version,
                    timeout_seconds=_WATCH_SECONDS,
                ):
                    self._note(event["object"].get("status", {}))
            except HTTPError:
                # The connection broke. Nothing is missed, for it goes on from the last version.
                self._done.wait(_PAUSE_SECONDS)
            except client.ApiException as error:
                if error.status == _GONE:
                    self.gaps += 1
                    watching.resource_version = None
                self._done.wait(_PAUSE_SECONDS)
            version = watching.resource_version

    def _note(self, status: dict[str, Any]) -> None:
        sync, operation = status.get("sync", {}), status.get("operationState", {})
        moment = Moment(
            datetime.now(UTC),
            sync.get("status", ""),
            status.get("health", {}).get("status", ""),
            sync.get("revision", ""),
            operation.get("phase", ""),
            operation.get("message", ""),
        )
        if not self._moments or replace(self._moments[-1], time=moment.time) != moment:
            self._moments.append(moment)
