"""Where data, bases and artifacts lie, and the digests that say what they are."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from modelecology.store.errors import PlaceNotFound

_CHUNK = 1 << 20


def _path_part(uri: str) -> str:
    parts = urlsplit(uri)
    if parts.netloc not in ("", "localhost") or parts.query or parts.fragment:
        raise PlaceNotFound(
            f"{uri} must have the form {parts.scheme}:///path, with no host, query or fragment."
        )
    path = unquote(parts.path)
    if not path.startswith("/") or "\0" in path or ".." in PurePosixPath(path).parts:
        raise PlaceNotFound(f"{uri} must name an absolute path without '..'.")
    return path


def store_root(store_uri: str) -> Path:
    """Give the directory of a `file:///` store uri; raises PlaceNotFound for any other scheme."""
    if urlsplit(store_uri).scheme != "file":
        raise PlaceNotFound(f"The store {store_uri} must be a file:///path uri; this version knows no other.")
    return Path(_path_part(store_uri))


def resolve(uri: str, store_uri: str) -> str:
    """Give the local path of a `file:///abs` or `store:///relative` uri; raises PlaceNotFound."""
    scheme = urlsplit(uri).scheme
    if scheme == "file":
        return _path_part(uri)
    if scheme == "store":
        return str(store_root(store_uri) / _path_part(uri).lstrip("/"))
    raise PlaceNotFound(f"{uri} must be a file:///path or a store:///path uri.")


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
