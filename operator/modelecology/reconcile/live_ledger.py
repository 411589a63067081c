"""Stage 1, live requests: reads what gateways wrote down, and remembers it.

The records of a population lie in one folder of a volume or a bucket (store/live_files.py), which others may
share. Each look reads what is new, and live_memory.py says what of it is remembered.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from pydantic import ValidationError

from modelecology.api.live_records import (
    Exchange,
    Feedback,
    LiveRecord,
    Preference,
    Usage,
    read_line,
)
from modelecology.store import ArtifactStore
from modelecology.store.live_files import LiveFiles
from modelecology.store.places import relative_place

from .live_memory import Limits, LiveMemory
from .usage import UsageLog

_USUAL = Limits()
_LOG = logging.getLogger(__name__)


class LiveLedger:
    """What gateways wrote down at one place, as far as it was read; populations may share it."""

    def __init__(self, files: LiveFiles, limits: Limits = _USUAL) -> None:
        self._files = files
        self._memory = LiveMemory(limits)
        self._usage: dict[str, UsageLog] = {}  # by population
        self._lock = threading.Lock()  # looks run in threads
        # Of its own: a bucket may take long, and what is known is asked for meanwhile.
        self._reading = threading.Lock()
        self.has_read = False
        self.version = 0  # of the requests and what is said of them

    def read(self) -> None:
        """Read what is new. Raises StoreError."""
        with self._reading:
            for line in self._files.lines():
                try:
                    record = read_line(line)
                except ValidationError:
                    _LOG.warning("%s: a record cannot be read; it is left out", self._files.where)
                    continue
                with self._lock:
                    self._take(record)
            self.has_read = True

    def _take(self, record: LiveRecord) -> None:
        if isinstance(record, Usage):
            self._usage.setdefault(record.population, UsageLog()).add(record)
            return
        self.version += 1
        self._memory.take(record)

    def usage(self, population: str) -> UsageLog:
        """Give what was counted for a population."""
        with self._lock:
            return self._usage.setdefault(population, UsageLog())

    def exchanges(self, population: str, task: str, since: float) -> tuple[Exchange, ...]:
        """List the requests of a population's task from a time on, in their order."""
        with self._lock:
            found = self._memory.exchanges(population, task, since)
        return tuple(sorted(found, key=lambda e: (e.time, e.request_id)))

    def word(self, judge: str, request_id: str) -> Preference | None:
        """Find what a judge said first of a request."""
        with self._lock:
            return self._memory.word(judge, request_id)

    def feedback(self, request_id: str) -> Feedback | None:
        """Find what was said of a request."""
        with self._lock:
            return self._memory.feedback(request_id)


class LiveLedgers:
    """The ledger of each place, opened once. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open: dict[tuple[ArtifactStore | None, str], LiveLedger] = {}
        self._lock = threading.Lock()

    def at(self, store: ArtifactStore, uri: str) -> LiveLedger:
        """Open the ledger of a `file:///` directory, or of a `store:///` folder of a store.

        Raises StoreError.
        """
        folder = relative_place(uri)
        # A store has its own: who may not read the bucket must not read what somebody else may.
        key = (None if folder is None else store, uri)
        with self._lock:
            if key not in self._open:
                files = LiveFiles.open(uri) if folder is None else LiveFiles(store.files, folder, self._clock)
                self._open[key] = LiveLedger(files)
            return self._open[key]

    def read(self, store: ArtifactStore, uri: str) -> None:
        """Read what is new at a place. Raises StoreError."""
        self.at(store, uri).read()
