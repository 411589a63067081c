"""The store's files in a directory: on this machine, or on a volume that several pods mount."""

from __future__ import annotations

import os
import shutil
import stat
import uuid
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from modelecology.store.errors import StoreUnavailable
from modelecology.store.files import (
    LARGEST_READ,
    Entry,
    Seen,
    local_errors,
    refuse_large,
    refuse_volume_without_links,
    sync_directory,
    sync_file,
)

_CHUNK = 1 << 20


def _fail(error: OSError) -> None:
    """A directory that cannot be listed must not look empty; one that is gone is."""
    if not isinstance(error, FileNotFoundError):
        raise error


def _is_still(path: Path, stamp: str) -> bool:
    try:
        return _stamp(os.lstat(path)) == stamp
    except FileNotFoundError:
        return False


def _stamp(status: os.stat_result) -> str:
    return f"{status.st_ino}-{status.st_mtime_ns}-{status.st_size}"


class LocalFiles:
    """A directory. What its group may do with the root, it may do with everything below.

    Operator, jobs and engines are different users who share a group (a pod's fsGroup): a directory that one
    of them made must let the others in, whatever the umask.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def where(self, relative: str) -> str:
        """Name the path."""
        return str(self.root / relative)

    def local(self, relative: str) -> Path | None:
        """Give the path."""
        return self.root / relative

    def make_root(self) -> None:
        """Make the root and its parents."""
        with local_errors("creating the root", self.root):
            self.root.mkdir(parents=True, exist_ok=True)

    def _require_root(self) -> None:
        """Refuse a root that is not there: an unmounted volume must not look like an empty store."""
        if not self.root.is_dir():
            raise StoreUnavailable(f"The store's root {self.root} is not there; create or mount it.")

    def _share(self, path: Path) -> None:
        """Give the group what it has at the root; the set-group-ID bit is the kernel's to hand down."""
        granted = stat.S_IMODE(self.root.stat().st_mode) & 0o070
        mode = stat.S_IMODE(path.stat().st_mode)
        owners = (mode & 0o700) >> 3
        if (mode | (owners & granted)) != mode:
            path.chmod(mode | (owners & granted))

    def look(self, relative: str, known: str = "", limit: int = LARGEST_READ) -> Seen | None:
        """Read a regular file; a link is never followed."""
        path = self.root / relative
        with local_errors(f"reading {relative}", self.root):
            if known:
                with suppress(FileNotFoundError):
                    if _stamp(os.lstat(path)) == known:
                        return Seen(None, known)
            file = self._opened(relative)
            if file is None:
                return None
            with file:
                status = os.fstat(file.fileno())
                refuse_large(self.where(relative), status.st_size, limit)
                return Seen(file.read(), _stamp(status))

    def _opened(self, relative: str) -> BinaryIO | None:
        """Open a regular file; a link is never followed, and a directory is no file."""
        try:
            descriptor = os.open(self.root / relative, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            self._require_root()
            return None
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            return None
        return os.fdopen(descriptor, "rb")

    def _make_directory(self, path: Path) -> None:
        """Make what is missing below the root; a root that goes away meanwhile is not made anew."""
        missing: list[Path] = []
        while path != self.root and not path.is_dir():
            missing.append(path)
            path = path.parent
        for made in reversed(missing):
            with suppress(FileExistsError):
                made.mkdir()
                self._share(made)
            sync_directory(made.parent)

    def _write_aside(self, path: Path, content: bytes, *, durable: bool) -> Path:
        aside = path.parent / f".{path.name}.{uuid.uuid4().hex}"
        try:
            with aside.open("xb") as file:
                file.write(content)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            self._share(aside)
        except BaseException:
            with suppress(OSError):
                aside.unlink()
            raise
        return aside

    def prepare(self, relative: str) -> None:
        """Make the directory and its parents, below a root that is there."""
        with local_errors(f"making {relative}", self.root):
            self._require_root()
            self._make_directory(self.root / relative)

    def create(self, relative: str, content: bytes) -> bool:
        """Create a file by a hard link: the one operation that is exclusive and shows all bytes at once."""
        path = self.root / relative
        with local_errors(f"creating {relative}", self.root):
            self._require_root()
            aside = self._write_aside(path, content, durable=True)
            try:
                os.link(aside, path)
            except FileExistsError:
                return False
            except OSError as error:
                refuse_volume_without_links(error, self.root)
                raise
            finally:
                with suppress(OSError):
                    aside.unlink()
            sync_directory(path.parent)
            return True

    def swap(self, relative: str, content: bytes, stamp: str) -> bool:
        """Overwrite the version of this stamp.

        A directory knows no conditional rename, so the look comes last, right before it: the slow part, the
        wait for the disk, is over by then.
        """
        path = self.root / relative
        with local_errors(f"writing {relative}", self.root):
            self._require_root()
            try:
                aside = self._write_aside(path, content, durable=True)
            except FileNotFoundError:
                return False
            if not _is_still(path, stamp):
                with suppress(OSError):
                    aside.unlink()
                return False
            self._put_in_place(aside, path)
            sync_directory(path.parent)
            return True

    def replace(self, relative: str, content: bytes) -> None:
        """Overwrite a file by a rename."""
        path = self.root / relative
        with local_errors(f"writing {relative}", self.root):
            self._require_root()
            self._make_directory(path.parent)
            self._put_in_place(self._write_aside(path, content, durable=False), path)

    @staticmethod
    def _put_in_place(aside: Path, path: Path) -> None:
        try:
            os.replace(aside, path)
        except BaseException:
            with suppress(OSError):
                aside.unlink()
            raise

    def scan(self, relative: str, after: str = "") -> Iterator[tuple[str, Entry]]:
        """List what is no directory: links too, which are nowhere followed."""
        root = self.root / relative
        with local_errors(f"listing {relative}", self.root):
            self._require_root()
            for folder, directories, names in os.walk(root, onerror=_fail):
                links = [name for name in directories if (Path(folder) / name).is_symlink()]
                for name in (*names, *links):
                    path = Path(folder) / name
                    within = path.relative_to(root).as_posix()
                    if within <= after:
                        continue
                    with suppress(FileNotFoundError):
                        status = path.lstat()
                        yield within, Entry(status.st_size, _stamp(status))

    def remove(self, relative: str) -> int:
        """Remove a file, or a directory with all that is below."""
        path = self.root / relative
        with local_errors(f"removing {relative}", self.root):
            self._require_root()
            if path.is_dir() and not path.is_symlink():
                size = sum(entry.size for _name, entry in self.scan(relative))
                shutil.rmtree(path)
            else:
                try:
                    size = path.lstat().st_size
                    path.unlink()
                except FileNotFoundError:
                    return 0
            sync_directory(path.parent)
            return size

    def tidy(self, relative: str) -> None:
        """Remove a directory, unless something is in it."""
        with suppress(OSError):
            (self.root / relative).rmdir()

    def upload(self, relative: str, source: Path) -> None:
        """Copy a local file there."""
        path = self.root / relative
        with local_errors(f"writing {relative}", self.root):
            self._require_root()
            self._make_directory(path.parent)
            aside = path.parent / f".{path.name}.{uuid.uuid4().hex}"
            try:
                shutil.copyfile(source, aside, follow_symlinks=False)
                self._share(aside)
                sync_file(aside)
            except BaseException:
                with suppress(OSError):
                    aside.unlink()
                raise
            self._put_in_place(aside, path)
            sync_directory(path.parent)

    def download(self, relative: str, start: int = 0) -> Iterator[bytes] | None:
        """Read a regular file in pieces."""
        with local_errors(f"reading {relative}", self.root):
            file = self._opened(relative)
            if file is not None:
                file.seek(start)
        return None if file is None else self._pieces(file, relative)

    def _pieces(self, file: BinaryIO, relative: str) -> Iterator[bytes]:
        with file, local_errors(f"reading {relative}", self.root):
            while piece := file.read(_CHUNK):
                yield piece

    def workplace(self, relative: str) -> Path:
        """Make the directory itself: what is written is written at its place."""
        path = self.root / relative
        with local_errors(f"making {relative}", self.root):
            self._require_root()
            self._make_directory(path)
        return path

    def publish(self, relative: str, workplace: Path, names: Collection[str]) -> None:
        """Flush every file, then the directory."""
        with local_errors(f"writing {relative}", self.root):
            for name in sorted(names):
                self._share(workplace / name)
                sync_file(workplace / name)
            sync_directory(workplace)

    def leave(self, workplace: Path) -> None:
        """Leave it: the workplace is the place."""
