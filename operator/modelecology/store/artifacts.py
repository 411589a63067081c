"""Content-addressed artifacts: any number of attempts, exactly one commit.

A job works in a directory of its own and, when all its bytes are on disk, creates `commit.json`, which can be
created once only. Whoever comes second adopts the winner. Until then a reader sees nothing of an attempt.

    artifacts/<key>/attempt-<uuid>/...      the files and manifest.json
    artifacts/<key>/commit.json             which attempt counts
    progress/<key>.json                     a hint for people
    archive/<key>/...                       retired artifacts, whole
    trash/<key>-<uuid>/...                  on its way out, invisible
    store.json                              the layout's version
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import BaseModel, JsonValue, ValidationError

from modelecology.store.errors import (
    ArtifactCorrupt,
    ArtifactMissing,
    PlaceNotFound,
    StoreError,
    StoreFormatUnknown,
    StoreUnavailable,
)
from modelecology.store.files import LocalFiles, sync_directory, sync_file
from modelecology.store.places import hash_file, store_root
from modelecology.store.records import (
    ArtifactKind,
    Commit,
    Cost,
    Manifest,
    Progress,
    StoredFile,
    bytes_digest,
    dump_commit,
    dump_manifest,
    dump_progress,
    load_commit,
    load_manifest,
    load_progress,
)

FORMAT = 1
MANIFEST = "manifest.json"
_KEY = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class _FormatRecord(BaseModel):
    format: int


@dataclass(frozen=True, slots=True)
class Absence:
    """Proof that nothing of a key is left: the places looked at afterwards, and the bytes that were freed."""

    key: str
    looked_at: tuple[str, ...]
    freed_bytes: int


def _checked_key(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError(f"an artifact's key is 64 hex digits, not {key!r}")
    return key


def checked_name(name: str) -> str:
    """Return a file name that is safe inside an artifact; raises ValueError."""
    if not _NAME.fullmatch(name) or name == MANIFEST:
        raise ValueError(f"an artifact's file must have a plain name other than {MANIFEST}, not {name!r}")
    return name


class Attempt:
    """One try at an artifact; as a context manager it removes itself when the work inside fails."""

    def __init__(self, files: LocalFiles, key: str, name: str) -> None:
        self._files = files
        self.key = key
        self.name = name
        self.path = str(files.at(f"artifacts/{key}/{name}"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.discard()

    def write(self, name: str, content: bytes) -> None:
        """Write one file; raises ValueError for an unsafe name, StoreFull, StoreUnavailable."""
        with self._files.translated(f"writing {name}"):
            (Path(self.path) / checked_name(name)).write_bytes(content)

    def discard(self) -> None:
        """Remove the attempt; one that cannot be removed now is invisible anyway."""
        try:
            self._files.remove(f"artifacts/{self.key}/{self.name}")
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
            sync_file(directory / name)
            listed[name] = StoredFile(digest, size)
        return listed

    def commit(self, kind: ArtifactKind, meta: Mapping[str, JsonValue], cost: Cost) -> Commit:
        """Make this attempt the artifact, or adopt the one that was first; returns the winner.

        Raises StoreFull, StoreUnavailable, and ArtifactCorrupt for a link or a directory among the files.
        """
        with self._files.translated(f"committing artifact {self.key[:12]}"):
            content = dump_manifest(Manifest(kind, self.key, self._listed(), meta, cost))
            manifest = Path(self.path) / MANIFEST
            manifest.write_bytes(content)
            sync_file(manifest)
            sync_directory(Path(self.path))
        mine = Commit(self.key, self.name, bytes_digest(content))
        place = f"artifacts/{self.key}/commit.json"
        if self._files.create(place, dump_commit(mine)):
            return mine
        winner = self._files.read(place)
        if winner is None:
            raise StoreUnavailable(f"Artifact {self.key[:12]} was removed while it was committed; try again.")
        adopted = load_commit(self.key, winner)
        if adopted.attempt != self.name:
            self.discard()
        return adopted


class ArtifactStore:
    """The store below one root."""

    def __init__(self, files: LocalFiles) -> None:
        self._files = files
        self._known_format = False
        # A commit never changes, so it is read once a version of its file; a look costs one stat.
        self._commits: dict[str, tuple[tuple[int, int, int], Commit]] = {}
        self._manifests: dict[str, Manifest] = {}

    @classmethod
    def open(cls, uri: str) -> ArtifactStore:
        """Open a `file:///` store; the root is looked at when it is used, so it may be mounted later.

        Raises PlaceNotFound for a uri of another form.
        """
        return cls(LocalFiles(store_root(uri)))

    @classmethod
    def create(cls, uri: str) -> ArtifactStore:
        """Make the root where it is missing, and open it; raises StoreUnavailable."""
        store = cls.open(uri)
        with store._files.translated("creating the root"):
            store._files.root.mkdir(parents=True, exist_ok=True)
        store._check_format(write=True)
        return store

    def _check_format(self, *, write: bool = False) -> None:
        if self._known_format:
            return
        content = self._files.read("store.json")
        if content is None:
            if not write:
                return
            self._files.create("store.json", b'{"format":%d}\n' % FORMAT)
            content = self._files.read("store.json") or b""
        try:
            found = _FormatRecord.model_validate_json(content).format
        except ValidationError as error:
            raise StoreUnavailable(f"{self._files.at('store.json')} cannot be read; restore it.") from error
        if found > FORMAT:
            raise StoreFormatUnknown(
                f"The store has layout {found} and this version knows up to {FORMAT}; upgrade Model Ecology."
            )
        self._known_format = True

    def commit_of(self, key: str) -> Commit | None:
        """Return the winning commit or None; one stat. Raises ArtifactCorrupt, StoreUnavailable."""
        self._check_format()
        place = f"artifacts/{_checked_key(key)}/commit.json"
        stamp = self._files.stamp(place)
        if stamp is None:
            self._commits.pop(key, None)
            return None
        known = self._commits.get(key)
        if known is not None and known[0] == stamp:
            return known[1]
        content = self._files.read(place)
        if content is None:
            return None
        commit = load_commit(key, content)
        self._commits[key] = (stamp, commit)
        return commit

    def _required(self, key: str) -> Commit:
        commit = self.commit_of(key)
        if commit is None:
            where = "is archived; restore it first" if self.is_archived(key) else "is not in the store"
            raise ArtifactMissing(f"Artifact {key[:12]} {where}.")
        return commit

    def manifest(self, key: str) -> Manifest:
        """Return the manifest, read once a commit; raises ArtifactMissing, ArtifactCorrupt."""
        commit = self._required(key)
        known = self._manifests.get(commit.manifest)
        if known is None:
            known = self._read_manifest(key, commit)
            self._manifests[commit.manifest] = known
        return known

    def _read_manifest(self, key: str, commit: Commit) -> Manifest:
        """Read the manifest and check it against the commit; raises ArtifactCorrupt."""
        content = self._files.read(f"artifacts/{key}/{commit.attempt}/{MANIFEST}")
        if content is None or bytes_digest(content) != commit.manifest:
            state = "missing" if content is None else "not what was committed"
            raise ArtifactCorrupt(f"The manifest of artifact {key[:12]} is {state}; restore the store.")
        return load_manifest(key, content)

    def verify(self, key: str) -> Manifest:
        """Rehash every file and return the manifest; raises ArtifactCorrupt naming the first bad file."""
        commit = self._required(key)
        manifest = self._read_manifest(key, commit)
        directory = f"artifacts/{key}/{commit.attempt}"
        present = set(self._files.names(directory)) - {MANIFEST}
        for name in sorted(present ^ set(manifest.files)):
            state = "was not committed" if name in present else "is missing"
            raise ArtifactCorrupt(f"{name} of artifact {key[:12]} {state}; restore the store.")
        for name, entry in sorted(manifest.files.items()):
            try:
                found = StoredFile(*hash_file(self._files.at(f"{directory}/{name}")))
            except PlaceNotFound as error:
                raise ArtifactCorrupt(f"{name} of artifact {key[:12]} is not a regular file.") from error
            if found != entry:
                raise ArtifactCorrupt(f"{name} of artifact {key[:12]} changed after its commit; restore it.")
        return manifest

    def read(self, key: str, name: str) -> bytes:
        """Return one file's bytes after a check of their digest; raises ArtifactMissing, ArtifactCorrupt."""
        manifest = self.manifest(key)
        entry = manifest.files.get(checked_name(name))
        if entry is None:
            raise ArtifactMissing(f"Artifact {key[:12]} has no file {name}.")
        content = self._files.read(f"artifacts/{key}/{self._required(key).attempt}/{name}")
        if content is None or bytes_digest(content) != f"sha256:{entry.sha256}":
            raise ArtifactCorrupt(f"{name} of artifact {key[:12]} changed after its commit; restore it.")
        return content

    def local_path(self, key: str) -> str:
        """Return the directory of the winning attempt; raises ArtifactMissing."""
        return str(self._files.at(f"artifacts/{key}/{self._required(key).attempt}"))

    def begin(self, key: str) -> Attempt:
        """Start an attempt at a key, committed or not; raises StoreFull, StoreUnavailable."""
        self._check_format(write=True)
        attempt = Attempt(self._files, _checked_key(key), f"attempt-{uuid.uuid4().hex}")
        self._files.make_directory(f"artifacts/{key}/{attempt.name}")
        return attempt

    def write_progress(self, key: str, progress: Progress) -> None:
        """Overwrite the progress of a key."""
        self._files.replace(f"progress/{_checked_key(key)}.json", dump_progress(progress))

    def progress(self, key: str) -> Progress | None:
        """Return the last progress of a key, or None."""
        content = self._files.read(f"progress/{_checked_key(key)}.json")
        return None if content is None else load_progress(content)

    def is_archived(self, key: str) -> bool:
        """Say whether the archive holds a committed artifact of this key."""
        return self._files.read(f"archive/{_checked_key(key)}/commit.json") is not None

    def archive(self, key: str) -> None:
        """Take an artifact out of use, whole; repeating it is harmless. Raises ArtifactMissing."""
        if self.commit_of(key) is None:
            if self.is_archived(key):
                return
            raise ArtifactMissing(f"Artifact {key[:12]} is not in the store, so it cannot be archived.")
        self._discard_directory(f"archive/{key}", key)
        self._files.move(f"artifacts/{key}", f"archive/{key}")

    def restore(self, key: str) -> None:
        """Take an artifact back into use, whole; repeating it is harmless. Raises ArtifactMissing."""
        if self.commit_of(key) is not None:
            return
        if not self.is_archived(key):
            raise ArtifactMissing(f"Artifact {key[:12]} is not in the archive, so it cannot be restored.")
        self._discard_directory(f"artifacts/{key}", key)
        self._files.move(f"archive/{key}", f"artifacts/{key}")

    def _discard_directory(self, relative: str, key: str) -> int:
        """Remove a directory in two steps, so that a crash in between leaves nothing half there."""
        if not self._files.exists(relative):
            return 0
        trash = f"trash/{key}-{uuid.uuid4().hex}"
        self._files.move(relative, trash)
        return self._files.remove(trash)

    def _traces(self, key: str) -> tuple[str, ...]:
        fixed = (f"artifacts/{key}", f"archive/{key}", f"progress/{key}.json")
        thrown = (f"trash/{name}" for name in self._files.names("trash") if name.startswith(f"{key}-"))
        return (*(place for place in fixed if self._files.exists(place)), *thrown)

    def delete(self, key: str) -> Absence:
        """Remove everything of a key and prove that nothing is left; repeating it is harmless.

        Raises StoreUnavailable naming what could not be removed.
        """
        _checked_key(key)
        self._check_format()
        freed = self._discard_directory(f"artifacts/{key}", key)
        freed += self._discard_directory(f"archive/{key}", key)
        for place in self._traces(key):
            freed += self._files.remove(place)
        left = self._traces(key)
        if left:
            raise StoreUnavailable(
                f"Artifact {key[:12]} is not gone: {', '.join(left)} is still there; try again."
            )
        return Absence(key, (f"artifacts/{key}", f"archive/{key}", f"progress/{key}.json", "trash"), freed)
