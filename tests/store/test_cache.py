"""Copies on this machine: checked when they are used, whole from the first moment, and gone when unused."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from modelecology.store import ArtifactCorrupt, ArtifactStore, Cost, StoreUnavailable
from modelecology.store.cache import KEPT_SECONDS, Cache, cache_root
from modelecology.store.double import Fault, FlakyObjects, memory_objects

from .conftest import in_memory

KEY = "a" * 64


def put(store: ArtifactStore) -> None:
    with store.begin(KEY) as attempt:
        attempt.write("adapter.bin", b"weights")
        attempt.commit("Train", {}, Cost())


def test_the_cache_is_where_the_environment_says_or_the_users_own() -> None:
    assert cache_root({"MODELECOLOGY_CACHE": "/cache"}) == Path("/cache")
    assert cache_root({}) == Path(tempfile.gettempdir()) / f"modelecology-cache-{os.getuid()}"


def test_an_artifact_is_fetched_once_and_anew_when_its_copy_was_changed(tmp_path: Path) -> None:
    asked: list[str] = []

    def noting(kind: str, path: str) -> Fault:
        asked.append(path.rpartition("/")[2])
        return Fault.NONE

    ground = in_memory(FlakyObjects(memory_objects(), noting), tmp_path)
    put(ground.open())
    asked.clear()
    path = Path(ground.open().local_path(KEY))
    assert asked.count("adapter.bin") == 1
    assert ground.open().local_path(KEY) == str(path)
    assert asked.count("adapter.bin") == 1
    (path / "adapter.bin").write_bytes(b"WEIGHTS")
    again = Path(ground.open().local_path(KEY))
    assert (again / "adapter.bin").read_bytes() == b"weights"
    assert asked.count("adapter.bin") == 2


def test_what_is_not_what_was_committed_never_comes_into_the_cache(tmp_path: Path) -> None:
    ground = in_memory(memory_objects(), tmp_path)
    put(ground.open())
    commit = ground.open().commit_of(KEY)
    assert commit is not None
    ground.files.replace(f"artifacts/{KEY}/{commit.attempt}/adapter.bin", b"WEIGHTS")
    with pytest.raises(ArtifactCorrupt, match=r"adapter\.bin"):
        ground.open().local_path(KEY)
    ground.files.remove(f"artifacts/{KEY}/{commit.attempt}/adapter.bin")
    with pytest.raises(ArtifactCorrupt, match=r"adapter\.bin.*is missing"):
        ground.open().local_path(KEY)
    assert list((tmp_path / "cache" / "artifacts").iterdir()) == []


def test_what_nobody_used_for_a_day_makes_room_when_something_is_added(tmp_path: Path) -> None:
    now = [1_000_000.0]
    cache = Cache(tmp_path / "cache", lambda: now[0])
    for name in ("old", "used", "new"):
        with cache.filling("artifacts") as aside:
            place = cache.keep("artifacts", aside, name)
        os.utime(place, (now[0], now[0]))
        now[0] += 10
    now[0] += KEPT_SECONDS - 25
    assert cache.get("artifacts", "used") is not None
    now[0] += 10
    with cache.filling("places"):
        pass
    assert sorted(path.name for path in (tmp_path / "cache" / "artifacts").iterdir()) == ["new", "used"]


def test_of_two_who_fetch_the_same_the_second_takes_what_the_first_kept(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    with cache.filling("places") as first, cache.filling("places") as second:
        (first / "x").write_text("x")
        (second / "x").write_text("x")
        assert cache.keep("places", first, "name") == cache.keep("places", second, "name")
    assert [path.name for path in (tmp_path / "cache" / "places").iterdir()] == ["name"]


def test_a_cache_that_is_a_link_to_somewhere_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "cache").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreUnavailable, match="MODELECOLOGY_CACHE"):
        _ = Cache(tmp_path / "cache").attempts
