"""Keeps copies of a bucket's adapters on the volume that an engine reads: all in use, and no other.

<root>/artifacts/<key>/<attempt>/       the files and manifest.json; it appears whole and checked
<root>/.incoming/                       what is being fetched
"""

from __future__ import annotations

import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from modelecology.store.artifacts import ArtifactStore, check_copy
from modelecology.store.errors import ArtifactCorrupt, StoreError
from modelecology.store.files import local_errors
from modelecology.store.records import ADAPTERS, Commit, Manifest
from modelecology.store.transfer import lay

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass did: keys fetched and removed, how many are there now, and what went wrong."""

    fetched: tuple[str, ...]
    removed: tuple[str, ...]
    held: int
    faults: tuple[str, ...]


class Mirror:
    """The copies below one root. What cannot be asked for now stays as it is."""

    def __init__(self, store: ArtifactStore, root: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._root = root
        self._clock = clock
        self._settled: dict[str, str] = {}  # a key's marker, as it was when we did what it asks
        self._held: dict[str, str] = {}  # the attempt that is laid
        self._prepared = False

    def step(self, beat: Callable[[], None] = lambda: None) -> Pass:
        """Make one pass. `beat` is called as it moves on. Raises StoreError when nothing can be listed."""
        self._prepare()
        listed = dict(self._store.adapters())
        beat()
        fetched: list[str] = []
        faults: list[str] = []
        for key, stamp in listed.items():
            if self._settled.get(key) == stamp:
                continue
            try:
                if self._settle(key, beat):
                    fetched.append(key)
                self._settled[key] = stamp
            except StoreError as error:
                faults.append(str(error))
            beat()
        for key in self._settled.keys() - listed.keys():
            del self._settled[key]
            self._held.pop(key, None)
        removed = self._clear(listed.keys() - self._settled.keys())
        return Pass(tuple(fetched), removed, len(self._held), tuple(faults))

    @property
    def _artifacts(self) -> Path:
        return self._root / "artifacts"

    @property
    def _incoming(self) -> Path:
        return self._root / ".incoming"

    def _prepare(self) -> None:
        """Make the folders, and clear away what a predecessor was about to fetch."""
        if self._prepared:
            return
        with local_errors("making the mirror", self._root):
            shutil.rmtree(self._incoming, ignore_errors=True)
            for folder in (self._root, self._artifacts, self._incoming):
                _make(folder)
        self._prepared = True

    def _settle(self, key: str, beat: Callable[[], None]) -> bool:
        """Do what a key's marker asks for; says whether its files were fetched."""
        commit = self._store.commit_of(key)
        manifest = self._store.manifest(key) if commit is not None else None
        if commit is None or manifest is None or manifest.kind not in ADAPTERS:
            self._held.pop(key, None)
            return False
        fetched = not self._is_laid(commit, manifest)
        if fetched:
            self._fetch(commit, beat)
        self._held[key] = commit.attempt
        return fetched

    def _is_laid(self, commit: Commit, manifest: Manifest) -> bool:
        place = self._artifacts / commit.key / commit.attempt
        if not place.is_dir():
            return False
        try:
            check_copy(place, manifest)
        except ArtifactCorrupt as error:
            _LOG.warning("the copy is fetched anew: %s", error)
            self._remove(place)
            return False
        return True

    def _fetch(self, commit: Commit, beat: Callable[[], None]) -> None:
        started = self._clock()
        aside = self._incoming / uuid.uuid4().hex
        place = self._artifacts / commit.key / commit.attempt
        try:
            with local_errors("fetching an adapter", self._root):
                aside.mkdir()
                manifest = self._store.export(commit, aside, beat)
                _make(place.parent)
            lay(aside, place)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        size = sum(entry.size for entry in manifest.files.values())
        _LOG.info("artifact %s is there: %d bytes in %.2f s", commit.key[:12], size, self._clock() - started)

    def _clear(self, unsettled: set[str]) -> tuple[str, ...]:
        """Remove what is not in use; what could not be settled stays."""
        removed: list[str] = []
        with local_errors("clearing the mirror", self._root):
            for folder in sorted(self._artifacts.iterdir()):
                if folder.name in unsettled:
                    continue
                for place in sorted(folder.iterdir()):
                    if self._held.get(folder.name) != place.name:
                        self._remove(place)
                        removed.append(folder.name)
                        _LOG.info("artifact %s is gone", folder.name[:12])
                if folder.name not in self._held:
                    folder.rmdir()
        return tuple(removed)

    def _remove(self, place: Path) -> None:
        """Take a copy out of sight in one step, and then apart."""
        aside = self._incoming / uuid.uuid4().hex
        with local_errors("clearing the mirror", self._root):
            os.rename(place, aside)
        shutil.rmtree(aside, ignore_errors=True)


def _make(folder: Path) -> None:
    """Make a folder that every user may enter, whatever the umask; one that is there is somebody's choice."""
    if not folder.is_dir():
        folder.mkdir(parents=True)
        folder.chmod(0o755)
