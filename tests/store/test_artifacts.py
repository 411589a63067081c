"""What the store refuses, notices and proves, wherever it stands."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelecology.store import (
    ArtifactCorrupt,
    ArtifactKind,
    ArtifactMissing,
    ArtifactStore,
    Cost,
    Progress,
    StoreFormatUnknown,
    StoreUnavailable,
)
from modelecology.store.double import memory_objects
from modelecology.store.markers import marker_place
from modelecology.store.object_files import Objects
from modelecology.store.records import checked_name

from .conftest import Ground, in_memory, paths

KEY = "b" * 64


def put(
    store: ArtifactStore, key: str = KEY, content: bytes = b"weights", kind: ArtifactKind = "Train"
) -> str:
    """Commit an artifact of one file and return its place in the store."""
    with store.begin(key) as attempt:
        attempt.write("adapter.bin", content)
        commit = attempt.commit(kind, {"n": 1}, Cost(cpu_seconds=2.0, tokens=3))
    return f"artifacts/{key}/{commit.attempt}"


def test_a_commit_keeps_files_meta_and_cost(store: ArtifactStore) -> None:
    put(store)
    manifest = store.verify(KEY)
    assert manifest.kind == "Train"
    assert manifest.files["adapter.bin"].size == 7
    assert manifest.meta == {"n": 1}
    assert manifest.cost == Cost(cpu_seconds=2.0, tokens=3)


def test_what_one_committed_another_reads_at_once(ground: Ground) -> None:
    place = put(ground.open())
    other = ground.open()
    assert other.read(KEY, "adapter.bin") == b"weights"
    local = Path(other.local_path(KEY))
    assert (local / "adapter.bin").read_bytes() == b"weights"
    assert sorted(os.listdir(local)) == ["adapter.bin", "manifest.json"]
    assert paths(ground) == [f"{place}/adapter.bin", f"{place}/manifest.json", f"artifacts/{KEY}/commit.json"]


def test_an_uncommitted_key_has_no_commit_and_no_files(store: ArtifactStore) -> None:
    store.begin(KEY).write("adapter.bin", b"half")
    assert store.commit_of(KEY) is None
    for ask in (store.manifest, store.verify, store.local_path, store.archive, store.restore):
        with pytest.raises(ArtifactMissing):
            ask(KEY)


def test_a_failed_attempt_removes_itself(ground: Ground) -> None:
    with suppress(ZeroDivisionError), ground.open().begin(KEY) as attempt:
        attempt.write("adapter.bin", b"half")
        raise ZeroDivisionError
    assert not Path(attempt.path).exists()
    assert paths(ground) == []


def test_a_changed_file_is_noticed_and_named(ground: Ground) -> None:
    ground.files.replace(f"{put(ground.open())}/adapter.bin", b"WEIGHTS")
    with pytest.raises(ArtifactCorrupt, match=r"adapter\.bin.*changed after its commit"):
        ground.open().verify(KEY)
    with pytest.raises(ArtifactCorrupt, match=r"adapter\.bin"):
        ground.open().read(KEY, "adapter.bin")


def test_a_lost_file_is_noticed_and_named(ground: Ground) -> None:
    ground.files.remove(f"{put(ground.open())}/adapter.bin")
    with pytest.raises(ArtifactCorrupt, match=r"adapter\.bin.*is missing"):
        ground.open().verify(KEY)


def test_an_added_file_is_noticed_and_named(ground: Ground) -> None:
    ground.files.replace(f"{put(ground.open())}/extra.pkl", b"x")
    with pytest.raises(ArtifactCorrupt, match=r"extra\.pkl.*was not committed"):
        ground.open().verify(KEY)


def test_a_changed_manifest_is_noticed(ground: Ground) -> None:
    place = f"{put(ground.open())}/manifest.json"
    seen = ground.files.look(place)
    assert seen is not None
    assert seen.content is not None
    ground.files.replace(place, seen.content.replace(b'"n":1', b'"n":2'))
    with pytest.raises(ArtifactCorrupt, match="not what was committed"):
        ground.open().manifest(KEY)


@pytest.mark.parametrize(
    "content",
    [
        b'{"attempt":"../../elsewhere"}',
        b"{}",
        b'{"standing":"Archived"}',
        b'{"attempt":"attempt-' + b"0" * 32 + b'"}',
        b"",
    ],
)
def test_a_broken_commit_marker_is_noticed(ground: Ground, content: bytes) -> None:
    put(ground.open())
    ground.files.replace(marker_place(KEY), content)
    with pytest.raises(ArtifactCorrupt, match="commit marker"):
        ground.open().commit_of(KEY)


def test_a_link_among_the_files_of_an_attempt_is_refused(store: ArtifactStore, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    attempt = store.begin(KEY)
    (Path(attempt.path) / "adapter.bin").symlink_to(tmp_path / "secret")
    with pytest.raises(ArtifactCorrupt, match="regular"):
        attempt.commit("Import", {}, Cost())
    assert store.commit_of(KEY) is None


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "/x", "", ".", "..", ".hidden", "manifest.json", "a\0b", "a b"]
)
def test_an_unsafe_file_name_is_refused(store: ArtifactStore, name: str) -> None:
    with pytest.raises(ValueError, match="plain name"):
        store.begin(KEY).write(name, b"x")


@given(st.text(max_size=40))
def test_a_name_that_is_accepted_stays_inside_its_directory(name: str) -> None:
    try:
        checked_name(name)
    except ValueError:
        return
    inside = os.path.normpath(os.path.join("/root", name))
    assert os.path.dirname(inside) == "/root"
    assert inside != "/root"


@pytest.mark.parametrize("key", ["", "x" * 64, "a" * 63, "../" + "a" * 61, "A" * 64])
def test_a_key_that_is_no_digest_is_refused(store: ArtifactStore, key: str) -> None:
    for ask in (store.commit_of, store.begin, store.archive, store.restore, store.delete, store.progress):
        with pytest.raises(ValueError, match="64 hex digits"):
            ask(key)


def test_archive_and_restore_keep_every_byte(store: ArtifactStore) -> None:
    put(store)
    before = store.verify(KEY)
    store.archive(KEY)
    assert store.commit_of(KEY) is None
    assert store.is_archived(KEY)
    store.archive(KEY)
    store.restore(KEY)
    store.restore(KEY)
    assert store.verify(KEY) == before
    assert not store.is_archived(KEY)


def test_an_archived_artifact_says_that_it_can_be_restored(store: ArtifactStore) -> None:
    put(store)
    store.archive(KEY)
    with pytest.raises(ArtifactMissing, match="restore it first"):
        store.manifest(KEY)


def test_a_job_that_makes_what_is_archived_takes_it_back_into_use(ground: Ground) -> None:
    first = put(ground.open())
    ground.open().archive(KEY)
    assert put(ground.open(), content=b"the same, made again") == first
    assert ground.open().read(KEY, "adapter.bin") == b"weights"
    assert not ground.open().is_archived(KEY)


def test_a_look_that_was_made_before_a_change_does_not_hide_it(ground: Ground) -> None:
    mine, theirs = ground.open(), ground.open()
    put(mine)
    assert theirs.commit_of(KEY) == mine.commit_of(KEY)
    mine.archive(KEY)
    assert theirs.commit_of(KEY) is None
    assert theirs.is_archived(KEY)
    mine.delete(KEY)
    assert not theirs.is_archived(KEY)
    put(mine, content=b"anew")
    assert theirs.read(KEY, "adapter.bin") == b"anew"


def test_delete_proves_that_nothing_is_left(ground: Ground) -> None:
    store = ground.open()
    put(store)
    store.archive(KEY)
    store.write_progress(KEY, Progress(1, 2))
    store.begin(KEY).write("half.bin", b"half")
    ground.files.replace(f"artifacts/{KEY}/attempt-{'0' * 32}/half.bin", b"half")
    proof = store.delete(KEY)
    assert proof.freed_bytes > 14
    assert paths(ground) == []
    local = ground.files.local(f"artifacts/{KEY}")
    assert local is None or not local.exists()
    assert store.delete(KEY).freed_bytes == 0


def test_what_is_being_deleted_is_neither_used_nor_committed_nor_restored(ground: Ground) -> None:
    put(ground.open())
    ground.files.replace(marker_place(KEY), b'{"standing":"Deleting"}')
    store = ground.open()
    assert store.commit_of(KEY) is None
    assert store.is_archived(KEY)
    store.archive(KEY)
    with pytest.raises(StoreUnavailable, match="was removed while it was committed"):
        put(store)
    with pytest.raises(ArtifactMissing, match="not in the archive"):
        store.restore(KEY)
    assert paths(ground) == []
    put(store)


def test_progress_is_overwritten_and_a_torn_record_is_none(ground: Ground) -> None:
    store = ground.open()
    assert store.progress(KEY) is None
    store.write_progress(KEY, Progress(1, 10, 0.5, 9.0, "Training"))
    last = Progress(2, 10, 0.25, 8.0, "Training", Cost(cpu_seconds=3.5, tokens=7))
    store.write_progress(KEY, last)
    assert store.progress(KEY) == last
    seen = ground.files.look(f"progress/{KEY}.json")
    assert seen is not None
    assert json.loads(seen.content or b"")["etaSeconds"] == 8.0
    ground.files.replace(f"progress/{KEY}.json", b'{"st')
    assert store.progress(KEY) is None


def test_a_store_of_a_newer_version_is_refused(ground: Ground) -> None:
    ground.files.replace("store.json", b'{"format":3}')
    with pytest.raises(StoreFormatUnknown, match="upgrade"):
        ground.open().begin(KEY)


def test_a_torn_store_record_is_told(ground: Ground) -> None:
    ground.files.replace("store.json", b"{")
    with pytest.raises(StoreUnavailable, match=r"store\.json cannot be read; restore it"):
        ground.open().begin(KEY)


def test_an_engine_finds_a_directory_where_it_is_and_a_bucket_where_it_is_mirrored(ground: Ground) -> None:
    place = put(ground.open())
    found = ground.open().engine_path(KEY, "/var/lib/adapters/")
    if ground.kind == "directory":
        assert found == str(ground.files.local(place))
        assert (Path(found) / "adapter.bin").exists()
    else:
        assert found == f"/var/lib/adapters/{place}"
    with pytest.raises(ArtifactMissing):
        ground.open().engine_path("c" * 64, "/x")


def test_the_keys_that_may_be_adapters_are_those_with_weights_and_a_marker(ground: Ground) -> None:
    store = ground.open()
    put(store)
    with store.begin("a" * 64) as attempt:
        attempt.write("adapter_model.safetensors", b"w")
        attempt.commit("Train", {}, Cost())
    ground.files.replace(f"artifacts/{'c' * 64}/attempt-{'0' * 32}/adapter_model.safetensors", b"w")
    ((key, stamp),) = store.adapters()
    seen = ground.files.look(marker_place("a" * 64))
    assert seen is not None
    assert (key, stamp) == ("a" * 64, seen.stamp)


class Careless:
    """A service that answers every put alike, whatever its condition."""

    def __init__(self, objects: Objects, ignored: str) -> None:
        self._objects = objects
        self._ignored = ignored
        self.get, self.delete, self.list = objects.get, objects.delete, objects.list

    def put(self, path: str, file: Any, *, mode: Any = None, **options: Any) -> Any:
        """Forget the condition."""
        kind = "create" if mode == "create" else "swap"
        return self._objects.put(
            path, file, mode=None if kind == self._ignored else mode, use_multipart=False
        )


@pytest.mark.parametrize("ignored", ["create", "swap"])
def test_a_service_that_ignores_conditions_is_refused_before_anything_is_committed(
    tmp_path: Path, ignored: str
) -> None:
    ground = in_memory(Careless(memory_objects(), ignored), tmp_path)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="ignores If-None-Match and If-Match"):
            put(ground.open())
    assert paths(ground) == []
