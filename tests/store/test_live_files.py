"""Reading what gateways write: each line once, whole, under whichever of its two names."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelecology.store.errors import PlaceNotFound, StoreUnavailable
from modelecology.store.live_files import LiveFiles

FIRST = "live-20260301T120000-000001-g1.jsonl"


def opened(folder: Path) -> LiveFiles:
    return LiveFiles.open(f"file://{folder}")


def test_a_directory_that_is_not_there_yet_has_no_lines(tmp_path: Path) -> None:
    assert list(opened(tmp_path / "none").lines()) == []


def test_each_line_is_given_once_also_when_its_segment_grows_and_is_closed(tmp_path: Path) -> None:
    part, files = tmp_path / f"{FIRST}.part", opened(tmp_path)
    part.write_bytes(b"a\nb\nhalf")
    assert list(files.lines()) == [b"a", b"b"]
    assert list(files.lines()) == []
    with part.open("ab") as file:
        file.write(b" whole\nd\n")
    assert list(files.lines()) == [b"half whole", b"d"]
    part.rename(tmp_path / FIRST)
    assert list(files.lines()) == []


def test_segments_of_several_gateways_are_read_side_by_side(tmp_path: Path) -> None:
    (tmp_path / FIRST).write_bytes(b"a\n")
    (tmp_path / FIRST.replace("g1", "g2")).write_bytes(b"b\n\n")
    (tmp_path / "notes.txt").write_bytes(b"c\n")
    assert list(opened(tmp_path).lines()) == [b"a", b"b"]


def test_a_segment_that_expired_is_forgotten(tmp_path: Path) -> None:
    files = opened(tmp_path)
    (tmp_path / FIRST).write_bytes(b"a\n")
    assert list(files.lines()) == [b"a"]
    (tmp_path / FIRST).unlink()
    assert list(files.lines()) == []
    (tmp_path / FIRST).write_bytes(b"b\n")
    assert list(files.lines()) == [b"b"]


def test_a_reader_that_stops_in_the_middle_goes_on_from_there(tmp_path: Path) -> None:
    (tmp_path / FIRST).write_bytes(b"a\nb\nc\n")
    files = opened(tmp_path)
    assert next(files.lines()) == b"a"
    assert list(files.lines()) == [b"b", b"c"]


def test_what_is_no_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / FIRST).mkdir()
    with pytest.raises(StoreUnavailable, match=FIRST):
        list(opened(tmp_path).lines())


def test_only_a_directory_can_be_opened() -> None:
    with pytest.raises(PlaceNotFound, match="s3://bucket/live"):
        LiveFiles.open("s3://bucket/live")
