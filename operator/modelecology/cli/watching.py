"""Watches: one thread per kind reads changes as the API server sends them; nothing is polled."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

from urllib3.exceptions import HTTPError

from .port import ClusterError

Items = list[dict[str, Any]]
Lister = Callable[[str], tuple[Items, str]]
Opener = Callable[[str, str, int], Any]

# The server ends a watch after this many seconds, so that a dead connection cannot pass for a quiet one.
_WATCH_SECONDS = 240
_BACKOFF_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0)
# Changes that come together are shown together.
_BURST_SECONDS = 0.05
_BURST_LIMIT = 200
_FAREWELL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Change:
    """What a watching thread saw: all items, one changed item, one deleted name, or trouble."""

    plural: str
    items: Items | None = None
    changed: dict[str, Any] | None = None
    deleted: str | None = None
    trouble: str | None = None
    fatal: ClusterError | None = None


class Watching:
    """Follows several kinds at once; leaving the context ends its threads."""

    def __init__(self, lister: Lister, opener: Opener, plurals: tuple[str, ...]) -> None:
        self._lister = lister
        self._opener = opener
        self._plurals = plurals
        self._changes: queue.Queue[_Change] = queue.Queue()
        self._stop = threading.Event()
        self._open: dict[str, Any] = {}
        self._threads = [
            # Daemons: a thread that hangs in a read must not keep a terminal from its prompt.
            threading.Thread(target=self._run, args=(plural,), name=f"watch-{plural}", daemon=True)
            for plural in plurals
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for response in list(self._open.values()):
            # Only this wakes a thread that waits for the network; the thread then closes the response itself.
            with contextlib.suppress(HTTPError, OSError, ValueError, RuntimeError):
                response.shutdown()
        for thread in self._threads:
            thread.join(_FAREWELL_SECONDS)

    def rounds(self, tick: float) -> Iterator[tuple[dict[str, Items], str]]:
        """Yield all items by kind, and what is wrong, after each burst of changes or `tick` seconds.

        Begins when every kind is listed. Raises `ClusterError` when a first list fails or a retry is vain.
        """
        seen: dict[str, dict[str, dict[str, Any]]] = {}
        troubles: dict[str, str] = {}
        while True:
            for change in self._burst(tick):
                self._apply(change, seen, troubles)
            if len(seen) == len(self._plurals):
                yield {p: list(seen[p].values()) for p in self._plurals}, next(iter(troubles.values()), "")

    def _burst(self, tick: float) -> Iterator[_Change]:
        try:
            yield self._changes.get(timeout=tick)
            for _ in range(_BURST_LIMIT):
                yield self._changes.get(timeout=_BURST_SECONDS)
        except queue.Empty:
            return

    def _apply(
        self, change: _Change, seen: dict[str, dict[str, dict[str, Any]]], troubles: dict[str, str]
    ) -> None:
        if change.fatal is not None:
            raise change.fatal
        if change.trouble is not None:
            troubles[change.plural] = change.trouble
            return
        troubles.pop(change.plural, None)
        if change.items is not None:
            seen[change.plural] = {_key(item): item for item in change.items}
        elif change.changed is not None:
            seen[change.plural][_key(change.changed)] = change.changed
        elif change.deleted is not None:
            seen[change.plural].pop(change.deleted, None)

    def _run(self, plural: str) -> None:
        failures = 0
        listed = False
        version = ""
        while not self._stop.is_set():
            try:
                if not version:
                    items, version = self._lister(plural)
                    listed = True
                    self._changes.put(_Change(plural, items=items))
                version = self._read(plural, version)
                failures = 0
            except ClusterError as error:
                if not error.retry or not listed:
                    self._changes.put(_Change(plural, fatal=error))
                    return
                self._changes.put(_Change(plural, trouble=error.message))
                version = ""
                self._stop.wait(_BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)])
                failures += 1

    def _read(self, plural: str, version: str) -> str:
        """Read one watch to its end; gives the version to go on from, or none for a new list."""
        response = self._opener(plural, version, _WATCH_SECONDS)
        self._open[plural] = response
        try:
            for line in _lines(response):
                if self._stop.is_set():
                    return version
                event = json.loads(line)
                item = event["object"]
                if event["type"] == "ERROR":
                    if item.get("code") == HTTPStatus.GONE:
                        return ""
                    raise ClusterError(f"The watch of {plural} failed: {item.get('message')}", retry=True)
                version = str(item["metadata"]["resourceVersion"])
                if event["type"] == "DELETED":
                    self._changes.put(_Change(plural, deleted=_key(item)))
                elif event["type"] != "BOOKMARK":
                    self._changes.put(_Change(plural, changed=item))
        except (HTTPError, OSError, LookupError, TypeError, ValueError) as error:
            raise ClusterError(
                f"The watch of {plural} broke off: {type(error).__name__}.", retry=True
            ) from error
        finally:
            self._open.pop(plural, None)
            response.close()
        return version


def _lines(response: Any) -> Iterator[bytes]:
    """Cut a streamed response into lines, as they come."""
    rest = b""
    for piece in response.stream(amt=None, decode_content=False):
        *whole, rest = (rest + piece).split(b"\n")
        yield from (line for line in whole if line.strip())


def _key(item: dict[str, Any]) -> str:
    return str(item["metadata"]["name"])
