"""Reading what gateways write: each line once, whole, under whichever of its two names, wherever it lies."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from modelecology.store import ArtifactStore, S3Access, StoreUnavailable, live_files
from modelecology.store.double import Fault, FlakyObjects, memory_objects, object_files
from modelecology.store.errors import PlaceNotFound
from modelecology.store.files import Files
from modelecology.store.live_files import BUCKET_PAUSE_SECONDS, WHOLE_SECONDS, LiveFiles, begun
from modelecology.store.local_files import LocalFiles
from testbed.s3 import S3Server

from .conftest import Ground

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FIRST = "live-20260301T120000-000001-g1.jsonl"


class Clock:
    """Seconds; each look comes as late as a bucket is asked again."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Reader:
    """A reader over one folder, whose looks are far enough apart."""

    def __init__(self, files: Files) -> None:
        self.clock = Clock()
        self.files = LiveFiles(files, "live", self.clock, (NOON + timedelta(minutes=605)).timestamp)

    def look(self, seconds: float = BUCKET_PAUSE_SECONDS) -> list[bytes]:
        """Look some seconds later."""
        self.clock.seconds += seconds
        return list(self.files.lines())


def segment(minutes: float, gateway: str = "g1") -> str:
    """The name of a segment that was begun so many minutes after noon."""
    return f"live-{NOON + timedelta(minutes=minutes):%Y%m%dT%H%M%S}-000001-{gateway}.jsonl"


def test_a_name_tells_when_its_segment_was_begun() -> None:
    assert begun(segment(90)) == (NOON + timedelta(minutes=90)).timestamp()
    assert begun("live-1-b.jsonl") is None


def test_a_folder_that_is_not_there_yet_has_no_lines(ground: Ground) -> None:
    assert Reader(ground.files).look() == []


def test_each_line_is_given_once_also_when_its_segment_grows_and_is_closed(ground: Ground) -> None:
    files, reader = ground.files, Reader(ground.files)
    files.replace(f"live/{FIRST}.part", b"a\nb\nhalf")
    assert reader.look() == [b"a", b"b"]
    assert reader.look() == []
    files.replace(f"live/{FIRST}.part", b"a\nb\nhalf whole\nd\n")
    assert reader.look() == [b"half whole", b"d"]
    assert files.create(f"live/{FIRST}", b"a\nb\nhalf whole\nd\ne\n")
    assert reader.look() == [b"e"], "the open one may be there for a moment longer"
    files.remove(f"live/{FIRST}.part")
    assert reader.look() == []


def test_segments_of_several_gateways_are_read_side_by_side(ground: Ground) -> None:
    ground.files.replace(f"live/{FIRST}", b"a\n")
    ground.files.replace(f"live/{FIRST.replace('g1', 'g2')}", b"b\n\n")
    ground.files.replace("live/notes.txt", b"c\n")
    ground.files.replace("live/.heartbeat", b"")
    ground.files.replace(f"live/deeper/{FIRST}", b"d\n")
    assert Reader(ground.files).look() == [b"a", b"b"]


def test_more_than_one_batch_is_read_in_order(ground: Ground) -> None:
    for number in range(40):
        ground.files.replace(f"live/{segment(number)}", b"%d\n" % number)
    assert Reader(ground.files).look() == [b"%d" % number for number in range(40)]


def test_a_segment_that_no_gateway_would_write_is_left_out_and_told(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(live_files, "LARGEST_READ", 100)
    ground.files.replace(f"live/{segment(1)}", b"x" * 101)
    ground.files.replace(f"live/{segment(2)}", b"b\n")
    reader = Reader(ground.files)
    assert [reader.look(), reader.look()] == [[b"b"], []]
    (told,) = caplog.messages
    assert f"live/{segment(1)} has 101 bytes" in told


def test_a_segment_that_expired_is_forgotten(ground: Ground) -> None:
    reader = Reader(ground.files)
    ground.files.replace(f"live/{FIRST}", b"a\n")
    assert reader.look() == [b"a"]
    ground.files.remove(f"live/{FIRST}")
    assert reader.look(WHOLE_SECONDS) == []
    assert reader.files._read == {FIRST: 2}
    assert reader.look(WHOLE_SECONDS) == []
    assert (reader.files._read, reader.files._missed) == ({}, {})


def test_a_segment_that_is_renamed_while_all_is_listed_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "live" / FIRST
    path.parent.mkdir()
    part = path.with_name(f"{FIRST}.part")
    part.write_bytes(b"a\n")
    reader = Reader(LocalFiles(tmp_path))
    assert reader.look() == [b"a"]
    lstat = Path.lstat

    def renamed(seen: Path) -> os.stat_result:
        if seen == part:
            part.rename(path)
        return lstat(seen)

    monkeypatch.setattr(Path, "lstat", renamed)
    assert reader.look() == []
    assert path.exists(), "after it was listed by its old name"
    assert reader.look() == []


def test_a_segment_that_a_volume_lists_late_is_read_once(ground: Ground) -> None:
    reader = Reader(ground.files)
    ground.files.replace(f"live/{FIRST}", b"a\n")
    assert reader.look() == [b"a"]
    for _ in range(3):
        ground.files.remove(f"live/{FIRST}")
        assert reader.look(WHOLE_SECONDS / 2) == []
        assert reader.look(WHOLE_SECONDS / 2 - 1) == []
        ground.files.replace(f"live/{FIRST}", b"a\n")
        assert reader.look(2.0) == []


def test_a_reader_that_stops_in_the_middle_goes_on_from_there(ground: Ground) -> None:
    ground.files.replace(f"live/{FIRST}", b"a\nb\nc\n")
    reader = Reader(ground.files)
    assert next(reader.files.lines()) == b"a"
    assert reader.look() == [b"b", b"c"]


def test_a_closed_segment_whose_last_line_is_cut_short_is_read_once(ground: Ground) -> None:
    ground.files.replace(f"live/{FIRST}", b"a\nhalf")
    reader = Reader(ground.files)
    assert reader.look() == [b"a"]
    ground.files.replace(f"live/{segment(1)}", b"b\n")
    assert reader.look() == [b"b"]
    assert reader.files._read[FIRST] == len(b"a\nhalf")


def test_a_root_that_is_not_there_is_an_error_and_no_silence(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="is not there; create or mount it"):
        list(LiveFiles.in_directory(tmp_path / "volume" / "live").lines())


def test_a_directory_is_opened_by_its_uri(tmp_path: Path) -> None:
    (tmp_path / FIRST).write_bytes(b"a\n")
    assert list(LiveFiles.open(f"file://{tmp_path}").lines()) == [b"a"]


def test_a_folder_of_a_bucket_is_opened_by_its_uri(
    s3_server: S3Server, s3_uri: str, s3_access: S3Access
) -> None:
    ArtifactStore.open(s3_uri, s3_access).files.replace(f"live/{FIRST}", b"a\n")
    found = LiveFiles.open(f"{s3_uri}/live/", endpoint=s3_server.endpoint, credentials=s3_server.credentials)
    assert (list(found.lines()), found.where) == ([b"a"], f"{s3_uri}/live")


@pytest.mark.parametrize("uri", ["store:///live", "s3://live", "https://bucket/live"])
def test_nothing_else_can_be_opened(uri: str) -> None:
    with pytest.raises(PlaceNotFound, match="must"):
        LiveFiles.open(uri)


class Counted:
    """A bucket in memory that notes what is asked of it, and may refuse."""

    def __init__(self, scratch: Path) -> None:
        self.asked: list[str] = []
        self.refused: tuple[str, ...] = ()
        self.objects = memory_objects()
        self.files = object_files(FlakyObjects(self.objects, self._plan), scratch)

    def _plan(self, kind: str, path: str) -> Fault:
        self.asked.append(kind)
        return Fault.REFUSED if kind in self.refused else Fault.NONE

    def put(self, name: str, content: bytes) -> None:
        self.objects.put(f"live/{name}", content)


@pytest.fixture
def counted(tmp_path: Path) -> Counted:
    return Counted(tmp_path)


def test_a_bucket_is_asked_seldom_and_what_was_read_not_again(counted: Counted) -> None:
    reader = Reader(counted.files)
    counted.put(FIRST, b"a\n")
    assert reader.look() == [b"a"]
    assert reader.look(BUCKET_PAUSE_SECONDS / 2) == []
    assert counted.asked == ["list", "get"]
    assert reader.look() == []
    assert counted.asked == ["list", "get", "list"]


def test_only_what_was_begun_lately_is_listed_and_all_once_an_hour(counted: Counted) -> None:
    reader = Reader(counted.files)
    counted.put(segment(0), b"old\n")
    counted.put(segment(600), b"new\n")
    assert reader.look() == [b"old", b"new"]
    counted.put(segment(535), b"late, but not very\n")
    counted.put(segment(300), b"of a gateway that was cut off\n")
    counted.objects.put(f"live/{segment(0)}", b"old\nand longer\n")
    assert reader.look() == []
    counted.put(segment(545), b"a little late\n")
    assert reader.look() == [b"a little late"]
    assert sorted(reader.look(WHOLE_SECONDS)) == [
        b"and longer",
        b"late, but not very",
        b"of a gateway that was cut off",
    ]


def test_a_gateway_whose_clock_is_ahead_hides_no_other(counted: Counted) -> None:
    reader = Reader(counted.files)
    counted.put(segment(10**6), b"of another age\n")
    assert reader.look() == [b"of another age"]
    counted.put(segment(600), b"of now\n")
    assert reader.look() == [b"of now"]


def test_a_look_that_failed_is_made_again_from_where_it_was(counted: Counted) -> None:
    reader = Reader(counted.files)
    counted.put(segment(0), b"a\n")
    counted.put(segment(600), b"b\n")
    counted.refused = ("get",)
    with pytest.raises(StoreUnavailable, match="503"):
        reader.look()
    with pytest.raises(StoreUnavailable, match="503"):
        reader.look(1.0)
    assert counted.asked.count("list") == 1, "and it is told of without another request"
    counted.refused = ()
    assert reader.look() == [b"a", b"b"], "the old one too, as the first look was not ended"
    assert reader.look(1.0) == []
