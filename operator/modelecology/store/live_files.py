"""Reads what gateways write down, line by line, as it comes: the other end of serving/gateway/segments.py.

A segment is `live-<time>-*.jsonl`, and `.jsonl.part` while its gateway writes it. It only grows, so each look
reads on where the last one ended; a line that is cut short is read when it is whole. In a bucket the same
objects are put by store/live_shipper.py, and each request costs: a look lists what was begun lately, and
everything once an hour, for what came late and what is gone.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from modelecology.api.live_records import OPEN_SUFFIX, SEGMENTS
from modelecology.store.artifacts import ArtifactStore
from modelecology.store.errors import StoreError
from modelecology.store.files import LARGEST_READ, Files
from modelecology.store.local_files import LocalFiles
from modelecology.store.places import store_root
from modelecology.store.s3 import S3Access

BUCKET_PAUSE_SECONDS: Final = 10.0
"""A bucket is not listed more often: looks come every few seconds."""
WHOLE_SECONDS: Final = 3600.0
"""How often all of a bucket's segments are listed, how far back the other looks go, and how long a segment
must be gone before it is forgotten."""
_LOG: Final = logging.getLogger(__name__)
_BATCH_BYTES: Final = 32 << 20
_BATCH: Final = 16
_AT_ONCE: Final = 8
_TIME: Final = "%Y%m%dT%H%M%S"
_BEGUN = re.compile(r"live-(\d{8}T\d{6})-")


def is_segment(name: str) -> bool:
    """Say whether a file of this name, within its folder, is a segment of records."""
    return "/" not in name and fnmatchcase(name, SEGMENTS)


def begun(name: str) -> float | None:
    """Say when a segment was begun, in seconds since 1970; None where its name does not tell."""
    match = _BEGUN.match(name)
    return None if match is None else datetime.strptime(match[1], _TIME).replace(tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class _News:
    """Bytes of a segment that were not read yet: the segment's name, its file's, and its sizes."""

    name: str
    file: str
    start: int
    size: int


class LiveFiles:
    """One folder of segments. Not for two threads at once.

    `clock` gives seconds, and `wall` seconds since 1970.
    """

    def __init__(
        self,
        files: Files,
        folder: str,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._files = files
        self._folder = folder
        self._clock = clock
        self._wall = wall
        self._costs = files.local(folder) is None
        self._read: dict[str, int] = {}  # bytes, by the name of the closed segment
        self._missed: dict[str, float] = {}  # since when it is not listed
        self._newest = ""  # when all of this was listed, the last name
        self._next = -1.0  # before that a bucket is not asked
        self._whole = -1.0  # from then on all is listed
        self._fault: StoreError | None = None

    @classmethod
    def open(
        cls,
        uri: str,
        *,
        endpoint: str | None = None,
        region: str | None = None,
        credentials: Path | None = None,
    ) -> LiveFiles:
        """Open the folder of a `file:///` or `s3://` uri; raises PlaceNotFound for any other.

        How a bucket is reached the environment says, as far as it is not given: store/s3.py.
        """
        if not uri.startswith("s3:"):
            return cls.in_directory(store_root(uri))
        root, _, folder = uri.rstrip("/").rpartition("/")
        given = S3Access.from_environment(os.environ)
        access = S3Access(endpoint or given.endpoint, region or given.region, credentials)
        return cls(ArtifactStore.open(root, access).files, folder)

    @classmethod
    def in_directory(cls, directory: Path) -> LiveFiles:
        """Open a directory, which may come later than its parent."""
        directory = directory.absolute()
        return cls(LocalFiles(directory.parent), directory.name)

    @property
    def where(self) -> str:
        """The folder, for messages."""
        return self._files.where(self._folder)

    def lines(self) -> Iterator[bytes]:
        """Give the whole lines that are new, segment by segment. Raises StoreUnavailable."""
        if self._costs and self._clock() < self._next:
            if self._fault is not None:
                raise type(self._fault)(str(self._fault))
            return
        try:
            yield from self._new()
        except StoreError as error:
            self._fault = error
            raise
        else:
            self._fault = None
        finally:
            self._next = self._clock() + BUCKET_PAUSE_SECONDS

    def _new(self) -> Iterator[bytes]:
        now = self._clock()
        whole = not self._costs or now >= self._whole
        found = self._listed("" if whole else self._after())
        if whole:
            self._forget(found, now)
        for batch in _batches(self._news(found)):
            for news, content in zip(batch, self._contents(batch), strict=True):
                if content is not None:
                    yield from self._lines(news, content)
        # Only now: what a look that failed had still to read must be listed again.
        if whole:
            self._whole = now + WHOLE_SECONDS
        self._newest = max(self._newest, *found, "")

    def _forget(self, found: Mapping[str, int], now: float) -> None:
        """Forget the segments that are gone for long.

        One that is renamed meanwhile may be listed under neither name, and a volume may list it late; what is
        forgotten is read, and counted, once more.
        """
        gone = self._read.keys() - {_closed(name) for name in found}
        self._missed = {name: self._missed.get(name, now) for name in gone}
        for name, since in tuple(self._missed.items()):
            if now - since >= WHOLE_SECONDS:
                del self._read[name], self._missed[name]

    def _listed(self, after: str) -> dict[str, int]:
        entries = self._files.scan(self._folder, after)
        return {name: entry.size for name, entry in entries if is_segment(name)}

    def _after(self) -> str:
        """Name the place in the listing from which segments may still grow or come."""
        last = begun(self._newest)
        if last is None:
            return ""
        # A gateway whose clock is ahead must not hide the others.
        since = min(last, self._wall()) - WHOLE_SECONDS
        return f"live-{datetime.fromtimestamp(since, UTC).strftime(_TIME)}"

    def _news(self, found: Mapping[str, int]) -> Iterator[_News]:
        for file in sorted(found):
            name = _closed(file)
            if name != file and name in found:
                continue  # it was closed, and the open one goes in a moment
            start = self._read.get(name, 0)
            if found[file] - start > LARGEST_READ:
                said = "%s/%s has %d bytes, more than any gateway writes; it is left out"
                _LOG.warning(said, self.where, name, found[file])
                self._read[name] = found[file]
            elif found[file] > start:
                yield _News(name, file, start, found[file])

    def _contents(self, batch: list[_News]) -> list[bytes | None]:
        if not self._costs or len(batch) == 1:
            return [self._content(news) for news in batch]
        # After a start there are thousands.
        with ThreadPoolExecutor(min(_AT_ONCE, len(batch)), "records") as pool:
            return list(pool.map(self._content, batch))

    def _content(self, news: _News) -> bytes | None:
        pieces = self._files.download(f"{self._folder}/{news.file}".removeprefix("/"), news.start)
        # Where there is none it was closed, and so renamed, or has expired; the next look knows.
        return None if pieces is None else b"".join(pieces)

    def _lines(self, news: _News, content: bytes) -> Iterator[bytes]:
        *whole, rest = content.split(b"\n")
        for line in whole:
            self._read[news.name] = self._read.get(news.name, 0) + len(line) + 1
            if line:
                yield line
        if rest and news.file == news.name:
            # Its gateway died in the middle of a line, which will never be whole.
            self._read[news.name] = max(self._read.get(news.name, 0) + len(rest), news.size)


def _closed(name: str) -> str:
    return name.removesuffix(OPEN_SUFFIX)


def _batches(news: Iterator[_News]) -> Iterator[list[_News]]:
    """Put together what is read at once, so that neither waiting nor memory is the limit."""
    batch: list[_News] = []
    waiting = 0
    for each in news:
        size = each.size - each.start
        if batch and (len(batch) == _BATCH or waiting + size > _BATCH_BYTES):
            yield batch
            batch, waiting = [], 0
        batch.append(each)
        waiting += size
    if batch:
        yield batch
