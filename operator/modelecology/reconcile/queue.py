"""The work queue: level-triggered, each key once, never two workers on one key, with delays and backoff."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import NamedTuple

FIRST_BACKOFF_SECONDS = 0.2
LAST_BACKOFF_SECONDS = 60.0


class WorkKey(NamedTuple):
    """What has to be looked at again; nothing is said about what happened."""

    kind: str
    namespace: str
    name: str


class WorkQueue:
    """Hands out keys when they are due. `monotonic` gives seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._due: dict[WorkKey, float] = {}
        self._heap: list[tuple[float, WorkKey]] = []
        self._working: dict[WorkKey, float] = {}  # since when
        self._failures: dict[WorkKey, int] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._due)

    @property
    def working(self) -> int:
        """Number of keys that are being worked on."""
        return len(self._working)

    def ready(self) -> int:
        """Number of keys that are due now and wait for a worker."""
        now = self._monotonic()
        return sum(1 for due in self._due.values() if due <= now)

    def overdue(self) -> float:
        """Seconds for which the oldest key has been due, or has been worked on; 0 when there is none."""
        now = self._monotonic()
        return max((now - since for since in (*self._due.values(), *self._working.values())), default=0.0)

    def next_due(self) -> float | None:
        """When the next key is due that no worker holds, on the queue's clock; None when there is none."""
        return min((due for key, due in self._due.items() if key not in self._working), default=None)

    def add(self, key: WorkKey, delay: float = 0.0) -> None:
        """Ask for a key to be looked at after `delay` seconds; the earliest request counts."""
        due = self._monotonic() + delay
        known = self._due.get(key)
        if known is not None and known <= due:
            return
        self._due[key] = due
        heapq.heappush(self._heap, (due, key))
        self._changed.set()

    def retry(self, key: WorkKey) -> float:
        """Ask for a key again after a failure, later each time; returns the delay in seconds."""
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        delay: float = min(FIRST_BACKOFF_SECONDS * 2.0 ** min(count, 10), LAST_BACKOFF_SECONDS)
        self.add(key, delay)
        return delay

    def forgive(self, key: WorkKey) -> None:
        """Forget the failures of a key."""
        self._failures.pop(key, None)

    def take(self) -> WorkKey | None:
        """Take the next key that is due and that no worker holds, or say that there is none."""
        key, _ = self._next()
        if key is not None:
            self._working[key] = self._monotonic()
        return key

    async def get(self, leave: AbstractSet[str] = frozenset()) -> WorkKey:
        """Wait for the next key that is due and that no worker holds, of any kind but those to `leave`."""
        while True:
            self._changed.clear()
            key, pause = self._next(leave)
            if key is not None:
                self._working[key] = self._monotonic()
                return key
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _next(self, leave: AbstractSet[str] = frozenset()) -> tuple[WorkKey | None, float | None]:
        now = self._monotonic()
        held: list[tuple[float, WorkKey]] = []
        found: WorkKey | None = None
        pause: float | None = None
        while self._heap:
            due, key = self._heap[0]
            if self._due.get(key) != due:
                heapq.heappop(self._heap)
                continue
            if due > now:
                pause = due - now
                break
            heapq.heappop(self._heap)
            if key in self._working or key.kind in leave:
                held.append((due, key))
                continue
            del self._due[key]
            found = key
            break
        for entry in held:
            heapq.heappush(self._heap, entry)
        return found, pause

    def done(self, key: WorkKey) -> None:
        """Give a key back."""
        self._working.pop(key, None)
        self._changed.set()
