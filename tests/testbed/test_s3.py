"""The S3 server of the testbed: its keys, its bucket, and that it keeps what it acknowledged."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from modelecology.store import ArtifactStore, Cost, S3Access, StoreUnavailable
from testbed.errors import StartFailed
from testbed.s3 import S3Server

KEY = "a" * 64


def store_of(server: S3Server) -> ArtifactStore:
    """Open a store in the server's bucket."""
    access = S3Access(server.endpoint, credentials=server.credentials, patience=1.0)
    return ArtifactStore.open(server.uri("x"), access)


def test_what_it_acknowledged_is_there_after_it_was_killed_and_nothing_is_left_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELECOLOGY_CACHE", str(tmp_path))
    with S3Server() as server:
        store = store_of(server)
        with store.begin(KEY) as attempt:
            attempt.write("result.txt", b"kept")
            attempt.commit("Train", {}, Cost())
        server.kill()
        with pytest.raises(StoreUnavailable):
            store.commit_of(KEY)
        server.revive()
        assert store_of(server).read(KEY, "result.txt") == b"kept"
        directory = server.directory
    assert not directory.exists()
    with pytest.raises(StartFailed, match="with block"):
        _ = server.credentials


def test_its_keys_are_random_and_their_files_are_its_owners() -> None:
    with S3Server() as one, S3Server() as two:
        assert one.secret != two.secret
        assert one.endpoint != two.endpoint
        for path in (one.credentials, *one.credentials.iterdir()):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
        assert one.secret not in (one.directory / "s3.log").read_text()
        crossed = S3Access(one.endpoint, credentials=two.credentials, patience=1.0)
        with pytest.raises(StoreUnavailable):
            ArtifactStore.open(one.uri(), crossed).commit_of(KEY)
