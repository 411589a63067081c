"""The few operations that the store is built on, each all or nothing, and each safe to repeat.

A directory and a bucket both have them: read, create-only put, replace this version by that one, list by
prefix, remove. Neither has a rename in common, so nothing here renames. Paths are relative to the root.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from modelecology.store.errors import FileTooLarge, StoreError, StoreFull, StoreUnavailable

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS})

LARGEST_READ = 64 << 20
"""Bytes of a file that is read at once, at most: whoever fills a store must not be able to fill a memory."""
LARGEST_RECORD = 1 << 20
"""Bytes of what the store writes down of itself: as one JSON it takes many times what it is as bytes."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One version of a file; `content` is None when it is the version that was known already."""

    content: bytes | None
    stamp: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a listing: size in bytes, and the stamp that tells this version from another."""

    size: int
    stamp: str


class Files(Protocol):
    """Where a store's files lie. Every call raises StoreUnavailable, and every write StoreFull too."""

    def where(self, relative: str) -> str:
        """Name the place of a relative path, for messages."""
        ...

    def local(self, relative: str) -> Path | None:
        """Give the place on this machine; None where a copy must be made to get one."""
        ...

    def make_root(self) -> None:
        """Make the root where that is ours to do."""
        ...

    def look(self, relative: str, known: str = "", limit: int = LARGEST_READ) -> Seen | None:
        """Read a file unless it still has the known stamp, in one request; None where there is none.

        Raises FileTooLarge for one of more than `limit` bytes, of which none are read.
        """
        ...

    def prepare(self, relative: str) -> None:
        """Make a directory in which files are to be created, where there is such a thing."""
        ...

    def create(self, relative: str, content: bytes) -> bool:
        """Create a file with all its bytes, or return False because there is one already."""
        ...

    def swap(self, relative: str, content: bytes, stamp: str) -> bool:
        """Overwrite the version of this stamp, or return False because there is another one or none."""
        ...

    def replace(self, relative: str, content: bytes) -> None:
        """Overwrite a file so that a reader sees the old or the new bytes; it need not survive a crash."""
        ...

    def scan(self, relative: str, after: str = "") -> Iterator[tuple[str, Entry]]:
        """List all files below a directory with their paths within it, in no order; none where it is not.

        Only paths that are greater than `after`, which a bucket does not even look at the others for.
        """
        ...

    def remove(self, relative: str) -> int:
        """Remove a file, or everything below a directory; returns the bytes that were freed."""
        ...

    def tidy(self, relative: str) -> None:
        """Remove a directory that is empty, where there is such a thing."""
        ...

    def upload(self, relative: str, source: Path) -> None:
        """Put a local file there, durably."""
        ...

    def download(self, relative: str, start: int = 0) -> Iterator[bytes] | None:
        """Read a file in pieces, from a byte that it has; None where there is no file."""
        ...

    def workplace(self, relative: str) -> Path:
        """Make the local directory in which the files of a directory are to be written."""
        ...

    def publish(self, relative: str, workplace: Path, names: Collection[str]) -> None:
        """Make what was written in a workplace survive a crash, at its place."""
        ...

    def leave(self, workplace: Path) -> None:
        """Drop a workplace that is not the place itself."""
        ...


def refuse_large(where: str, size: int, limit: int) -> None:
    """Insist that a file may be read at once. Raises FileTooLarge."""
    if size > limit:
        raise FileTooLarge(f"{where} has {size} bytes; {limit} are read at most. See what put it there.")


@contextmanager
def local_errors(doing: str, place: Path) -> Iterator[None]:
    """Turn the system's errors into the store's; raises StoreFull or StoreUnavailable."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        cause = os.strerror(error.errno) if error.errno else str(error)
        if error.errno in _NO_SPACE:
            raise StoreFull(f"The store has no space left while {doing}; free some below {place}.") from error
        raise StoreUnavailable(
            f"The store failed while {doing}: {cause}; mount {place} and make it writable."
        ) from error


def refuse_volume_without_links(error: OSError, place: Path) -> None:
    """Say what is wrong with a volume on which nothing can be created once only."""
    if error.errno in _NO_LINKS:
        raise StoreUnavailable(
            f"The volume at {place} has no hard links, by which a commit is made once only; "
            "use a volume that has (NFS or a disk), or an s3:// store."
        ) from error


def sync_directory(path: Path) -> None:
    """Make a directory's entries survive a crash."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make a file's bytes survive a crash."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
