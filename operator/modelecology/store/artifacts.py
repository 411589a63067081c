"""Content-addressed artifacts: any number of attempts, exactly one commit.

A job works in a directory of its own and, when all its bytes are safe, creates `commit.json`, which can be
created once only. Whoever comes second adopts the winner. Until then a reader sees nothing of an attempt.

    artifacts/<key>/attempt-<uuid>/...      the files and manifest.json
    artifacts/<key>/commit.json             which attempt counts, and whether it is archived
    progress/<key>.json                     a hint for people
    store.json                              the layout's version

The same in a directory (`file:///path`) and in a bucket (`s3://bucket/prefix`).
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from modelecology.store.attempts import Attempt
from modelecology.store.cache import Cache, cache_root
from modelecology.store.digests import hash_file
from modelecology.store.errors import (
    ArtifactCorrupt,
    ArtifactMissing,
    PlaceNotFound,
    StoreUnavailable,
)
from modelecology.store.files import LARGEST_RECORD, Files
from modelecology.store.inputs import KeptInputs
from modelecology.store.layouts import check_layout
from modelecology.store.local_files import LocalFiles
from modelecology.store.markers import MARKER, erase, marker_place, turn
from modelecology.store.places import Places, store_root
from modelecology.store.records import (
    MANIFEST,
    Commit,
    Manifest,
    Marker,
    Progress,
    Standing,
    StoredFile,
    bytes_digest,
    checked_key,
    checked_name,
    dump_progress,
    is_key,
    load_manifest,
    load_marker,
    load_progress,
)
from modelecology.store.s3 import S3Access, s3_files
from modelecology.store.transfer import write_pieces

WEIGHTS_SUFFIX = ".safetensors"


@dataclass(frozen=True, slots=True)
class Absence:
    """Proof that nothing of a key is left: the places looked at afterwards, and the bytes that were freed."""

    key: str
    looked_at: tuple[str, ...]
    freed_bytes: int


class ArtifactStore:
    """The store below one root. `fresh` gives 32 hex digits that nobody had before: an attempt's name."""

    def __init__(
        self, files: Files, cache: Cache, fresh: Callable[[], str] = lambda: uuid.uuid4().hex
    ) -> None:
        self._fresh = fresh
        self.places = Places(files, cache)
        self.inputs = KeptInputs(files)
        self._files = files
        self._cache = cache
        self._known_format = False
        # A marker is read once a version of it; a look at one that is known costs one small request.
        self._markers: dict[str, tuple[str, Marker]] = {}
        self._manifests: dict[str, Manifest] = {}

    @classmethod
    def open(cls, uri: str, access: S3Access | None = None) -> ArtifactStore:
        """Open a `file:///` or `s3://` store; it is looked at when it is used, so it may come later.

        Without `access` a bucket is reached as the environment says. Raises PlaceNotFound for another uri.
        """
        cache = Cache(cache_root(os.environ))
        if uri.startswith("s3:"):
            access = access or S3Access.from_environment(os.environ)
            return cls(s3_files(uri, access, lambda: cache.attempts), cache)
        return cls(LocalFiles(store_root(uri)), cache)

    @classmethod
    def create(cls, uri: str, access: S3Access | None = None) -> ArtifactStore:
        """Make the root where it is missing, though never a bucket, and open it; raises StoreUnavailable."""
        store = cls.open(uri, access)
        store._files.make_root()
        store._check_format(write=True)
        return store

    @property
    def files(self) -> Files:
        """The files below the store's root."""
        return self._files

    def _check_format(self, *, write: bool = False) -> None:
        self._known_format = self._known_format or check_layout(self._files, write=write)

    def _marker(self, key: str) -> Marker | None:
        self._check_format()
        known = self._markers.get(checked_key(key))
        seen = self._files.look(marker_place(key), known[0] if known else "", LARGEST_RECORD)
        if seen is None:
            self._markers.pop(key, None)
            return None
        if seen.content is None and known is not None:
            return known[1]
        marker = load_marker(key, seen.content or b"")
        self._markers[key] = (seen.stamp, marker)
        return marker

    def commit_of(self, key: str) -> Commit | None:
        """Return the commit in use or None; one request. Raises ArtifactCorrupt, StoreUnavailable."""
        marker = self._marker(key)
        return marker.commit if marker is not None and marker.standing is Standing.IN_USE else None

    def _required(self, key: str) -> Commit:
        commit = self.commit_of(key)
        if commit is None:
            where = "is archived; restore it first" if self.is_archived(key) else "is not in the store"
            raise ArtifactMissing(f"Artifact {key[:12]} {where}.")
        return commit

    def manifest(self, key: str, *, archived: bool = False) -> Manifest:
        """Return the manifest, read once a commit, of an `archived` artifact too where that is wanted.

        Raises ArtifactMissing, ArtifactCorrupt.
        """
        marker = self._marker(key) if archived else None
        commit = marker.commit if marker is not None and marker.standing is not Standing.DELETING else None
        return self._manifest(commit or self._required(key))

    def _manifest(self, commit: Commit) -> Manifest:
        known = self._manifests.get(commit.manifest)
        if known is None:
            known = self._read_manifest(commit)
            self._manifests[commit.manifest] = known
        return known

    def _read_manifest(self, commit: Commit) -> Manifest:
        """Read the manifest and check it against the commit; raises ArtifactCorrupt."""
        key = commit.key
        seen = self._files.look(f"artifacts/{key}/{commit.attempt}/{MANIFEST}", limit=8 * LARGEST_RECORD)
        content = seen.content if seen else None
        if content is None or bytes_digest(content) != commit.manifest:
            state = "missing" if content is None else "not what was committed"
            raise ArtifactCorrupt(f"The manifest of artifact {key[:12]} is {state}; restore the store.")
        return load_manifest(key, content)

    def verify(self, key: str) -> Manifest:
        """Rehash every file, or those of the local copy, and return the manifest.

        Raises ArtifactMissing, and ArtifactCorrupt naming the first bad file.
        """
        commit = self._required(key)
        manifest = self._read_manifest(commit)
        directory = f"artifacts/{key}/{commit.attempt}"
        present = {name for name, _entry in self._files.scan(directory)} - {MANIFEST}
        for name in sorted(present ^ set(manifest.files)):
            state = "was not committed" if name in present else "is missing"
            raise ArtifactCorrupt(f"{name} of artifact {key[:12]} {state}; restore the store.")
        local = self._files.local(directory)
        if local is None:
            self._checkout(commit, manifest)
        else:
            check_copy(local, manifest)
        return manifest

    def read(self, key: str, name: str) -> bytes:
        """Return one file's bytes after a check of their digest; raises ArtifactMissing, ArtifactCorrupt."""
        commit = self._required(key)
        entry = self._manifest(commit).files.get(checked_name(name))
        if entry is None:
            raise ArtifactMissing(f"Artifact {key[:12]} has no file {name}.")
        seen = self._files.look(f"artifacts/{key}/{commit.attempt}/{name}")
        content = seen.content if seen else None
        if content is None or bytes_digest(content) != f"sha256:{entry.sha256}":
            raise ArtifactCorrupt(f"{name} of artifact {key[:12]} changed after its commit; restore it.")
        return content

    def local_path(self, key: str) -> str:
        """Return a directory of this machine with the artifact's files; those of a bucket are fetched.

        A copy is checked whenever it is given out. Raises ArtifactMissing, ArtifactCorrupt, StoreUnavailable.
        """
        commit = self._required(key)
        local = self._files.local(f"artifacts/{key}/{commit.attempt}")
        return str(local or self._checkout(commit, self._manifest(commit)))

    def engine_path(self, key: str, adapter_root: str) -> str:
        """Return where engines find the artifact: at its own place, or where the mirror lays it.

        Nothing is fetched. Raises ArtifactMissing, StoreUnavailable.
        """
        place = f"artifacts/{key}/{self._required(key).attempt}"
        local = self._files.local(place)
        return str(local) if local is not None else f"{adapter_root.rstrip('/')}/{place}"

    def _checkout(self, commit: Commit, manifest: Manifest) -> Path:
        name = commit.manifest.removeprefix("sha256:")
        known = self._cache.get("artifacts", name)
        if known is not None:
            try:
                check_copy(known, manifest)
                return known
            except ArtifactCorrupt:
                self._cache.drop("artifacts", name)
        with self._cache.filling("artifacts") as aside:
            self.export(commit, aside)
            return self._cache.keep("artifacts", aside, name)

    def export(self, commit: Commit, directory: Path, beat: Callable[[], None] = lambda: None) -> Manifest:
        """Copy an artifact's files and manifest into a directory and check them; raises ArtifactCorrupt.

        `beat` is called for every piece.
        """
        manifest = self._manifest(commit)
        place = f"artifacts/{commit.key}/{commit.attempt}"
        for name in (*sorted(manifest.files), MANIFEST):
            pieces = self._files.download(f"{place}/{name}")
            if pieces is None:
                raise ArtifactCorrupt(f"{name} of artifact {commit.key[:12]} is missing; restore the store.")
            write_pieces(pieces, directory / name, beat)
        check_copy(directory, manifest)
        return manifest

    def adapters(self) -> Iterator[tuple[str, str]]:
        """List keys that may be adapters, with the stamps of their markers; what they are the marker says."""
        stamps: dict[str, str] = {}
        weighty: set[str] = set()
        for name, entry in self._files.scan("artifacts"):
            key, _slash, rest = name.partition("/")
            if not is_key(key):
                continue  # somebody else's
            if rest == MARKER:
                stamps[key] = entry.stamp
            elif rest.endswith(WEIGHTS_SUFFIX):
                weighty.add(key)
        return ((key, stamps[key]) for key in sorted(weighty & stamps.keys()))

    def begin(self, key: str) -> Attempt:
        """Start an attempt at a key, committed or not; raises StoreFull, StoreUnavailable."""
        self._check_format(write=True)
        return Attempt(self._files, checked_key(key), f"attempt-{self._fresh()}")

    def write_progress(self, key: str, progress: Progress) -> None:
        """Overwrite the progress of a key."""
        self._files.replace(f"progress/{checked_key(key)}.json", dump_progress(progress))

    def progress(self, key: str) -> Progress | None:
        """Return the last progress of a key, or None."""
        seen = self._files.look(f"progress/{checked_key(key)}.json", limit=LARGEST_RECORD)
        return None if seen is None else load_progress(seen.content or b"")

    def is_archived(self, key: str) -> bool:
        """Say whether an artifact of this key is kept out of use; so is one whose deletion was cut short."""
        marker = self._marker(key)
        return marker is not None and marker.standing is not Standing.IN_USE

    def archive(self, key: str) -> None:
        """Take an artifact out of use, whole; repeating it is harmless. Raises ArtifactMissing."""
        self._check_format()
        if turn(self._files, checked_key(key), Standing.ARCHIVED) is None:
            raise ArtifactMissing(f"Artifact {key[:12]} is not in the store, so it cannot be archived.")

    def restore(self, key: str) -> None:
        """Take an artifact back into use, whole; repeating it is harmless.

        A deletion that was cut short is ended. Raises ArtifactMissing.
        """
        self._check_format()
        marker = turn(self._files, checked_key(key), Standing.IN_USE)
        if marker is not None and marker.standing is Standing.DELETING:
            self.delete(key)
        if marker is None or marker.standing is Standing.DELETING:
            raise ArtifactMissing(f"Artifact {key[:12]} is not in the archive, so it cannot be restored.")

    def delete(self, key: str) -> Absence:
        """Remove everything of a key and prove that nothing is left; repeating it is harmless.

        Raises StoreUnavailable naming what could not be removed.
        """
        self._check_format()
        places = (f"artifacts/{checked_key(key)}", f"progress/{key}.json")
        freed = erase(self._files, key) + self._files.remove(places[1])
        known = self._markers.pop(key, None)
        if known is not None and known[1].commit is not None:
            self._manifests.pop(known[1].commit.manifest, None)
        left = [f"{places[0]}/{name}" for name, _entry in self._files.scan(places[0])]
        if self._files.look(places[1]) is not None:
            left.append(places[1])
        if left:
            raise StoreUnavailable(
                f"Artifact {key[:12]} is not gone: {', '.join(left[:5])} is still there; try again."
            )
        return Absence(key, places, freed)


def check_copy(directory: Path, manifest: Manifest) -> None:
    """Rehash the files of a directory; raises ArtifactCorrupt naming the first bad one."""
    for name, entry in sorted(manifest.files.items()):
        try:
            found = StoredFile(*hash_file(directory / name))
        except PlaceNotFound as error:
            raise ArtifactCorrupt(f"{name} of artifact {manifest.key[:12]} is not a regular file.") from error
        if found != entry:
            raise ArtifactCorrupt(
                f"{name} of artifact {manifest.key[:12]} changed after its commit; restore it."
            )
