"""The store's files as objects of a bucket. What is exclusive or conditional is so at the service itself."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from modelecology.store.errors import StoreError
from modelecology.store.files import LARGEST_READ, Entry, Seen, local_errors, refuse_large

PART_BYTES = 16 << 20
"""Size of a part of a large upload; four parts are in memory at once."""
PARTS_AT_ONCE = 4
_PIECE_BYTES = 1 << 20
_LISTED_AT_ONCE = 1000


class Objects(Protocol):
    """The requests that are made of a bucket, as obstore's stores offer them."""

    def get(self, path: str, *, options: Any = None) -> Any:
        """Read an object; raises FileNotFoundError, and NotModifiedError with `if_none_match`."""
        ...

    def put(
        self,
        path: str,
        file: Any,
        *,
        mode: Any = None,
        use_multipart: bool | None = None,
        chunk_size: int = PART_BYTES,
        max_concurrency: int = PARTS_AT_ONCE,
    ) -> Any:
        """Write an object; raises AlreadyExistsError with mode `create`, PreconditionError with an e_tag."""
        ...

    def delete(self, paths: Any) -> None:
        """Remove objects; one that is not there is removed."""
        ...

    def list(
        self, prefix: str | None = None, *, offset: str | None = None, chunk_size: int = _LISTED_AT_ONCE
    ) -> Any:
        """List the objects below a prefix of whole segments, and after an offset, in chunks."""
        ...


Meaning = Callable[[Exception, str], StoreError]
"""Says what a failed request means, given what was being done."""


class ObjectFiles:
    """A bucket and a prefix. An attempt is worked on in a local directory and uploaded when published."""

    def __init__(self, objects: Objects, name: str, meaning: Meaning, scratch: Callable[[], Path]) -> None:
        self._objects = objects
        self._name = name
        self._meaning = meaning
        self._scratch = scratch

    def where(self, relative: str) -> str:
        """Name the object's uri."""
        return f"{self._name}/{relative}"

    def local(self, relative: str) -> Path | None:
        """Nothing of a bucket is local."""
        return None

    def make_root(self) -> None:
        """Do nothing: a bucket is made by whoever pays for it, and a prefix needs no making."""

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, FileNotFoundError) as error:
            # The library's own words may hold a whole request, with a token in it: they go no further.
            raise self._meaning(error, doing) from None

    def look(self, relative: str, known: str = "", limit: int = LARGEST_READ) -> Seen | None:
        """Ask for an object on the condition that it is another one than is known."""
        from obstore.exceptions import NotModifiedError

        with self._translated(f"reading {relative}"):
            try:
                found = self._objects.get(relative, options={"if_none_match": known} if known else None)
                refuse_large(self.where(relative), found.meta["size"], limit)
                return Seen(bytes(found.bytes()), _stamp(found.meta))
            except NotModifiedError:
                return Seen(None, known)
            except FileNotFoundError as error:
                if not is_absent(error):
                    raise
                return None

    def prepare(self, relative: str) -> None:
        """Do nothing: without objects there is no directory."""

    def create(self, relative: str, content: bytes) -> bool:
        """Put an object with `If-None-Match: *`."""
        from obstore.exceptions import AlreadyExistsError

        with self._translated(f"creating {relative}"):
            try:
                self._objects.put(relative, content, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
            return True

    def swap(self, relative: str, content: bytes, stamp: str) -> bool:
        """Put an object with `If-Match`."""
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with self._translated(f"writing {relative}"):
            try:
                self._objects.put(relative, content, mode={"e_tag": stamp}, use_multipart=False)
            except (PreconditionError, AlreadyExistsError):
                return False
            except FileNotFoundError as error:
                if not is_absent(error):
                    raise
                return False
            return True

    def replace(self, relative: str, content: bytes) -> None:
        """Put an object."""
        with self._translated(f"writing {relative}"):
            self._objects.put(relative, content, use_multipart=False)

    def scan(self, relative: str, after: str = "") -> Iterator[tuple[str, Entry]]:
        """List by prefix, a thousand a request."""
        doing = f"listing {relative}"
        offset = f"{relative}/{after}" if after else None
        with self._translated(doing):
            chunks = iter(self._objects.list(relative, offset=offset, chunk_size=_LISTED_AT_ONCE))
        while True:
            with self._translated(doing):
                chunk = next(chunks, None)
            if chunk is None:
                return
            for line in chunk:
                yield str(line["path"]).removeprefix(f"{relative}/"), Entry(line["size"], _stamp(line))

    def remove(self, relative: str) -> int:
        """Remove every object below this name, or the one of this name."""
        found = dict(self.scan(relative))
        size = sum(entry.size for entry in found.values())
        if not found:
            seen = self.look(relative)
            if seen is None:
                return 0
            size = len(seen.content or b"")
        with self._translated(f"removing {relative}"):
            self._objects.delete([f"{relative}/{name}" for name in sorted(found)] or [relative])
        return size

    def tidy(self, relative: str) -> None:
        """Do nothing: without objects there is no directory."""

    def upload(self, relative: str, source: Path) -> None:
        """Put a file; the service checks every part against the hash in the request's signature."""
        with self._translated(f"writing {relative}"):
            self._objects.put(
                relative,
                source,
                use_multipart=source.stat().st_size > PART_BYTES,
                chunk_size=PART_BYTES,
                max_concurrency=PARTS_AT_ONCE,
            )

    def download(self, relative: str, start: int = 0) -> Iterator[bytes] | None:
        """Read an object in pieces."""
        options = {"range": {"offset": start}} if start else None
        with self._translated(f"reading {relative}"):
            try:
                found = self._objects.get(relative, options=options)
            except FileNotFoundError as error:
                if not is_absent(error):
                    raise
                return None
            return self._pieces(iter(found.stream(min_chunk_size=_PIECE_BYTES)), relative)

    def _pieces(self, pieces: Iterator[Any], relative: str) -> Iterator[bytes]:
        while True:
            with self._translated(f"reading {relative}"):
                piece = next(pieces, None)
            if piece is None:
                return
            yield bytes(piece)

    def workplace(self, relative: str) -> Path:
        """Make a directory in the cache."""
        path = self._scratch() / Path(relative).name
        with local_errors("making a directory to work in", path.parent):
            path.mkdir(parents=True)
        return path

    def publish(self, relative: str, workplace: Path, names: Collection[str]) -> None:
        """Upload every file."""
        for name in sorted(names):
            self.upload(f"{relative}/{name}", workplace / name)

    def leave(self, workplace: Path) -> None:
        """Remove the local directory; what was published stays."""
        shutil.rmtree(workplace, ignore_errors=True)


def is_absent(error: FileNotFoundError) -> bool:
    """Say whether an object is not there. A bucket, a user or a whole service that is not is another matter.

    What cannot be reached must never look like an empty store, so only the service's own word for it counts.
    """
    text = str(error)
    return "status code" not in text or "<Code>NoSuchKey</Code>" in text


def _stamp(meta: Any) -> str:
    return str(meta["e_tag"] or f"{meta['last_modified'].isoformat()}-{meta['size']}")
