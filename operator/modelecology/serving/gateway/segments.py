"""Records in a directory: append-only segments of JSON lines, rotated, and deleted when they are old.

`live-<time>-<number>-<gateway>.jsonl` is whole and never written again; `.part` at the end means that its
gateway still writes it, or died while it did: its last line may be cut short. Several gateways may share a
directory, or each has one of its own, out of which store/live_shipper.py carries what is there to a bucket.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from modelecology.api.live_records import OPEN_SUFFIX, SEGMENTS, LiveRecord, write_line


@dataclass(frozen=True, slots=True)
class Retention:
    """When a segment is closed, and when it is deleted: as soon as one of its limits is passed."""

    segment_bytes: int = 16 * 1024 * 1024
    segment_seconds: float = 600.0
    keep_bytes: int = 1024 * 1024 * 1024
    keep_seconds: float = 30 * 24 * 3600.0


class SegmentRecorder:
    """Writes to one directory; `gateway` keeps its names apart from others', `now` is seconds since 1970.

    `deleted` is told of each segment that went: old, or too_much.
    """

    def __init__(
        self,
        directory: Path,
        gateway: str,
        retention: Retention,
        now: Callable[[], float],
        deleted: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self._directory = directory
        self._gateway = gateway
        self._retention = retention
        self._now = now
        self._deleted = deleted
        self._file: BinaryIO | None = None
        self._path = directory
        self._begun = 0.0
        self._size = 0
        self._number = 0
        self.held_bytes = 0
        """Bytes of all segments there, when the last one was closed."""

    def write(self, records: Sequence[LiveRecord]) -> None:
        """Append these records; rotate what is full or old. Raises OSError."""
        if records:
            text = b"".join(write_line(record) for record in records)
            file = self._file or self._open()
            file.write(text)
            file.flush()
            self._size += len(text)
        if self._file is not None and self._is_full():
            self.close()
            self._expire()

    def close(self) -> None:
        """Make the open segment whole. Raises OSError."""
        file, self._file = self._file, None
        if file is None:
            return
        with file:
            file.flush()
            os.fsync(file.fileno())
        self._path.rename(self._path.with_suffix(""))

    def _open(self) -> BinaryIO:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._begun, self._size = self._now(), 0
        self._number += 1
        time = datetime.fromtimestamp(self._begun, UTC).strftime("%Y%m%dT%H%M%S")
        name = f"live-{time}-{self._number:06}-{self._gateway}.jsonl{OPEN_SUFFIX}"
        self._path = self._directory / name
        self._file = self._path.open("xb")
        return self._file

    def _is_full(self) -> bool:
        old = self._now() - self._begun >= self._retention.segment_seconds
        return old or self._size >= self._retention.segment_bytes

    def _expire(self) -> None:
        """Delete what is too old, of whichever gateway, and the oldest of what is too much."""
        found: list[tuple[float, int, Path]] = []
        for path in self._directory.glob(SEGMENTS):
            try:
                seen = path.stat()
            except FileNotFoundError:
                continue  # another gateway was first
            found.append((seen.st_mtime, seen.st_size, path))
        left = sum(size for _, size, _ in found)
        for changed, size, path in sorted(found):
            old = self._now() - changed > self._retention.keep_seconds
            much = left > self._retention.keep_bytes and path.suffix != OPEN_SUFFIX
            if old or much:
                path.unlink(missing_ok=True)
                self._deleted("old" if old else "too_much")
                left -= size
        self.held_bytes = left
