"""Where data and bases lie: beside the artifacts in the store, or on a volume that is mounted here.

A `store:///path` is relative to the store's root, a `file:///path` is absolute. What lies in a bucket is
fetched when its bytes are wanted, and never only to be looked at.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from modelecology.store.cache import Cache
from modelecology.store.digests import directory_digest
from modelecology.store.errors import FileTooLarge, PlaceNotFound
from modelecology.store.files import Files
from modelecology.store.transfer import copy_files

LARGEST_FILE = 1 << 30
"""Bytes of a data file that is read whole, at most."""


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
        raise PlaceNotFound(f"The store {store_uri} must be a file:///path or an s3://bucket/prefix uri.")
    return Path(_path_part(store_uri))


def relative_place(uri: str) -> str | None:
    """Give the path within the store of a `store:///` uri, None for `file:///`; raises PlaceNotFound."""
    scheme = urlsplit(uri).scheme
    if scheme == "file":
        return None
    if scheme != "store":
        raise PlaceNotFound(f"{uri} must be a file:///path or a store:///path uri.")
    return "/".join(PurePosixPath(_path_part(uri)).parts[1:])


def _read_bounded(path: Path, limit: int) -> bytes:
    """Read a regular file of bounded size: a device or a pipe has no end."""
    # Without blocking, or a pipe would be waited for.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise PlaceNotFound(f"{path} is not a regular file.")
        if status.st_size > limit:
            raise PlaceNotFound(f"{path} has {status.st_size} bytes; {limit} are read at most.")
        content: bytes = file.read(limit)
        return content


class Places:
    """The data and the bases that a store's jobs are pointed to."""

    def __init__(self, files: Files, cache: Cache) -> None:
        self._files = files
        self._cache = cache

    def read(self, uri: str, limit: int = LARGEST_FILE) -> bytes:
        """Read a file of `limit` bytes at most; raises PlaceNotFound, StoreUnavailable."""
        path = self._local(uri)
        if path is None:
            relative = relative_place(uri) or ""
            try:
                seen = self._files.look(relative, limit=limit)
            except FileTooLarge as error:
                raise PlaceNotFound(str(error)) from error
            if seen is None:
                raise PlaceNotFound(f"{self._files.where(relative)} is not there.")
            return seen.content or b""
        try:
            return _read_bounded(path, limit)
        except OSError as error:
            raise PlaceNotFound(f"{path} cannot be read: {error.strerror}.") from error

    def directory(self, uri: str, digest: str) -> Path:
        """Give a local directory of what lies there; from a bucket it is fetched once a digest.

        The digest is the caller's to check: what is there may be another than is wanted. Raises PlaceNotFound
        where nothing is, StoreUnavailable.
        """
        path = self._local(uri)
        if path is not None:
            return path
        known = self._cache.get("places", digest.removeprefix("sha256:"))
        if known is not None:
            if directory_digest(str(known)) == digest:
                return known
            self._cache.drop("places", known.name)
        with self._cache.filling("places") as aside:
            copy_files(self._files, relative_place(uri) or "", aside)
            return self._cache.keep("places", aside, directory_digest(str(aside)).removeprefix("sha256:"))

    def _local(self, uri: str) -> Path | None:
        relative = relative_place(uri)
        return Path(_path_part(uri)) if relative is None else self._files.local(relative)
