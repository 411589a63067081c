"""Copies on this machine of what lies in a bucket, by digest, and checked whenever they are used.

<cache>/attempts/<attempt>/       what a job is about to commit
<cache>/artifacts/<digest>/       committed files, by the digest of their manifest
<cache>/places/<digest>/          a directory of data or a base, by its own digest
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from modelecology.store.errors import StoreUnavailable
from modelecology.store.files import local_errors

VARIABLE: Final = "MODELECOLOGY_CACHE"
KEPT_SECONDS: Final = 24 * 3600.0
"""What nobody used for so long makes room when something is added."""


def cache_root(environment: Mapping[str, str]) -> Path:
    """Give the cache's directory: the one in MODELECOLOGY_CACHE, else the user's own below the temp dir."""
    named = environment.get(VARIABLE, "")
    return Path(named) if named else Path(tempfile.gettempdir()) / f"modelecology-cache-{os.getuid()}"


class Cache:
    """Directories that appear whole, under the name of what is in them."""

    def __init__(self, root: Path, clock: Callable[[], float] = time.time) -> None:
        self._root = root
        self._clock = clock

    @property
    def attempts(self) -> Path:
        """Where attempts are worked on."""
        return self._folder("attempts")

    def _folder(self, kind: str) -> Path:
        folder = self._root / kind
        with local_errors("making the cache", self._root):
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = self._root.lstat()
            if not stat.S_ISDIR(status.st_mode) or status.st_uid not in (0, os.getuid()):
                raise StoreUnavailable(
                    f"The cache {self._root} belongs to somebody else; name another in {VARIABLE}."
                )
            folder.mkdir(exist_ok=True)
        return folder

    def get(self, kind: str, name: str) -> Path | None:
        """Give what is there of this name, and note that it was used."""
        place = self._folder(kind) / name
        try:
            os.utime(place, (self._clock(), self._clock()))
        except OSError:
            return None
        return place

    def drop(self, kind: str, name: str) -> None:
        """Remove what is there of this name."""
        _remove(self._folder(kind) / name)

    @contextmanager
    def filling(self, kind: str) -> Iterator[Path]:
        """Give a directory to fill, which is removed unless it was kept."""
        folder = self._folder(kind)
        self._sweep()
        aside = folder / f".{uuid.uuid4().hex}"
        with local_errors("filling the cache", self._root):
            aside.mkdir()
        try:
            yield aside
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def keep(self, kind: str, aside: Path, name: str) -> Path:
        """Give a filled directory its name; another of the same name, which is as good, may be first."""
        place = self._folder(kind) / name
        with local_errors("filling the cache", self._root):
            try:
                os.rename(aside, place)
            except OSError:
                if not place.is_dir():
                    raise
        return place

    def _sweep(self) -> None:
        """Remove what nobody used for a day; the rest of a crash is among it."""
        oldest = self._clock() - KEPT_SECONDS
        for kind in ("attempts", "artifacts", "places"):
            for place in self._folder(kind).iterdir():
                with suppress(OSError):
                    if place.lstat().st_mtime < oldest:
                        _remove(place)


def _remove(place: Path) -> None:
    """Take a directory out of sight in one step, and then apart."""
    aside = place.parent / f".{uuid.uuid4().hex}"
    with local_errors("clearing the cache", place.parent):
        try:
            os.rename(place, aside)
        except FileNotFoundError:
            return
    shutil.rmtree(aside, ignore_errors=True)
