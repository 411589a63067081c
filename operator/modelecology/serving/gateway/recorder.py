"""The port for records of live traffic, and its double."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from modelecology.api.live_records import LiveRecord


class Recorder(Protocol):
    """Keeps records. Called from one thread that is not the event loop's, so it may block."""

    def write(self, records: Sequence[LiveRecord]) -> None:
        """Keep these records; called without any now and then, so that time passes. Raises OSError."""

    def close(self) -> None:
        """End well; nothing is written after it. Raises OSError."""


class MemoryRecorder:
    """Keeps records in memory, for tests."""

    def __init__(self) -> None:
        self.records: list[LiveRecord] = []
        self.closed = False

    def write(self, records: Sequence[LiveRecord]) -> None:
        """Keep these records."""
        self.records.extend(records)

    def close(self) -> None:
        """End well."""
        self.closed = True
