"""A judge before a bucket: it reads copies there, its words come there, and none is asked for twice."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from modelecology.api.live_records import Preference, read_line, write_line
from modelecology.serving.gateway.segments import Retention, SegmentRecorder
from modelecology.serving.judge.__main__ import _lines
from modelecology.serving.judge.options import parse
from modelecology.serving.judge.port import RuleJudge
from modelecology.store import ArtifactStore, S3Access
from modelecology.store.live_files import LiveFiles
from modelecology.store.live_shipper import Shipper
from testbed.s3 import S3Server
from tests.serving.gateway.stage import until

from .stage import by_truth, copied, judging


@pytest.mark.parametrize("carried", [True, False])
async def test_a_judge_reads_and_writes_a_bucket_and_after_a_restart_asks_nothing_twice(
    tmp_path: Path, carried: bool
) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    with S3Server() as server:
        access = S3Access(server.endpoint, credentials=server.credentials)
        files = ArtifactStore.open(server.uri("desk"), access).files
        segment = "live-20260301T120000-000001-g.jsonl"
        files.replace(f"live/{segment}", write_line(copied("r1")) + write_line(copied("r2")))
        options = parse(
            (
                *("--records-dir", str(spool), "--endpoint", "http://judge:8000", "--model", "wise"),
                *("--read-from", server.uri("desk/live"), "--s3-endpoint", server.endpoint),
                *("--s3-credentials", str(server.credentials)),
            )
        )

        def recorder(name: str) -> SegmentRecorder:
            return SegmentRecorder(spool, name, Retention(), time.time)

        async with judging(
            spool, RuleJudge(by_truth), files=_lines(options), recorder=recorder("one")
        ) as bench:
            await until(lambda: bench.count("judged_total", outcome="better") == 2)
        if carried:
            Shipper(files, "live", spool, time.time).step()
            assert list(spool.glob("live-*")) == []
            said = [read_line(line) for line in LiveFiles(files, "live").lines()]
            assert sorted(r.request_id for r in said if isinstance(r, Preference)) == ["r1", "r2"]
        files.replace(f"live/{segment.replace('000001', '000002')}", write_line(copied("r3")))
        judge = RuleJudge(by_truth)
        async with judging(spool, judge, files=_lines(options), recorder=recorder("two")) as bench:
            await until(lambda: bench.count("judged_total", outcome="better") == 1)
        assert len(judge.asked) == 2, "one copy, in both orders"
