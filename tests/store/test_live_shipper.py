"""Carrying records to a store: nothing twice, nothing lost while the spool is there, and no word of a key."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from modelecology.api.live_records import Feedback
from modelecology.serving.gateway.segments import Retention, SegmentRecorder
from modelecology.store import ArtifactStore, S3Access, StoreError, StoreUnavailable
from modelecology.store.__main__ import main
from modelecology.store.double import Death, Fault, FlakyObjects, memory_objects, object_files
from modelecology.store.files import Files
from modelecology.store.live_files import LiveFiles
from modelecology.store.live_shipper import ABANDONED_SECONDS, Keeping, Shipped, Shipper
from testbed.s3 import S3Server
from testbed.waiting import holds_within

from .conftest import Ground

HOUR = 3600.0
# Spools are on this machine, and so their files are as old as its clock says.
NOW = 1_772_366_400.0
FIRST = "live-20260301T120000-000001-g1.jsonl"
SECOND = "live-20260301T121000-000002-g1.jsonl"


class Spool:
    """A gateway's folder, what carries it away, and the hour that both go by."""

    def __init__(self, directory: Path, files: Files, keeping: Keeping | None = None) -> None:
        self.directory = directory / "spool"
        self.directory.mkdir(exist_ok=True)
        self.files = files
        self.now = NOW
        self._keeping = keeping
        self.shipper = self.another()

    def another(self) -> Shipper:
        """The one who comes after a restart."""
        return Shipper(self.files, "live", self.directory, lambda: self.now, self._keeping)

    def write(self, name: str, content: bytes) -> None:
        """Write a file of the spool, a moment ago."""
        (self.directory / name).write_bytes(content)
        os.utime(self.directory / name, (self.now, self.now))

    def close(self, name: str) -> None:
        """Close a segment, as its gateway does."""
        (self.directory / f"{name}.part").rename(self.directory / name)

    @property
    def waiting(self) -> list[str]:
        return sorted(path.name for path in self.directory.iterdir())

    @property
    def there(self) -> dict[str, bytes]:
        """What lies in the store."""
        names = sorted(name for name, _entry in self.files.scan("live"))
        return {name: b"".join(self.files.download(f"live/{name}") or ()) for name in names}

    def lines(self) -> list[bytes]:
        """All lines in the store."""
        return list(LiveFiles(self.files, "live").lines())


@pytest.fixture
def spool(ground: Ground, tmp_path: Path) -> Spool:
    return Spool(tmp_path, ground.files)


def test_an_open_segment_is_there_as_far_as_its_lines_are_whole(spool: Spool) -> None:
    spool.write(f"{FIRST}.part", b"a\nhal")
    assert spool.shipper.step() == Shipped(put=1)
    assert spool.there == {f"{FIRST}.part": b"a\n"}
    assert spool.shipper.step() == Shipped(), "and is not put again while nothing is new"
    spool.write(f"{FIRST}.part", b"a\nhalf\n")
    assert spool.shipper.step() == Shipped(put=1)
    assert spool.there == {f"{FIRST}.part": b"a\nhalf\n"}
    assert spool.waiting == [f"{FIRST}.part"]


def test_a_closed_segment_takes_the_place_of_the_open_one_and_leaves_the_spool(spool: Spool) -> None:
    spool.write(f"{FIRST}.part", b"a\n")
    spool.shipper.step()
    spool.write(f"{FIRST}.part", b"a\nb\n")
    spool.close(FIRST)
    spool.write(f"{SECOND}.part", b"c\n")
    assert spool.shipper.step() == Shipped(put=2, left=1)
    assert spool.there == {FIRST: b"a\nb\n", f"{SECOND}.part": b"c\n"}
    assert spool.waiting == [f"{SECOND}.part"]
    assert spool.lines() == [b"a", b"b", b"c"]


def test_nothing_is_put_for_nothing_and_what_is_no_segment_stays(spool: Spool) -> None:
    spool.write(f"{FIRST}.part", b"")
    spool.write(".heartbeat", b"")
    spool.write("notes.txt", b"mine\n")
    assert spool.shipper.step() == Shipped()
    assert spool.there == {}
    assert spool.waiting == [".heartbeat", f"{FIRST}.part", "notes.txt"]


def test_what_a_gateway_that_died_has_left_is_carried_too_and_leaves_once_it_is_abandoned(
    spool: Spool,
) -> None:
    spool.write(f"{FIRST}.part", b"a\nhal")
    spool.now += ABANDONED_SECONDS
    again = spool.another()
    assert again.step() == Shipped(put=1)
    assert (spool.there, spool.waiting) == ({f"{FIRST}.part": b"a\n"}, [f"{FIRST}.part"])
    spool.now += 1
    assert again.step() == Shipped(put=1, left=1)
    assert (spool.there, spool.waiting) == ({FIRST: b"a\n"}, [])


def test_another_gateways_segments_are_left_alone(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Spool(tmp_path / "other", spool.files)
    other.write("live-20260301T120000-000001-g2.jsonl", b"theirs\n")
    spool.write(FIRST, b"ours\n")
    other.shipper.step()
    spool.shipper.step()
    assert sorted(spool.lines()) == [b"ours", b"theirs"]


def test_old_segments_go_whoever_put_them_and_other_files_stay(ground: Ground, tmp_path: Path) -> None:
    spool = Spool(tmp_path, ground.files, Keeping(seconds=24 * HOUR, size=1 << 30))
    for name in ("live-20260228T115959-000001-g2.jsonl", "live-20260228T115959-000002-g2.jsonl.part"):
        ground.files.replace(f"live/{name}", b"old\n")
    for name in ("live-20260228T120000-000001-g2.jsonl", "live-1-b.jsonl", "notes.txt"):
        ground.files.replace(f"live/{name}", b"kept\n")
    assert spool.shipper.step() == Shipped(deleted=2)
    assert set(spool.there) == {"live-20260228T120000-000001-g2.jsonl", "live-1-b.jsonl", "notes.txt"}
    spool.now += HOUR / 2
    assert spool.shipper.step() == Shipped(), "it is looked at once an hour"
    spool.now += HOUR / 2
    assert spool.shipper.step() == Shipped(deleted=1)


def test_the_oldest_go_when_there_is_too_much_but_no_open_one(ground: Ground, tmp_path: Path) -> None:
    spool = Spool(tmp_path, ground.files, Keeping(seconds=10**9, size=25))
    names = [f"live-20260301T1{hour}0000-000001-g2.jsonl" for hour in range(3)]
    ground.files.replace(f"live/{names[0]}.part", b"0123456789")
    for name in names[1:]:
        ground.files.replace(f"live/{name}", b"0123456789")
    assert spool.shipper.step() == Shipped(deleted=1)
    assert set(spool.there) == {f"{names[0]}.part", names[2]}


class Faulty:
    """A bucket to which something happens."""

    def __init__(self, directory: Path) -> None:
        self.fault: dict[str, Fault] = {}
        self.asked: list[str] = []
        self.flaky = FlakyObjects(memory_objects(), self._plan)
        self.spool = Spool(directory, object_files(self.flaky, directory))

    def _plan(self, kind: str, path: str) -> Fault:
        self.asked.append(f"{kind} {path.removeprefix('live/')}")
        return self.fault.get(kind, Fault.NONE)


@pytest.fixture
def faulty(tmp_path: Path) -> Faulty:
    return Faulty(tmp_path)


def test_while_the_bucket_is_away_all_waits_and_it_is_asked_once_a_pass(faulty: Faulty) -> None:
    spool = faulty.spool
    spool.write(FIRST, b"a\n")
    spool.write(f"{SECOND}.part", b"b\n")
    faulty.fault = dict.fromkeys(("put", "create"), Fault.REFUSED)
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="503"):
            spool.shipper.step()
    assert faulty.asked == [f"create {FIRST}"] * 3
    assert spool.waiting == [FIRST, f"{SECOND}.part"]
    faulty.fault = {}
    assert spool.shipper.step() == Shipped(put=2, left=1)
    assert spool.lines() == [b"a", b"b"]


@pytest.mark.parametrize("lost", ["create", "delete", "put"])
def test_an_answer_that_gets_lost_makes_nothing_twice(faulty: Faulty, lost: str) -> None:
    spool = faulty.spool
    spool.write(f"{FIRST}.part", b"a\n")
    spool.shipper.step()
    spool.close(FIRST)
    spool.write(f"{SECOND}.part", b"b\n")
    faulty.fault = {lost: Fault.LOST}
    with pytest.raises(StoreUnavailable):
        spool.shipper.step()
    faulty.fault = {}
    spool.shipper.step()
    assert spool.there == {FIRST: b"a\n", f"{SECOND}.part": b"b\n"}
    assert spool.waiting == [f"{SECOND}.part"]


@pytest.mark.parametrize("fault", [Fault.DEATH_BEFORE, Fault.DEATH_AFTER])
@pytest.mark.parametrize("request_kind", ["create", "delete", "put"])
def test_one_that_dies_at_any_request_leaves_what_its_successor_ends(
    faulty: Faulty, request_kind: str, fault: Fault
) -> None:
    spool = faulty.spool
    spool.write(f"{FIRST}.part", b"a\n")
    spool.shipper.step()
    spool.close(FIRST)
    spool.write(f"{SECOND}.part", b"b\n")
    faulty.fault = {request_kind: fault}
    with pytest.raises(Death):
        spool.shipper.step()
    faulty.fault, faulty.flaky.dead = {}, False
    spool.another().step()
    assert spool.there == {FIRST: b"a\n", f"{SECOND}.part": b"b\n"}
    assert spool.lines() == [b"a", b"b"]
    assert spool.waiting == [f"{SECOND}.part"]


def test_a_bucket_that_is_slow_keeps_no_gateway_from_writing_and_the_oldest_that_waits_goes_first(
    faulty: Faulty,
) -> None:
    spool = faulty.spool
    begun, go_on = threading.Event(), threading.Event()

    def slow(_kind: str, _path: str) -> Fault:
        begun.set()
        assert go_on.wait(30)
        return Fault.NONE

    said: list[str] = []
    clock = iter(range(int(NOW), int(NOW) + 10**6, 600))
    limits = Retention(segment_bytes=1, keep_bytes=250)
    gateway = SegmentRecorder(spool.directory, "g1", limits, lambda: float(next(clock)), said.append)
    gateway.write([Feedback(time=1.0, request_id="r0", score=1.0)])
    slow_one = Shipper(
        object_files(FlakyObjects(memory_objects(), slow), spool.directory),
        "live",
        spool.directory,
        lambda: NOW,
    )
    carrying = threading.Thread(target=slow_one.step)
    carrying.start()
    assert begun.wait(30)
    for number in range(1, 10):
        gateway.write([Feedback(time=1.0, request_id=f"r{number}", score=1.0)])
    left = spool.waiting
    assert (set(said), len(said) + len(left)) == ({"too_much"}, 10)
    assert gateway.held_bytes == sum((spool.directory / name).stat().st_size for name in left) <= 250
    go_on.set()
    carrying.join()
    spool.shipper.step()
    kept: Sequence[bytes] = spool.lines()
    assert b'"r9"' in kept[-1]
    assert len(kept) == len(left)


def ship(server: S3Server, uri: str, spool: Path, *more: str, keys: Path | None = None) -> int:
    given = ("--endpoint", server.endpoint, "--credentials", str(keys or server.credentials))
    return main(["ship", "--store", uri, "--from", str(spool), *given, "--once", *more])


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A spool with one record that waits."""
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / FIRST).write_bytes(b"a\n")
    return tmp_path / "spool"


def test_the_command_carries_to_the_folder_that_it_is_told_and_touches_its_heartbeat(
    s3_server: S3Server, s3_uri: str, s3_access: S3Access, directory: Path
) -> None:
    assert ship(s3_server, s3_uri, directory, "--folder", "users/live") == 0
    files = ArtifactStore.open(s3_uri, s3_access).files
    assert [name for name, _entry in files.scan("users/live")] == [FIRST]
    assert [path.name for path in directory.iterdir()] == [".heartbeat"]


def test_the_command_deletes_what_is_older_than_it_is_told(
    s3_server: S3Server, s3_uri: str, s3_access: S3Access, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (directory / "live-20200301T120000-000001-g1.jsonl").write_bytes(b"old\n")
    (directory / FIRST).rename(directory / "live-29990301T120000-000001-g1.jsonl")
    assert ship(s3_server, s3_uri, directory, "--keep-hours", "24") == 0
    files = ArtifactStore.open(s3_uri, s3_access).files
    assert [name for name, _entry in files.scan("live")] == ["live-29990301T120000-000001-g1.jsonl"]
    assert "1 old segments are deleted" in caplog.text
    assert ship(s3_server, s3_uri, directory, "--keep-mib", "1") == 0


def test_credentials_that_are_refused_are_told_without_them_and_all_waits(
    s3_server: S3Server, s3_uri: str, directory: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "AWS_ACCESS_KEY_ID").write_text((s3_server.credentials / "AWS_ACCESS_KEY_ID").read_text())
    (keys / "AWS_SECRET_ACCESS_KEY").write_text("not-the-secret")
    assert ship(s3_server, s3_uri, directory, keys=keys) == 1
    assert "records wait: " in caplog.text
    assert "credentialsSecretRef" in caplog.text
    assert "not-the-secret" not in caplog.text
    assert s3_server.secret not in caplog.text
    assert (directory / FIRST).exists()
    assert ship(s3_server, s3_uri, directory) == 0
    assert not (directory / FIRST).exists()


def test_records_wait_out_a_service_that_is_down_and_go_when_it_is_up(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with S3Server() as server:
        access = S3Access(server.endpoint, credentials=server.credentials, patience=0.5)
        files = ArtifactStore.open(server.uri("desk"), access).files
        shipper = Shipper(files, "live", directory, lambda: NOW)
        server.kill()
        with pytest.raises(StoreUnavailable, match=r"cannot be reached.*store\.s3\.endpoint"):
            shipper.step()
        assert (directory / FIRST).exists()
        server.revive()
        assert shipper.step() == Shipped(put=1, left=1)
        assert [name for name, _entry in files.scan("live")] == [FIRST]
    assert server.secret not in caplog.text


def test_one_that_is_told_to_end_carries_what_its_gateway_has_closed_meanwhile(
    s3_server: S3Server, s3_uri: str, s3_access: S3Access, directory: Path
) -> None:
    files = ArtifactStore.open(s3_uri, s3_access).files
    command = [
        sys.executable,
        "-m",
        "modelecology.store",
        "ship",
        "--store",
        s3_uri,
        "--from",
        str(directory),
    ]
    process = subprocess.Popen(
        [*command, "--every", "60m"],
        env={**os.environ, **s3_server.environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert holds_within(lambda: not (directory / FIRST).exists(), 30)
        assert main(["alive", "--heartbeat", str(directory / ".heartbeat"), "--within", "30s"]) == 0
        (directory / SECOND).write_bytes(b"the last\n")
    finally:
        process.terminate()
        _out, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert sorted(name for name, _entry in files.scan("live")) == [FIRST, SECOND]
    assert s3_server.secret not in said


@pytest.mark.parametrize("folder", ["artifacts", "inputs/live", "../live", "/live", ""])
def test_a_folder_that_is_not_for_records_is_refused(
    s3_server: S3Server, s3_uri: str, directory: Path, folder: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert ship(s3_server, s3_uri, directory, "--folder", folder) == 1
    assert "is no place for records" in caplog.text


def test_a_spool_that_cannot_be_read_is_an_error_that_names_it(faulty: Faulty) -> None:
    (faulty.spool.directory / FIRST).mkdir()
    with pytest.raises(StoreError, match=FIRST):
        faulty.spool.shipper.step()
