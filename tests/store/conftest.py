"""One store, three times: in a directory, in a bucket in memory, and in a bucket of a real S3 server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

import pytest

from modelecology.store import ArtifactStore, S3Access
from modelecology.store.cache import Cache
from modelecology.store.double import memory_objects, object_files
from modelecology.store.files import Files
from modelecology.store.object_files import Objects
from testbed.s3 import S3Server

KINDS: Final = ("directory", "memory", "s3")


class Ground(Protocol):
    """Where a store stands, and a hand to change its bytes behind its back."""

    @property
    def kind(self) -> str:
        """One of KINDS."""
        ...

    @property
    def cache(self) -> Cache:
        """What the store keeps on this machine."""
        ...

    def open(self) -> ArtifactStore:
        """Open the store anew, with nothing known of it."""
        ...

    @property
    def files(self) -> Files:
        """The store's files."""
        ...


class Opened:
    """A store on some files."""

    def __init__(self, kind: str, files: Files, cache: Cache) -> None:
        self.kind = kind
        self.files = files
        self.cache = cache

    def open(self) -> ArtifactStore:
        """Open the store anew."""
        return ArtifactStore(self.files, self.cache)


def paths(ground: Ground) -> list[str]:
    """List everything in the store."""
    found = []
    for top in ("artifacts", "progress", "generalist", "data"):
        found += [f"{top}/{name}" for name, _entry in ground.files.scan(top)]
    return sorted(found)


def in_memory(objects: Objects, directory: Path) -> Opened:
    """Give a store in a bucket that is only pretended."""
    cache = Cache(directory / "cache")
    return Opened("memory", object_files(objects, cache.attempts), cache)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """One S3 server for all tests; they keep apart by their prefixes."""
    with S3Server() as server:
        yield server


@pytest.fixture
def s3_uri(s3_server: S3Server) -> str:
    """A store's uri below a prefix of its own."""
    return s3_server.uri(f"test/{uuid.uuid4().hex}")


@pytest.fixture
def s3_access(s3_server: S3Server) -> S3Access:
    """How the operator reaches the bucket."""
    return S3Access(s3_server.endpoint, credentials=s3_server.credentials)


def new_ground(request: pytest.FixtureRequest, tmp_path: Path, kind: str) -> Ground:
    """Give an empty store of one kind."""
    request.getfixturevalue("monkeypatch").setenv("MODELECOLOGY_CACHE", str(tmp_path / "cache"))
    if kind == "memory":
        return in_memory(memory_objects(), tmp_path)
    if kind == "directory":
        store = ArtifactStore.create(f"file://{tmp_path / 'store'}")
    else:
        store = ArtifactStore.create(request.getfixturevalue("s3_uri"), request.getfixturevalue("s3_access"))
    return Opened(kind, store.files, Cache(tmp_path / "cache"))


@pytest.fixture(params=KINDS)
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Ground:
    """Each kind of store in turn, empty."""
    return new_ground(request, tmp_path, request.param)


@pytest.fixture(params=KINDS[1:])
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> Ground:
    """Each kind of bucket in turn, empty."""
    return new_ground(request, tmp_path, request.param)


@pytest.fixture
def store(ground: Ground) -> ArtifactStore:
    """An empty store of each kind."""
    return ground.open()
