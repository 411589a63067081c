"""Reads what gateways write down, line by line, as it comes: the other end of serving/gateway/segments.py.

A segment is `live-*.jsonl`, and `live-*.jsonl.part` while its gateway writes it. It only grows, so each look
reads on where the last one ended; a line that is cut short is read when it is whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from modelecology.api.live_records import OPEN_SUFFIX, SEGMENTS
from modelecology.store.errors import StoreUnavailable
from modelecology.store.places import store_root

_PIECE = 1 << 20


class LiveFiles:
    """One directory of segments. Not for two threads at once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._read: dict[str, int] = {}  # bytes, by the name of the closed segment
        self._over: set[str] = set()  # those that were closed when they were read to their end

    @classmethod
    def open(cls, uri: str) -> LiveFiles:
        """Open the directory of a `file:///` uri. Raises PlaceNotFound for any other."""
        return cls(store_root(uri))

    @property
    def where(self) -> str:
        """The directory, for messages."""
        return str(self._directory)

    def lines(self) -> Iterator[bytes]:
        """Give the whole lines that are new, segment by segment. Raises StoreUnavailable."""
        try:
            found = sorted(self._directory.glob(SEGMENTS))
        except OSError as error:
            raise StoreUnavailable(f"{self._directory} cannot be listed: {error.strerror}.") from error
        names = {path.name.removesuffix(OPEN_SUFFIX): path for path in found}
        for gone in self._read.keys() - names.keys():
            del self._read[gone]
        self._over &= names.keys()
        for name, path in names.items():
            if name in self._over:
                continue
            yield from self._lines(name, path)
            if path.name == name:
                self._over.add(name)

    def _lines(self, name: str, path: Path) -> Iterator[bytes]:
        rest = b""
        try:
            with path.open("rb") as file:
                file.seek(self._read.get(name, 0))
                while piece := file.read(_PIECE):
                    *whole, rest = (rest + piece).split(b"\n")
                    for line in whole:
                        self._read[name] = self._read.get(name, 0) + len(line) + 1
                        if line:
                            yield line
        except FileNotFoundError:
            return  # it was closed, and so renamed, or has expired; the next look knows
        except OSError as error:
            raise StoreUnavailable(f"{path} cannot be read: {error.strerror}.") from error
