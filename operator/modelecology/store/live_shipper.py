"""Carries records of live traffic from a spool on this machine to a store: a process beside each gateway.

A segment that is still written is copied as far as its lines are whole, each time that it has grown. A closed
one is created under its own name, and leaves the spool. So the folder in the bucket looks as one on a shared
volume does (store/live_files.py reads both), and what cannot be sent now waits in the spool, of which the
gateway deletes the oldest when it is too much.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modelecology.api.live_records import OPEN_SUFFIX, SEGMENTS
from modelecology.store.files import Files, local_errors
from modelecology.store.live_files import begun, is_segment

ABANDONED_SECONDS: Final = 3600.0
"""A gateway writes each minute: a segment that has not grown for so long has lost its own."""
_EXPIRE_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long, and how much of them, records are kept in the store."""

    seconds: float
    size: int


@dataclass(frozen=True, slots=True)
class Shipped:
    """What one pass did: objects that were put, segments that left the spool, and those deleted as old."""

    put: int = 0
    left: int = 0
    deleted: int = 0


class Shipper:
    """One spool and one folder of a store. Without `keeping` it deletes nothing there.

    `now` is seconds since 1970.
    """

    def __init__(
        self,
        files: Files,
        folder: str,
        spool: Path,
        now: Callable[[], float],
        keeping: Keeping | None = None,
    ) -> None:
        self._files = files
        self._folder = folder
        self._spool = spool
        self._now = now
        self._keeping = keeping
        self._copied: dict[str, int] = {}  # bytes of an open segment that are in the store
        self._expires = 0.0

    def step(self, beat: Callable[[], None] = lambda: None) -> Shipped:
        """Carry what is new, the oldest first. `beat` is called as it moves on. Raises StoreError.

        What was not carried when it raises is tried again by the next pass.
        """
        with local_errors("listing the spool", self._spool):
            found = sorted(self._spool.glob(SEGMENTS))
        self._copied = {name: size for name, size in self._copied.items() if self._spool / name in found}
        if found:
            self._files.prepare(self._folder)
        put = left = 0
        for path in found:
            content = self._whole_lines(path)
            if content is None:
                continue
            if path.suffix == OPEN_SUFFIX and not self._is_abandoned(path):
                put += self._copy(path, content)
            else:
                self._close(path, content)
                put, left = put + 1, left + 1
            beat()
        return Shipped(put, left, self._expire())

    def _whole_lines(self, path: Path) -> bytes | None:
        """Read a segment up to its last whole line; None if it was closed or deleted meanwhile."""
        with local_errors(f"reading {path.name}", self._spool):
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                return None
        return content[: content.rfind(b"\n") + 1]

    def _is_abandoned(self, path: Path) -> bool:
        try:
            return self._now() - path.stat().st_mtime > ABANDONED_SECONDS
        except FileNotFoundError:
            return False

    def _copy(self, path: Path, content: bytes) -> int:
        if len(content) <= self._copied.get(path.name, 0):
            return 0
        self._files.replace(f"{self._folder}/{path.name}", content)
        self._copied[path.name] = len(content)
        return 1

    def _close(self, path: Path, content: bytes) -> None:
        name = path.name.removesuffix(OPEN_SUFFIX)
        # It may be there: the answer to an earlier put was lost, or we died before the next line. No other
        # gateway has this name.
        self._files.create(f"{self._folder}/{name}", content)
        self._files.remove(f"{self._folder}/{name}{OPEN_SUFFIX}")
        with local_errors(f"removing {path.name}", self._spool):
            path.unlink(missing_ok=True)

    def _expire(self) -> int:
        """Delete what is too old in the store, of whichever gateway, and the oldest of what is too much."""
        if self._keeping is None or self._now() < self._expires:
            return 0
        found = [
            (name, since, entry.size)
            for name, entry in self._files.scan(self._folder)
            if is_segment(name) and (since := begun(name)) is not None
        ]
        left = sum(size for *_, size in found)
        deleted = 0
        for name, since, size in sorted(found):
            old = self._now() - since > self._keeping.seconds
            much = left > self._keeping.size and not name.endswith(OPEN_SUFFIX)
            if old or much:
                self._files.remove(f"{self._folder}/{name}")
                left -= size
                deleted += 1
        self._expires = self._now() + _EXPIRE_SECONDS
        return deleted
