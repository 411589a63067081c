"""Copies whole directories between a store and this machine."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from modelecology.store.digests import directory_digest, file_digest, regular_files
from modelecology.store.errors import ArtifactCorrupt, PlaceNotFound, StoreUnavailable
from modelecology.store.files import Files, local_errors, sync_directory, sync_file

RESERVED = frozenset({"artifacts", "inputs", "log", "progress", "store.json"})
"""Names at the store's root that are not for users' files."""


def write_pieces(pieces: Iterable[bytes], target: Path, beat: Callable[[], None] = lambda: None) -> None:
    """Write a file piece by piece, with a `beat` after each; raises StoreFull, StoreUnavailable."""
    with local_errors(f"writing {target.name}", target.parent), target.open("xb") as file:
        for piece in pieces:
            file.write(piece)
            beat()
        file.flush()
        os.fsync(file.fileno())


def _safe(name: str) -> str:
    if not name or name.startswith("/") or ".." in PurePosixPath(name).parts or "\0" in name:
        raise PlaceNotFound(f"{name!r} is no path within a directory.")
    return name


def copy_files(files: Files, relative: str, directory: Path) -> None:
    """Copy what lies below a place into an empty directory; raises PlaceNotFound where nothing does."""
    names = sorted(_safe(name) for name, _entry in files.scan(relative))
    if not names:
        raise PlaceNotFound(f"{files.where(relative)} is not there, or is no directory.")
    for name in names:
        target = directory / name
        with local_errors("making a directory", directory):
            target.parent.mkdir(parents=True, exist_ok=True)
        pieces = files.download(f"{relative}/{name}")
        if pieces is None:
            raise StoreUnavailable(f"{files.where(relative)} changes while it is read; try again.")
        write_pieces(pieces, target)


def fetch(files: Files, relative: str, digest: str, target: Path) -> str:
    """Lay a directory of the store at `target`, whole and checked; returns what was done.

    One that is there already with this digest is left. Raises ArtifactCorrupt for another digest,
    PlaceNotFound, StoreFull, StoreUnavailable.
    """
    if target.exists():
        found = directory_digest(str(target))
        if found == digest:
            return "is there already"
        raise ArtifactCorrupt(f"{target} is there with digest {found}; remove it, or choose another place.")
    aside = target.parent / f".{target.name}.{uuid.uuid4().hex}"
    with local_errors("making a directory", target.parent):
        aside.mkdir(parents=True)
    try:
        copy_files(files, relative, aside)
        found = directory_digest(str(aside))
        if found != digest:
            raise ArtifactCorrupt(
                f"{files.where(relative)} has digest {found}, not {digest}; mend the uri or the digest."
            )
        lay(aside, target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return "was fetched"


def lay(aside: Path, target: Path) -> None:
    """Put a filled directory in its place in one step, readable by every user, as engines may be another."""
    with local_errors(f"laying {target.name}", target.parent):
        for folder, _directories, names in os.walk(aside):
            Path(folder).chmod(0o755)
            for name in names:
                (Path(folder) / name).chmod(0o644)
                sync_file(Path(folder) / name)
            sync_directory(Path(folder))
        os.rename(aside, target)
        sync_directory(target.parent)


def put(files: Files, source: Path, relative: str) -> str:
    """Copy a file or a directory into the store and return its digest.

    What is there already is never overwritten, because something may be pinned to it: equal bytes are left,
    others are refused. Raises PlaceNotFound, StoreFull, StoreUnavailable.
    """
    if not relative or PurePosixPath(relative).parts[0] in RESERVED:
        raise PlaceNotFound(f"store:///{relative} is the store's own; choose another place.")
    if source.is_dir():
        names = {name: f"{relative}/{name}" for name in regular_files(str(source))}
        digest = directory_digest(str(source))
    else:
        names = {"": relative}
        digest = file_digest(str(source))
    there = {f"{relative}/{name}" for name, _entry in files.scan(relative)}
    if _digest_of(files, relative) is not None:
        there.add(relative)
    for place in sorted(there):
        local = next((source / name if name else source for name, p in names.items() if p == place), None)
        if local is None or _digest_of(files, place) != file_digest(str(local)):
            raise PlaceNotFound(
                f"{files.where(place)} is there already and is another file; choose another place."
            )
    for name, place in names.items():
        if place not in there:
            files.upload(place, source / name if name else source)
    return digest


def _digest_of(files: Files, place: str) -> str | None:
    pieces = files.download(place)
    if pieces is None:
        return None
    whole = hashlib.sha256()
    for piece in pieces:
        whole.update(piece)
    return f"sha256:{whole.hexdigest()}"
