"""What every kind of files promises: the directory, the double, and the real S3 server."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from modelecology.store.errors import FileTooLarge
from modelecology.store.files import Files, Seen

from .conftest import Ground


@pytest.fixture
def files(ground: Ground) -> Files:
    """Files of each kind; a directory must be there before something is created in it."""
    ground.files.replace("d/first", b"1")
    return ground.files


def whole(files: Files, relative: str) -> bytes:
    """Read all pieces of a file."""
    return b"".join(files.download(relative) or ())


def test_a_file_is_read_once_a_version(files: Files) -> None:
    first = files.look("d/first")
    assert first is not None
    assert first.content == b"1"
    assert files.look("d/first", first.stamp) == Seen(None, first.stamp)
    files.replace("d/first", b"two")
    second = files.look("d/first", first.stamp)
    assert second is not None
    assert second.content == b"two"
    assert second.stamp != first.stamp


def test_a_file_that_is_not_there_is_none_whatever_was_known_of_it(files: Files) -> None:
    seen = files.look("d/first")
    assert seen is not None
    files.remove("d/first")
    assert files.look("d/first", seen.stamp) is None
    assert files.look("d/never") is None
    assert files.look("d") is None
    assert files.download("d/never") is None


def test_a_file_that_is_larger_than_it_may_be_is_not_read(files: Files) -> None:
    files.replace("d/large", b"x" * 1000)
    assert files.look("d/large", limit=1000) is not None
    with pytest.raises(FileTooLarge, match="d/large has 1000 bytes; 999 are read at most"):
        files.look("d/large", limit=999)


def test_a_file_is_created_once_only(files: Files) -> None:
    assert files.create("d/x", b"mine")
    assert not files.create("d/x", b"yours")
    seen = files.look("d/x")
    assert seen is not None
    assert seen.content == b"mine"


def test_of_two_who_swap_the_same_version_one_does(files: Files) -> None:
    seen = files.look("d/first")
    assert seen is not None
    assert files.swap("d/first", b"mine", seen.stamp)
    assert not files.swap("d/first", b"yours", seen.stamp)
    assert not files.swap("d/never", b"yours", seen.stamp)
    after = files.look("d/first")
    assert after is not None
    assert after.content == b"mine"
    assert files.look("d/never") is None


def test_a_listing_knows_every_file_below_and_nothing_beside(files: Files) -> None:
    files.replace("d/sub/deep", b"deep")
    files.replace("d-beside/x", b"x")
    found = dict(files.scan("d"))
    assert {name: entry.size for name, entry in found.items()} == {"first": 1, "sub/deep": 4}
    seen = files.look("d/first")
    assert seen is not None
    assert found["first"].stamp == seen.stamp
    assert dict(files.scan("nowhere")) == {}


def test_a_listing_begins_after_a_name(files: Files) -> None:
    for name in ("a", "b", "c", "cd"):
        files.replace(f"d/{name}", b"x")
    assert sorted(name for name, _entry in files.scan("d", "b")) == ["c", "cd", "first"]
    assert sorted(name for name, _entry in files.scan("d", "bb")) == ["c", "cd", "first"]
    assert dict(files.scan("d", "g")) == {}


def test_a_file_is_read_from_where_it_is_asked_for(files: Files) -> None:
    files.replace("d/long", b"0123456789")
    assert b"".join(files.download("d/long", 4) or ()) == b"456789"
    assert b"".join(files.download("d/long", 9) or ()) == b"9"
    assert files.download("d/never", 4) is None


def test_a_directory_is_removed_with_all_below_and_nothing_beside(files: Files) -> None:
    files.replace("d/sub/deep", b"deep")
    files.replace("d-beside/x", b"x")
    assert files.remove("d") == 5
    assert files.remove("d") == 0
    assert dict(files.scan("d")) == {}
    assert files.look("d-beside/x") is not None


@pytest.mark.parametrize("size", [0, 3, (16 << 20) + 1])
def test_a_file_of_any_size_goes_up_and_comes_down(files: Files, tmp_path: Path, size: int) -> None:
    (tmp_path / "source").write_bytes(bytes(range(251)) * (size // 251) + b"x" * (size % 251))
    files.upload("d/new/file", tmp_path / "source")
    assert whole(files, "d/new/file") == (tmp_path / "source").read_bytes()
    assert dict(files.scan("d/new"))["file"].size == size


@pytest.mark.parametrize("name", ["with space", "übergrößenträger", "a%20b", "per#cent?", "[1]+{2}"])
def test_a_name_that_users_may_choose_is_kept(files: Files, name: str) -> None:
    files.replace(f"d/{name}", b"x")
    assert name in dict(files.scan("d"))
    assert whole(files, f"d/{name}") == b"x"
    assert files.remove(f"d/{name}") == 1


def test_of_many_who_create_at_once_exactly_one_does(files: Files) -> None:
    gate = threading.Barrier(8)
    won: list[int] = []

    def race(number: int) -> None:
        gate.wait()
        if files.create("d/raced", str(number).encode()):
            won.append(number)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = files.look("d/raced")
    assert seen is not None
    assert [str(number).encode() for number in won] == [seen.content]
