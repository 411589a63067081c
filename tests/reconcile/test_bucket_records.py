"""Records that come to a bucket: shadows and canaries are judged by them, and counts are read from there."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from modelecology.api.live_records import Used
from modelecology.kube.cluster import POPULATION
from modelecology.reconcile.live_ledger import LiveLedgers
from modelecology.store import ArtifactStore, S3Access
from modelecology.store.cache import Cache
from modelecology.store.double import Fault, FlakyObjects, memory_objects, object_files
from modelecology.store.files import Entry, Files
from modelecology.store.live_shipper import Shipper
from modelecology.store.local_files import LocalFiles
from testbed.s3 import S3Server

from .gateway import begun
from .stage import Stage

BUCKET = {"records": "store:///live"}
STEPS = [{"percent": 10, "minimumScored": 20}, {"percent": 50, "minimumScored": 20}]
LIVE = {"sample": 0.5, "live": {"minimumScored": 20}}


class WithBucket(LocalFiles):
    """A directory, for jobs that only pretend, but for the folder `live`, which lies in a bucket."""

    def __init__(self, root: Path, bucket: Files) -> None:
        super().__init__(root)
        self._bucket = bucket

    def local(self, relative: str) -> Path | None:
        return None if relative == "live" else super().local(relative)

    def scan(self, relative: str, after: str = "") -> Iterator[tuple[str, Entry]]:
        return self._bucket.scan(relative, after) if relative == "live" else super().scan(relative, after)

    def download(self, relative: str, start: int = 0) -> Iterator[bytes] | None:
        if relative.startswith("live/"):
            return self._bucket.download(relative, start)
        return super().download(relative, start)


@dataclass
class Bucket:
    """A stage whose gateways' records are carried to a bucket."""

    stage: Stage
    files: Files

    def __post_init__(self) -> None:
        self.gateway_folder = self.stage.directory / "live"
        self.shipper = Shipper(self.files, "live", self.gateway_folder, self._now)
        self.attach()

    def _now(self) -> float:
        return self.stage.runtime.now().timestamp()

    def attach(self) -> None:
        """Give the operator the store, as opening it would, and the stage's clock for its looks at it."""
        store = ArtifactStore(
            WithBucket(self.stage.directory / "store", self.files), Cache(self.stage.directory / "cache")
        )
        self.stage.runtime.open_store = lambda _population: store
        self.stage.runtime.results.live = LiveLedgers(self.stage.clock.monotonic)

    async def carry(self) -> None:
        """Carry what was written down, and let a minute pass."""
        self.shipper.step()
        await self.stage.pass_time(timedelta(minutes=1))


@pytest.fixture(scope="module")
def s3_server() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture(params=["memory", "s3"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    """A bucket of each kind."""
    if request.param == "memory":
        return object_files(memory_objects(), tmp_path)
    server: S3Server = request.getfixturevalue("s3_server")
    access = S3Access(server.endpoint, credentials=server.credentials)
    return ArtifactStore.open(server.uri(f"desk/{uuid.uuid4().hex}"), access).files


@pytest.fixture
async def bucket(files: Files, tmp_path: Path) -> AsyncIterator[Bucket]:
    stage = Stage(tmp_path)
    yield Bucket(stage, files)
    await stage.runtime.close()


async def test_a_shadow_goes_live_by_copies_that_came_to_a_bucket(bucket: Bucket) -> None:
    gateway = await begun(bucket.stage, BUCKET, shadow=LIVE)
    assert bucket.stage.state("dates") == "Shadow LiveScoring"
    gateway.copied([("wrong", "right")] * 10)
    await bucket.carry()
    assert bucket.stage.state("dates") == "Shadow LiveScoring"
    gateway.copied([("wrong", "right")] * 10)
    await bucket.stage.pass_time(timedelta(minutes=1))
    assert bucket.stage.state("dates") == "Shadow LiveScoring", "they are not carried yet"
    await bucket.carry()
    assert bucket.stage.state("dates") == "Live Serving"


async def test_a_canary_that_records_in_a_bucket_refute_is_aborted(bucket: Bucket) -> None:
    gateway = await begun(bucket.stage, BUCKET, promotion={"steps": STEPS})
    assert bucket.stage.state("dates") == "Canary CanaryRunning"
    gateway.asked([0.0] * 30, [1.0] * 30)
    await bucket.carry()
    assert bucket.stage.state("dates") == "Rejected LiveScoreRefuted"


async def test_counts_in_a_bucket_take_the_place_of_declared_traffic_also_after_a_restart(
    bucket: Bucket,
) -> None:
    stage = bucket.stage
    gateway = await begun(stage, BUCKET, viability={"measuredOver": "3h"})
    name = stage.status("dates")["live"]["servedName"]
    for _ in range(5):
        used = Used(task="dates", served=name, requests=30, tokens=100)
        await gateway.count(1, used, Used(requests=70, tokens=0))
        await bucket.carry()
    traffic = stage.status("desk", POPULATION)["traffic"]
    assert traffic["requestsPerDay"] == 2400
    assert {"task": "dates", "share": 0.3} in traffic["tasks"]
    await stage.restart()
    bucket.attach()
    await stage.settle()
    assert stage.status("desk", POPULATION)["traffic"] == traffic


async def test_while_the_bucket_cannot_be_read_a_shadow_waits_and_says_so(tmp_path: Path) -> None:
    away = False

    def plan(_kind: str, _path: str) -> Fault:
        return Fault.REFUSED if away else Fault.NONE

    stage = Stage(tmp_path)
    bucket = Bucket(stage, object_files(FlakyObjects(memory_objects(), plan), tmp_path))
    gateway = await begun(stage, BUCKET, shadow=LIVE)
    gateway.copied([("wrong", "right")] * 20)
    bucket.shipper.step()
    away = True
    await stage.pass_time(timedelta(minutes=1))
    assert stage.state("dates") == "Shadow StoreUnavailable"
    assert "503" in stage.condition("dates")["message"]
    away = False
    await stage.pass_time(timedelta(minutes=1))
    assert stage.state("dates") == "Live Serving"
    await stage.runtime.close()
