"""The store's tools, as users and pods start them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from modelecology.store import ArtifactStore, Cost, S3Access, directory_digest, file_digest
from modelecology.store.__main__ import main, seconds
from testbed.s3 import S3Server
from testbed.waiting import holds_within

KEY = "a" * 64
WEIGHTS = "adapter_model.safetensors"


@pytest.fixture
def job(s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """The environment of a pod that is given the store's keys."""
    given = {**s3_server.environment, "MODELECOLOGY_CACHE": str(tmp_path / "cache")}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return given


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A directory that stands for a base."""
    (tmp_path / "base" / "sub").mkdir(parents=True)
    (tmp_path / "base" / "config.json").write_bytes(b"{}")
    (tmp_path / "base" / "sub" / "model.safetensors").write_bytes(b"w" * 100_000)
    return tmp_path / "base"


@pytest.mark.usefixtures("job")
def test_a_base_is_put_and_fetched_by_its_digest(
    s3_uri: str, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put = ["put", "--store", s3_uri, "--from", str(base), "--uri", "store:///bases/tiny"]
    assert main(put) == 0
    digest = capsys.readouterr().out.strip()
    assert digest == directory_digest(str(base))
    assert main(put) == 0, "a repeat is harmless"
    fetch = ["fetch", "--store", s3_uri, "--uri", "store:///bases/tiny", "--to", str(tmp_path / "model")]
    assert main([*fetch, "--digest", digest]) == 0
    assert directory_digest(str(tmp_path / "model")) == digest
    assert main([*fetch, "--digest", digest]) == 0, "what is there already is left"
    assert sorted(path.name for path in tmp_path.iterdir() if "model" in path.name) == ["model"]


@pytest.mark.usefixtures("job")
def test_data_is_put_and_read_by_jobs(
    s3_uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.jsonl").write_bytes(b"{}\n")
    source = str(tmp_path / "x.jsonl")
    assert main(["put", "--store", s3_uri, "--from", source, "--uri", "store:///data/x.jsonl"]) == 0
    assert capsys.readouterr().out.strip() == file_digest(source)
    assert ArtifactStore.open(s3_uri).places.read("store:///data/x.jsonl") == b"{}\n"


@pytest.mark.usefixtures("job")
def test_a_base_of_another_digest_is_not_laid(
    s3_uri: str, base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    main(["put", "--store", s3_uri, "--from", str(base), "--uri", "store:///tiny"])
    fetch = ["fetch", "--store", s3_uri, "--uri", "store:///tiny", "--to", str(tmp_path / "model")]
    assert main([*fetch, "--digest", "sha256:" + "0" * 64]) == 1
    assert "mend the uri or the digest" in caplog.text
    assert [path.name for path in tmp_path.iterdir() if "model" in path.name] == []
    (tmp_path / "model").mkdir()
    assert main([*fetch, "--digest", directory_digest(str(base))]) == 1
    assert "remove it, or choose another place" in caplog.text


@pytest.mark.parametrize(
    "uri", ["store:///artifacts/x", "store:///store.json", "store:///", "file:///x", "s3://b/x"]
)
def test_a_place_that_is_not_for_users_is_refused(tmp_path: Path, base: Path, uri: str) -> None:
    store = f"file://{tmp_path / 'store'}"
    ArtifactStore.create(store)
    assert main(["put", "--store", store, "--from", str(base), "--uri", uri]) == 1


def test_what_is_there_already_is_never_overwritten(
    tmp_path: Path, base: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = f"file://{tmp_path / 'store'}"
    ArtifactStore.create(store)
    put = ["put", "--store", store, "--from", str(base), "--uri", "store:///tiny"]
    assert main(put) == 0
    (base / "config.json").write_bytes(b"[]")
    assert main(put) == 1
    assert "choose another place" in caplog.text
    (base / "config.json").write_bytes(b"{}")
    (base / "sub" / "model.safetensors").unlink()
    assert main(put) == 1, "files that the source lacks would change the digest"
    assert main(["put", "--store", store, "--from", str(base / "config.json"), "--uri", "store:///tiny"]) == 1


def test_a_store_that_cannot_be_reached_is_told_in_one_line(
    job: Mapping[str, str], s3_uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = tmp_path / "keys"
    wrong.mkdir()
    (wrong / "AWS_ACCESS_KEY_ID").write_text("AKIAWRONG")
    (wrong / "AWS_SECRET_ACCESS_KEY").write_text("wrong")
    once = ["mirror", "--store", s3_uri, "--to", str(tmp_path / "m"), "--once", "--credentials", str(wrong)]
    assert main(once) == 1
    assert "credentialsSecretRef" in caplog.text
    assert job["AWS_SECRET_ACCESS_KEY"] not in caplog.text


@pytest.mark.usefixtures("job")
def test_a_mirror_of_a_directory_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert main(["mirror", "--store", f"file://{tmp_path}", "--to", str(tmp_path / "m"), "--once"]) == 1
    assert "needs no mirror" in caplog.text


def test_a_mirror_follows_the_store_until_it_is_told_to_end(
    job: Mapping[str, str], s3_uri: str, s3_access: S3Access, tmp_path: Path
) -> None:
    store = ArtifactStore.open(s3_uri, s3_access)
    root = tmp_path / "adapters"
    command = [sys.executable, "-m", "modelecology.store", "mirror", "--store", s3_uri]
    process = subprocess.Popen(
        [*command, "--to", str(root), "--every", "50ms"],
        env={**os.environ, **job},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        with store.begin(KEY) as attempt:
            attempt.write(WEIGHTS, b"weights")
            attempt.commit("Train", {}, Cost())
        copy = Path(store.engine_path(KEY, str(root)))
        assert holds_within(copy.is_dir, 30)
        assert (copy / WEIGHTS).read_bytes() == b"weights"
        assert main(["alive", "--heartbeat", str(root / ".heartbeat"), "--within", "30s"]) == 0
        store.archive(KEY)
        assert holds_within(lambda: not copy.exists(), 30)
    finally:
        process.terminate()
        _out, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert f"artifact {KEY[:12]} is there: 7 bytes" in said
    assert f"artifact {KEY[:12]} is gone" in said
    assert job["AWS_SECRET_ACCESS_KEY"] not in said


def test_a_heart_that_stopped_is_noticed(tmp_path: Path) -> None:
    heart = tmp_path / "heart"
    alive = ["alive", "--heartbeat", str(heart)]
    assert main(alive) == 1
    heart.touch()
    assert main(alive) == 0
    os.utime(heart, (1.0, 1.0))
    assert main(alive) == 1


def test_durations_are_written_with_their_unit() -> None:
    assert [seconds(text) for text in ("2", "2s", "500ms", "1.5m")] == [2.0, 2.0, 0.5, 90.0]
    with pytest.raises(SystemExit):
        main(["alive", "--heartbeat", "x", "--within", "soon"])
