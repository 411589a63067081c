"""The few file operations that the store is built on, each durable, and each all or nothing.

They are what an object store offers too (read, create-only put, overwrite, list by prefix), so that another
adapter can stand beside this one. Paths are relative to the root.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from modelecology.store.errors import StoreError, StoreFull, StoreUnavailable

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


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


class LocalFiles:
    """A directory on this machine or on a mounted volume."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def translated(self, doing: str) -> Iterator[None]:
        """Turn the system's errors into the store's; raises StoreFull or StoreUnavailable."""
        try:
            yield
        except StoreError:
            raise
        except OSError as error:
            cause = os.strerror(error.errno) if error.errno else str(error)
            if error.errno in _NO_SPACE:
                raise StoreFull(
                    f"The store has no space left while {doing}; free some below {self.root}."
                ) from error
            raise StoreUnavailable(
                f"The store failed while {doing}: {cause}; mount {self.root} and make it writable."
            ) from error

    def require_root(self) -> None:
        """Refuse a root that is not there: an unmounted volume must not look like an empty store."""
        if not self.root.is_dir():
            raise StoreUnavailable(f"The store's root {self.root} is not there; create or mount it.")

    def at(self, relative: str) -> Path:
        """Give the place of a relative path."""
        return self.root / relative

    def read(self, relative: str) -> bytes | None:
        """Read a regular file, or None where there is none; a link is never followed."""
        with self.translated(f"reading {relative}"):
            try:
                descriptor = os.open(self.at(relative), os.O_RDONLY | os.O_NOFOLLOW)
            except FileNotFoundError:
                self.require_root()
                return None
            with os.fdopen(descriptor, "rb") as file:
                return file.read()

    def stamp(self, relative: str) -> tuple[int, int, int] | None:
        """Tell one version of a file from another without reading it, or None where there is none."""
        with self.translated(f"looking at {relative}"):
            try:
                found = os.lstat(self.at(relative))
            except FileNotFoundError:
                self.require_root()
                return None
            return found.st_ino, found.st_mtime_ns, found.st_size

    def make_directory(self, relative: str) -> Path:
        """Make a directory, and its parents below the root, durably."""
        with self.translated(f"making {relative}"):
            self.require_root()
            path = self.at(relative)
            missing: list[Path] = []
            while not path.is_dir():
                missing.append(path)
                path = path.parent
            for made in reversed(missing):
                made.mkdir(exist_ok=True)
                sync_directory(made.parent)
            return self.at(relative)

    def _write_aside(self, path: Path, content: bytes, durable: bool) -> Path:
        aside = path.parent / f".{path.name}.{uuid.uuid4().hex}"
        try:
            with aside.open("xb") as file:
                file.write(content)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
        except BaseException:
            with suppress(OSError):
                aside.unlink()
            raise
        return aside

    def create(self, relative: str, content: bytes) -> bool:
        """Create a file with all its bytes, or return False because it is there already.

        A hard link is the one local operation that is exclusive and shows the whole content at once.
        """
        path = self.at(relative)
        with self.translated(f"creating {relative}"):
            self.require_root()
            aside = self._write_aside(path, content, durable=True)
            try:
                os.link(aside, path)
            except FileExistsError:
                return False
            finally:
                with suppress(OSError):
                    aside.unlink()
            sync_directory(path.parent)
            return True

    def replace(self, relative: str, content: bytes) -> None:
        """Overwrite a file so that a reader sees the old or the new bytes; it need not survive a crash."""
        path = self.at(relative)
        with self.translated(f"writing {relative}"):
            self.require_root()
            path.parent.mkdir(exist_ok=True)
            aside = self._write_aside(path, content, durable=False)
            try:
                os.replace(aside, path)
            except BaseException:
                with suppress(OSError):
                    aside.unlink()
                raise

    def move(self, source: str, target: str) -> None:
        """Move a directory; the target must not exist or be empty."""
        with self.translated(f"moving {source} to {target}"):
            self.require_root()
            self.make_directory(str(Path(target).parent))
            os.rename(self.at(source), self.at(target))
            sync_directory(self.at(source).parent)
            sync_directory(self.at(target).parent)

    def exists(self, relative: str) -> bool:
        """Say whether anything, a dangling link too, stands there."""
        with self.translated(f"looking at {relative}"):
            if os.path.lexists(self.at(relative)):
                return True
            self.require_root()
            return False

    def names(self, relative: str) -> tuple[str, ...]:
        """List a directory, sorted; empty where there is none."""
        with self.translated(f"listing {relative}"):
            try:
                return tuple(sorted(os.listdir(self.at(relative))))
            except FileNotFoundError:
                self.require_root()
                return ()

    def remove(self, relative: str) -> int:
        """Remove a file or a whole directory and return how many bytes its regular files had."""
        with self.translated(f"removing {relative}"):
            path = self.at(relative)
            if not os.path.lexists(path):
                return 0
            size = 0
            if path.is_dir() and not path.is_symlink():
                for entry in path.rglob("*"):
                    status = entry.lstat()
                    size += status.st_size if stat.S_ISREG(status.st_mode) else 0
                shutil.rmtree(path)
            else:
                size = path.lstat().st_size
                path.unlink()
            sync_directory(path.parent)
            return size
