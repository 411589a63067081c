"""Copies for engines: all adapters in use and no other, whole from the start, and kept when in doubt."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from modelecology.store import ArtifactKind, ArtifactStore, Cost, StoreUnavailable
from modelecology.store.double import Fault, FlakyObjects, memory_objects
from modelecology.store.mirror import Mirror

from .conftest import Ground, Opened, in_memory

WEIGHTS = "adapter_model.safetensors"
DATES, FRENCH, RESULT = "a" * 64, "b" * 64, "c" * 64


def put(store: ArtifactStore, key: str, kind: ArtifactKind = "Train", name: str = WEIGHTS) -> str:
    """Commit an artifact and return where its copy belongs below a mirror."""
    with store.begin(key) as attempt:
        attempt.write(name, key.encode())
        attempt.write("adapter_config.json", b"{}")
        commit = attempt.commit(kind, {}, Cost())
    return f"artifacts/{key}/{commit.attempt}"


def copies(root: Path) -> list[str]:
    """List the copies below a mirror, and whatever else is there."""
    found = [path.relative_to(root) for path in root.rglob("*") if path.is_file()]
    return sorted({str(path.parent) for path in found})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The volume that an engine reads."""
    return tmp_path / "adapters"


def test_adapters_in_use_are_copied_and_nothing_else_is(bucket: Ground, root: Path) -> None:
    store = bucket.open()
    dates = put(store, DATES)
    put(store, RESULT, "Evaluate", "results.jsonl")
    put(store, FRENCH, "Base")
    store.begin("d" * 64).write(WEIGHTS, b"half")
    done = Mirror(bucket.open(), root).step()
    assert (done.fetched, done.removed, done.held, done.faults) == ((DATES,), (), 1, ())
    assert copies(root) == [dates]
    assert str(root / dates) == store.engine_path(DATES, str(root))
    assert (root / dates / WEIGHTS).read_bytes() == DATES.encode()
    assert sorted(path.name for path in (root / dates).iterdir()) == [
        "adapter_config.json",
        WEIGHTS,
        "manifest.json",
    ]


def test_the_engine_may_be_another_user(root: Path, tmp_path: Path) -> None:
    ground = in_memory(memory_objects(), tmp_path)
    put(ground.open(), DATES)
    Mirror(ground.open(), root).step()
    for path in (root / "artifacts", *(root / "artifacts").rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644)


def test_what_is_archived_or_deleted_goes_and_what_is_restored_comes_back(root: Path, tmp_path: Path) -> None:
    ground = in_memory(memory_objects(), tmp_path)
    store, mirror = ground.open(), Mirror(ground.open(), root)
    dates, french = put(store, DATES), put(store, FRENCH)
    mirror.step()
    store.archive(DATES)
    store.delete(FRENCH)
    done = mirror.step()
    assert (done.removed, done.held) == ((DATES, FRENCH), 0)
    assert copies(root) == []
    assert list((root / "artifacts").iterdir()) == []
    store.restore(DATES)
    assert mirror.step().fetched == (DATES,)
    assert copies(root) == [dates]
    assert dates != french


def test_another_attempt_at_the_same_key_takes_the_place_of_the_first(root: Path, tmp_path: Path) -> None:
    ground = in_memory(memory_objects(), tmp_path)
    store, mirror = ground.open(), Mirror(ground.open(), root)
    put(store, DATES)
    mirror.step()
    store.delete(DATES)
    again = put(store, DATES)
    done = mirror.step()
    assert (done.fetched, done.removed) == ((DATES,), (DATES,))
    assert copies(root) == [again]


def counted(root: Path, tmp_path: Path) -> tuple[Opened, Mirror, list[str]]:
    """Give a store, a mirror of it, and the requests that the mirror makes."""
    objects, asked = memory_objects(), list[str]()

    def noting(kind: str, path: str) -> Fault:
        asked.append(f"{kind} {path.rpartition('/')[2]}")
        return Fault.NONE

    return (
        in_memory(objects, tmp_path),
        Mirror(in_memory(FlakyObjects(objects, noting), tmp_path).open(), root),
        asked,
    )


def test_a_pass_without_news_costs_one_listing(root: Path, tmp_path: Path) -> None:
    ground, mirror, asked = counted(root, tmp_path)
    put(ground.open(), DATES)
    put(ground.open(), RESULT, "Evaluate", "results.jsonl")
    mirror.step()
    asked.clear()
    done = mirror.step()
    assert asked == ["list artifacts"]
    assert (done.fetched, done.removed, done.held) == ((), (), 1)


def test_a_new_mirror_checks_the_copies_it_finds_and_fetches_the_bad_ones_anew(
    root: Path, tmp_path: Path
) -> None:
    ground, mirror, _asked = counted(root, tmp_path)
    dates, french = put(ground.open(), DATES), put(ground.open(), FRENCH)
    mirror.step()
    (root / french / WEIGHTS).write_bytes(b"torn")
    (root / ".incoming" / "half").mkdir()
    (root / "artifacts" / RESULT / "attempt-old").mkdir(parents=True)
    done = Mirror(ground.open(), root).step()
    assert (done.fetched, done.held) == ((FRENCH,), 2)
    assert (root / french / WEIGHTS).read_bytes() == FRENCH.encode()
    assert copies(root) == [dates, french]
    assert list((root / ".incoming").iterdir()) == []
    assert not (root / "artifacts" / RESULT).exists()


def test_while_the_store_cannot_be_listed_everything_stays(root: Path, tmp_path: Path) -> None:
    objects = memory_objects()
    put(in_memory(objects, tmp_path).open(), DATES)
    down = [False]
    flaky = FlakyObjects(objects, lambda _kind, _path: Fault.REFUSED if down[0] else Fault.NONE)
    mirror = Mirror(in_memory(flaky, tmp_path).open(), root)
    mirror.step()
    down[0] = True
    with pytest.raises(StoreUnavailable):
        mirror.step()
    assert len(copies(root)) == 1


def test_one_adapter_that_cannot_be_fetched_keeps_no_other_away_and_is_tried_again(
    root: Path, tmp_path: Path
) -> None:
    objects = memory_objects()
    ground = in_memory(objects, tmp_path)
    dates, french = put(ground.open(), DATES), put(ground.open(), FRENCH)
    broken = [f"{dates}/{WEIGHTS}"]
    flaky = FlakyObjects(objects, lambda _kind, path: Fault.REFUSED if path in broken else Fault.NONE)
    mirror = Mirror(in_memory(flaky, tmp_path).open(), root)
    done = mirror.step()
    assert done.fetched == (FRENCH,)
    assert len(done.faults) == 1
    assert copies(root) == [french]
    assert list((root / ".incoming").iterdir()) == []
    broken.clear()
    assert mirror.step().fetched == (DATES,)


def test_a_copy_whose_marker_cannot_be_read_now_stays(root: Path, tmp_path: Path) -> None:
    objects = memory_objects()
    ground = in_memory(objects, tmp_path)
    dates = put(ground.open(), DATES)
    Mirror(ground.open(), root).step()
    flaky = FlakyObjects(
        objects, lambda kind, path: Fault.REFUSED if path.endswith("commit.json") else Fault.NONE
    )
    done = Mirror(in_memory(flaky, tmp_path).open(), root).step()
    assert len(done.faults) == 1
    assert copies(root) == [dates]


def test_bytes_that_are_not_what_was_committed_are_never_laid(root: Path, tmp_path: Path) -> None:
    ground = in_memory(memory_objects(), tmp_path)
    dates = put(ground.open(), DATES)
    ground.files.replace(f"{dates}/{WEIGHTS}", b"forged")
    done = Mirror(ground.open(), root).step()
    assert "changed after its commit" in done.faults[0]
    assert copies(root) == []


def test_a_heart_beats_while_pieces_come(root: Path, tmp_path: Path) -> None:
    ground = in_memory(memory_objects(), tmp_path)
    put(ground.open(), DATES)
    beats: list[int] = []
    Mirror(ground.open(), root).step(lambda: beats.append(1))
    assert len(beats) >= 4
