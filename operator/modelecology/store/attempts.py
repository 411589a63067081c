"""One try at an artifact: its files, its manifest, and the create-only commit.

The marker may be ours even if the answer that says so was lost. So once it was asked for, an attempt is
removed only when the marker is seen to name another one.

A deletion of the same key may take files away between their upload and the marker. So they are looked for
after it, and the commit is withdrawn if they are gone. A job that dies at that very moment leaves a commit
without files, which the operator deletes when it looks for deleted keys again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import JsonValue

from modelecology.store.digests import hash_file
from modelecology.store.errors import ArtifactCorrupt, PlaceNotFound, StoreError, StoreUnavailable
from modelecology.store.files import Files, local_errors
from modelecology.store.markers import change_marker, erase, marker_place, read_marker
from modelecology.store.records import (
    MANIFEST,
    ArtifactKind,
    Commit,
    Cost,
    Manifest,
    Marker,
    Standing,
    StoredFile,
    bytes_digest,
    checked_name,
    dump_manifest,
    dump_marker,
)

_TRIES = 5  # a service may answer that another request for the same object is at work


class Attempt:
    """One try at an artifact; as a context manager it removes itself when the work inside fails."""

    def __init__(self, files: Files, key: str, name: str) -> None:
        self._files = files
        self._place = f"artifacts/{key}/{name}"
        self._claimed = False
        self.key = key
        self.name = name
        self.path = str(files.workplace(self._place))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not self._claimed:
            self.discard()
        self._files.leave(Path(self.path))

    def write(self, name: str, content: bytes) -> None:
        """Write one file; raises ValueError for an unsafe name, StoreFull, StoreUnavailable."""
        with local_errors(f"writing {name}", Path(self.path)):
            (Path(self.path) / checked_name(name)).write_bytes(content)

    def discard(self) -> None:
        """Remove the attempt; one that cannot be removed now is invisible anyway."""
        self._files.leave(Path(self.path))
        try:
            self._files.remove(self._place)
        except StoreError:
            return

    def _listed(self) -> dict[str, StoredFile]:
        listed: dict[str, StoredFile] = {}
        directory = Path(self.path)
        if not directory.is_dir():
            raise StoreUnavailable(f"The attempt {self.name} was taken away while it worked; try again.")
        for name in sorted(os.listdir(directory)):
            if name == MANIFEST:
                continue
            try:
                digest, size = hash_file(directory / checked_name(name))
            except PlaceNotFound as error:
                raise ArtifactCorrupt(f"The attempt's {name} is not a regular file.") from error
            listed[name] = StoredFile(digest, size)
        return listed

    def commit(self, kind: ArtifactKind, meta: Mapping[str, JsonValue], cost: Cost) -> Commit:
        """Make this attempt the artifact, or adopt the one that was first; returns the winner.

        One that was archived meanwhile is taken back into use. Raises StoreFull, StoreUnavailable, and
        ArtifactCorrupt for a link or a directory among the files.
        """
        with local_errors(f"committing artifact {self.key[:12]}", Path(self.path)):
            listed = self._listed()
            content = dump_manifest(Manifest(kind, self.key, listed, meta, cost))
            (Path(self.path) / MANIFEST).write_bytes(content)
        sizes = {MANIFEST: len(content), **{name: entry.size for name, entry in listed.items()}}
        self._files.publish(self._place, Path(self.path), sizes)
        try:
            winner = self._claim(Commit(self.key, self.name, bytes_digest(content)))
        except StoreUnavailable:
            with suppress(StoreError):
                self._require_whole(sizes)
            raise
        if winner.attempt != self.name:
            self.discard()
            return winner
        self._require_whole(sizes)
        self._files.leave(Path(self.path))
        return winner

    def _claim(self, mine: Commit) -> Commit:
        """Create the marker, or find the one that was first."""
        self._claimed = True
        for _ in range(_TRIES):
            if self._files.create(marker_place(self.key), dump_marker(Marker(Standing.IN_USE, mine))):
                return mine
            seen = read_marker(self._files, self.key)
            if seen is None:
                continue
            marker, stamp = seen
            if marker.commit is None or marker.standing is Standing.DELETING:
                if marker.commit is None or marker.commit.attempt != self.name:
                    self._claimed = False
                raise StoreUnavailable(
                    f"Artifact {self.key[:12]} was removed while it was committed; try again."
                )
            if marker.standing is Standing.IN_USE or change_marker(
                self._files, self.key, Marker(Standing.IN_USE, marker.commit), stamp
            ):
                return marker.commit
        raise StoreUnavailable(f"Artifact {self.key[:12]} was removed while it was committed; try again.")

    def _require_whole(self, sizes: Mapping[str, int]) -> None:
        """Withdraw the commit if a deletion took files away between their upload and the marker."""
        found = {name: entry.size for name, entry in self._files.scan(self._place)}
        if found == dict(sizes):
            return
        erase(self._files, self.key, self.name)
        raise StoreUnavailable(f"The attempt {self.name} was taken away while it worked; try again.")
