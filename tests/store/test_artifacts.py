"""What the store refuses, notices and proves."""

from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelecology.store import (
    ArtifactCorrupt,
    ArtifactMissing,
    ArtifactStore,
    Cost,
    Progress,
    StoreFormatUnknown,
    StoreFull,
    StoreUnavailable,
)
from modelecology.store.artifacts import checked_name

KEY = "b" * 64


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store's root."""
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> ArtifactStore:
    """An empty store."""
    return ArtifactStore.create(f"file://{root}")


def put(store: ArtifactStore, key: str = KEY, content: bytes = b"weights") -> Path:
    """Commit an artifact of one file and return its directory."""
    with store.begin(key) as attempt:
        attempt.write("adapter.bin", content)
        attempt.commit("Train", {"n": 1}, Cost(cpu_seconds=2.0, tokens=3))
    return Path(store.local_path(key))


def test_a_commit_keeps_files_meta_and_cost(store: ArtifactStore) -> None:
    put(store)
    manifest = store.verify(KEY)
    assert manifest.kind == "Train"
    assert manifest.files["adapter.bin"].size == 7
    assert manifest.meta == {"n": 1}
    assert manifest.cost == Cost(cpu_seconds=2.0, tokens=3)


def test_an_uncommitted_key_has_no_commit_and_no_files(store: ArtifactStore) -> None:
    store.begin(KEY).write("adapter.bin", b"half")
    assert store.commit_of(KEY) is None
    for ask in (store.manifest, store.verify, store.local_path, store.archive, store.restore):
        with pytest.raises(ArtifactMissing):
            ask(KEY)


def test_a_failed_attempt_removes_itself(store: ArtifactStore, root: Path) -> None:
    with suppress(ZeroDivisionError), store.begin(KEY) as attempt:
        attempt.write("adapter.bin", b"half")
        raise ZeroDivisionError
    assert list((root / "artifacts" / KEY).iterdir()) == []


def test_a_changed_file_is_noticed_and_named(store: ArtifactStore) -> None:
    (put(store) / "adapter.bin").write_bytes(b"WEIGHTS")
    with pytest.raises(ArtifactCorrupt, match=r"adapter\.bin.*changed after its commit"):
        store.verify(KEY)
    with pytest.raises(ArtifactCorrupt, match=r"adapter\.bin"):
        store.read(KEY, "adapter.bin")


def test_a_lost_file_is_noticed_and_named(store: ArtifactStore) -> None:
    (put(store) / "adapter.bin").unlink()
    with pytest.raises(ArtifactCorrupt, match=r"adapter\.bin.*is missing"):
        store.verify(KEY)


def test_an_added_file_is_noticed_and_named(store: ArtifactStore) -> None:
    (put(store) / "extra.pkl").write_bytes(b"x")
    with pytest.raises(ArtifactCorrupt, match=r"extra\.pkl.*was not committed"):
        store.verify(KEY)


def test_a_file_swapped_for_a_link_is_noticed(store: ArtifactStore, tmp_path: Path) -> None:
    folder = put(store)
    (tmp_path / "elsewhere").write_bytes(b"weights")
    (folder / "adapter.bin").unlink()
    (folder / "adapter.bin").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactCorrupt, match="not a regular file"):
        store.verify(KEY)


def test_a_changed_manifest_is_noticed(store: ArtifactStore) -> None:
    path = put(store) / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"n":1', b'"n":2'))
    with pytest.raises(ArtifactCorrupt, match="not what was committed"):
        store.manifest(KEY)


def test_a_broken_commit_marker_is_noticed(store: ArtifactStore, root: Path) -> None:
    put(store)
    (root / "artifacts" / KEY / "commit.json").write_text('{"attempt":"../../elsewhere"}')
    with pytest.raises(ArtifactCorrupt, match="commit marker"):
        store.commit_of(KEY)


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
    with pytest.raises(ValueError, match="64 hex digits"):
        store.commit_of(key)


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


def test_delete_proves_that_nothing_is_left(store: ArtifactStore, root: Path) -> None:
    put(store)
    store.archive(KEY)
    put(store)
    store.write_progress(KEY, Progress(1, 2))
    store.begin(KEY).write("half.bin", b"half")
    proof = store.delete(KEY)
    assert proof.freed_bytes > 14
    assert [path for path in root.rglob("*") if KEY in str(path)] == []
    assert store.delete(KEY).freed_bytes == 0


def test_progress_is_overwritten_and_a_torn_record_is_none(store: ArtifactStore, root: Path) -> None:
    assert store.progress(KEY) is None
    store.write_progress(KEY, Progress(1, 10, 0.5, 9.0, "Training"))
    store.write_progress(KEY, Progress(2, 10, 0.25, 8.0, "Training"))
    assert store.progress(KEY) == Progress(2, 10, 0.25, 8.0, "Training")
    assert json.loads((root / "progress" / f"{KEY}.json").read_text())["etaSeconds"] == 8.0
    (root / "progress" / f"{KEY}.json").write_text('{"st')
    assert store.progress(KEY) is None


def test_a_missing_root_is_unavailable_and_never_looks_empty(tmp_path: Path) -> None:
    store = ArtifactStore.open(f"file://{tmp_path / 'unmounted'}")
    with pytest.raises(StoreUnavailable, match="create or mount it"):
        store.commit_of(KEY)
    with pytest.raises(StoreUnavailable):
        store.begin(KEY)
    assert StoreUnavailable.retry
    (tmp_path / "unmounted").mkdir()
    assert store.commit_of(KEY) is None


def test_a_full_disk_is_told_as_such_and_leaves_nothing(
    store: ArtifactStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path, _content: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(StoreFull, match="no space left"), store.begin(KEY) as attempt:
            attempt.write("adapter.bin", b"x")
    assert StoreFull.retry
    assert list((root / "artifacts" / KEY).iterdir()) == []
    put(store)


def test_a_store_of_a_newer_version_is_refused(root: Path, store: ArtifactStore) -> None:
    (root / "store.json").write_text('{"format":2}')
    with pytest.raises(StoreFormatUnknown, match="upgrade"):
        ArtifactStore.open(f"file://{root}").begin(KEY)
