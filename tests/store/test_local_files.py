"""What is special about a directory: links, volumes that are not there, full disks, and who may write."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from modelecology.store import ArtifactCorrupt, ArtifactStore, Cost, StoreFull, StoreUnavailable
from modelecology.store.local_files import LocalFiles

from .test_exactly_once import Crash, crash_at

KEY = "b" * 64


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store's root."""
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> ArtifactStore:
    """An empty store."""
    return ArtifactStore.create(f"file://{root}")


def put(store: ArtifactStore) -> Path:
    """Commit an artifact of one file and return its directory."""
    with store.begin(KEY) as attempt:
        attempt.write("adapter.bin", b"weights")
        attempt.commit("Train", {}, Cost())
    return Path(store.local_path(KEY))


def test_a_file_swapped_for_a_link_is_noticed(store: ArtifactStore, tmp_path: Path) -> None:
    folder = put(store)
    (tmp_path / "elsewhere").write_bytes(b"weights")
    (folder / "adapter.bin").unlink()
    (folder / "adapter.bin").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactCorrupt, match="not a regular file"):
        store.verify(KEY)


def test_a_link_to_a_directory_is_noticed_too(store: ArtifactStore, tmp_path: Path) -> None:
    (put(store) / "more").symlink_to(tmp_path)
    with pytest.raises(ArtifactCorrupt, match=r"more.*was not committed"):
        store.verify(KEY)


def test_a_missing_root_is_unavailable_and_never_looks_empty(tmp_path: Path) -> None:
    store = ArtifactStore.open(f"file://{tmp_path / 'unmounted'}")
    with pytest.raises(StoreUnavailable, match="create or mount it"):
        store.commit_of(KEY)
    with pytest.raises(StoreUnavailable):
        store.begin(KEY)
    with pytest.raises(StoreUnavailable):
        store.delete(KEY)
    assert StoreUnavailable.retry
    (tmp_path / "unmounted").mkdir()
    assert store.commit_of(KEY) is None


def test_a_root_that_goes_away_right_after_a_look_is_not_made_anew(
    store: ArtifactStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look_and_lose(_files: LocalFiles) -> None:
        root.rename(root.with_name("aside"))

    assert store.commit_of(KEY) is None
    monkeypatch.setattr(LocalFiles, "_require_root", look_and_lose)
    with pytest.raises(StoreUnavailable):
        store.files.prepare("artifacts/a/b")
    assert not root.exists()


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


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_volume_without_hard_links_is_told_as_such(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refused(_source: Path, _target: Path) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refused)
    with pytest.raises(StoreUnavailable, match=r"no hard links.*use a volume that has.*s3://"):
        put(store)


def test_a_link_whose_answer_was_lost_is_still_ours(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.link

    def repeated(source: Path, target: Path) -> None:
        # NFS asks again when an answer is lost, and is told that the file exists.
        real(source, target)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))

    with store.begin(KEY) as attempt:
        attempt.write("adapter.bin", b"weights")
        with monkeypatch.context() as patch:
            patch.setattr(os, "link", repeated)
            commit = attempt.commit("Train", {}, Cost())
    assert commit.attempt == attempt.name
    assert store.verify(KEY).files["adapter.bin"].size == 7


def test_a_commit_whose_flush_fails_is_not_taken_apart(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.link

    def linked_and_lost(source: Path, target: Path) -> None:
        real(source, target)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", linked_and_lost)
        with pytest.raises(StoreUnavailable):
            put(store)
    store.verify(KEY)


def test_a_directory_that_cannot_be_listed_does_not_look_empty(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store)

    def refused(_path: str) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(StoreUnavailable, match="Permission denied"):
        list(store.files.scan("artifacts"))


@pytest.fixture
def tight_umask() -> Iterator[None]:
    """A process that lets nobody else in."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("tight_umask")
def test_what_the_group_may_do_with_the_root_it_may_do_with_all_below(root: Path) -> None:
    root.mkdir()
    root.chmod(0o2770)
    store = ArtifactStore.create(f"file://{root}")
    put(store)
    store.archive(KEY)
    store.restore(KEY)
    for path in root.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        wanted = 0o2770 if path.is_dir() else 0o660
        assert mode == wanted, path


@pytest.mark.usefixtures("tight_umask")
def test_a_root_that_is_closed_to_the_group_stays_closed(root: Path) -> None:
    store = ArtifactStore.create(f"file://{root}")
    put(store)
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in root.rglob("*"))


def test_deleting_what_another_removes_at_the_same_time_is_no_error(store: ArtifactStore, root: Path) -> None:
    put(store)
    shutil.rmtree(root / "artifacts" / KEY)
    assert store.delete(KEY).freed_bytes == 0


def old_store(root: Path) -> bytes:
    """Bring a store to the layout of the first version, with an archived artifact, and give its manifest."""
    store = ArtifactStore.create(f"file://{root}")
    manifest = (put(store) / "manifest.json").read_bytes()
    (root / "archive").mkdir()
    (root / "artifacts" / KEY).rename(root / "archive" / KEY)
    (root / "trash" / f"{KEY}-0").mkdir(parents=True)
    (root / "trash" / f"{KEY}-0" / "adapter.bin").write_bytes(b"gone")
    (root / "store.json").write_text('{"format":1}\n')
    return manifest


def test_what_the_first_version_archived_is_archived_and_can_be_restored(root: Path) -> None:
    manifest = old_store(root)
    store = ArtifactStore.open(f"file://{root}")
    assert store.commit_of(KEY) is None
    assert store.is_archived(KEY)
    store.restore(KEY)
    assert store.verify(KEY).files["adapter.bin"].size == 7
    assert (Path(store.local_path(KEY)) / "manifest.json").read_bytes() == manifest
    assert sorted(path.name for path in root.iterdir()) == ["artifacts", "store.json"]
    assert ArtifactStore.open(f"file://{root}").delete(KEY).freed_bytes > 7
    assert [path for path in root.rglob("*") if KEY in str(path)] == []


def test_what_was_archived_and_made_again_in_the_first_version_stays_in_use(root: Path) -> None:
    old_store(root)
    (root / "artifacts" / KEY).mkdir()
    shutil.copytree(root / "archive" / KEY, root / "artifacts" / KEY, dirs_exist_ok=True)
    store = ArtifactStore.open(f"file://{root}")
    store.verify(KEY)
    assert not (root / "archive").exists()


def test_what_users_keep_in_a_folder_of_such_a_name_stays(root: Path) -> None:
    old_store(root)
    (root / "archive" / "mine.jsonl").write_bytes(b"{}")
    store = ArtifactStore.open(f"file://{root}")
    assert store.is_archived(KEY)
    assert store.places.read("store:///archive/mine.jsonl") == b"{}"


@pytest.mark.parametrize("step", range(1, 16))
def test_an_upgrade_of_the_layout_that_is_cut_short_is_ended_by_the_next_who_looks(
    root: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_store(root)
    with monkeypatch.context() as patch:
        crash_at(step, patch)
        with suppress(Crash):
            ArtifactStore.open(f"file://{root}").commit_of(KEY)
    store = ArtifactStore.open(f"file://{root}")
    store.restore(KEY)
    assert store.read(KEY, "adapter.bin") == b"weights"
    # An empty folder may stay, where the cut came while it was removed.
    assert [path for path in (root / "archive").rglob("*") if path.is_file()] == []


def test_an_archived_artifact_that_cannot_be_read_keeps_no_other_from_use(root: Path) -> None:
    old_store(root)
    other = root / "archive" / ("e" * 64)
    other.mkdir()
    (other / "commit.json").write_text("{")
    store = ArtifactStore.open(f"file://{root}")
    assert store.is_archived(KEY)
    assert (other / "commit.json").exists()


def test_an_archive_is_brought_home_without_a_second_copy(root: Path) -> None:
    old_store(root)
    before = next((root / "archive" / KEY).rglob("adapter.bin")).stat().st_ino
    assert ArtifactStore.open(f"file://{root}").is_archived(KEY)
    assert next((root / "artifacts" / KEY).rglob("adapter.bin")).stat().st_ino == before
