"""The routing table from a file, for machines without a cluster; it is read again whenever it changes."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import Final, TypeAlias

from modelecology.api.routing import MAX_TABLE_BYTES

from .tables import Tables

_LOG = logging.getLogger(__name__)
LOOK_SECONDS: Final = 0.1

_Stamp: TypeAlias = tuple[int, int, int]


class FileTable:
    """Looks at the file ten times a second. Replace it by a rename; half a table is refused."""

    def __init__(self, path: Path, every: float = LOOK_SECONDS) -> None:
        self._path = path
        self._every = every
        self._seen: _Stamp | None = None
        self._told = ""

    async def follow(self, tables: Tables) -> None:
        """Offer the table, and each that follows it; never returns."""
        while True:
            self.look(tables)
            await asyncio.sleep(self._every)

    def look(self, tables: Tables) -> None:
        """Offer the file if it is another than at the last look."""
        try:
            found = os.stat(self._path)
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if stamp == self._seen:
                return
            with self._path.open("rb") as file:
                text = file.read(MAX_TABLE_BYTES + 1)
        except OSError as error:
            self._tell(f"{self._path} cannot be read: {error.strerror}")
            return
        self._seen, self._told = stamp, ""
        tables.offer(text)

    def _tell(self, what: str) -> None:
        if what != self._told:
            _LOG.warning("%s", what)
        self._told = what
