"""Digests of files and directories: what data, bases and artifacts are known by."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from modelecology.store.errors import PlaceNotFound

_CHUNK = 1 << 20


def _hash(path: Path) -> tuple[str, int]:
    whole = hashlib.sha256()
    size = 0
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as file:
        while chunk := file.read(_CHUNK):
            whole.update(chunk)
            size += len(chunk)
    return whole.hexdigest(), size


def hash_file(path: Path) -> tuple[str, int]:
    """Hash a regular file and return its sha256 (64 hex digits) and size in bytes; a link is refused."""
    try:
        return _hash(path)
    except FileNotFoundError as error:
        raise PlaceNotFound(f"{path} is not there.") from error
    except OSError as error:
        raise PlaceNotFound(f"{path} cannot be read as a regular file: {error.strerror}.") from error


def file_digest(path: str) -> str:
    """Digest a regular file as `sha256:<64 hex>`; raises PlaceNotFound."""
    return f"sha256:{hash_file(Path(path))[0]}"


def regular_files(directory: str) -> tuple[str, ...]:
    """List the regular files below a directory, sorted; raises PlaceNotFound for a link or a device."""
    root = Path(directory)
    if not root.is_dir():
        raise PlaceNotFound(f"{directory} is not a directory.")
    found: list[str] = []
    for path in root.rglob("*"):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            found.append(path.relative_to(root).as_posix())
        elif not stat.S_ISDIR(mode):
            raise PlaceNotFound(f"{path} is neither a regular file nor a directory; links are not followed.")
    return tuple(sorted(found))


def directory_digest(directory: str) -> str:
    """Digest a directory: sha256 over sorted lines `<sha256>  <relative path>`; raises PlaceNotFound."""
    root = Path(directory)
    lines = sorted(f"{hash_file(root / name)[0]}  {name}\n" for name in regular_files(directory))
    return f"sha256:{hashlib.sha256(''.join(lines).encode()).hexdigest()}"
