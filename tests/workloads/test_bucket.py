"""The same jobs where the store, the base and the data lie in a bucket of a real S3 server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelecology.jobs.intents import INTENT_VARIABLE, DataRef, Intent, canonical_json
from modelecology.store import ArtifactStore, S3Access
from modelecology.store.transfer import put
from modelecology.workloads.adapter import CONFIG, WEIGHTS
from modelecology.workloads.base import checked_base
from modelecology.workloads.errors import (
    ArtifactDigestMismatch,
    ArtifactNotFound,
    BaseDigestMismatch,
    BaseNotFound,
    DataDigestMismatch,
    DataNotFound,
)
from modelecology.workloads.importing import import_adapter
from modelecology.workloads.meter import Meter
from modelecology.workloads.rows import train_rows
from testbed.s3 import S3Server
from tests.workloads.orders import Orders

OTHER = f"sha256:{'3' * 64}"


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    """An S3 server with an empty bucket."""
    with S3Server() as s3:
        yield s3


@pytest.fixture
def store(server: S3Server, orders: Orders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArtifactStore:
    """A store in the bucket, with the desk's base and data beside the artifacts."""
    monkeypatch.setenv("MODELECOLOGY_CACHE", str(tmp_path / "cache"))
    uri = server.uri(tmp_path.name.replace("_", "-"))
    made = ArtifactStore.create(uri, S3Access(server.endpoint, credentials=server.credentials))
    assert put(made.files, orders.desk.base, "bases/tiny") == orders.desk.base_digest
    for name, (path, digest) in orders.desk.files.items():
        assert put(made.files, path, f"data/{name}") == digest
    return made


def moved(intent: Intent, uri: str) -> dict[str, object]:
    """Point an order to what lies in the bucket; its key stays, because digests decide it."""
    plain = intent.model_dump(mode="json", by_alias=True)
    plain["store"] = uri

    def point(value: object) -> object:
        if isinstance(value, list):
            return [point(each) for each in value]
        if not isinstance(value, dict):
            return value
        found = {name: point(each) for name, each in value.items()}
        if str(found.get("uri", "")).startswith("file://"):
            name = Path(str(found["uri"])).name
            found["uri"] = f"store:///data/{name}" if name.endswith(".jsonl") else "store:///bases/tiny"
        return found

    found = point(plain)
    assert isinstance(found, dict)
    return found


def run_job(server: S3Server, intent: Intent, uri: str, cache: Path) -> subprocess.CompletedProcess[str]:
    """Run a job as in a pod of its own: nothing of the store is there, its keys are in the environment."""
    order = type(intent).model_validate(moved(intent, uri))
    given = {**server.environment, INTENT_VARIABLE: canonical_json(order), "MODELECOLOGY_CACHE": str(cache)}
    return subprocess.run(
        [sys.executable, "-m", "modelecology.workloads"],
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def test_jobs_train_and_score_with_nothing_but_a_bucket(
    server: S3Server, store: ArtifactStore, orders: Orders, tmp_path: Path
) -> None:
    uri = store.files.where("").rstrip("/")
    intent = orders.train()
    trained = run_job(server, intent, uri, tmp_path / "pod1")
    assert trained.returncode == 0, trained.stdout + trained.stderr
    assert set(store.verify(intent.key).files) == {CONFIG, WEIGHTS}
    task = orders.task("code", adapter=intent.key)
    scored = run_job(server, orders.evaluate(task, adapter=intent.key), uri, tmp_path / "pod2")
    assert scored.returncode == 0, scored.stdout + scored.stderr
    assert store.verify(task.key).meta["n"] == 58
    assert list((tmp_path / "pod1" / "attempts").iterdir()) == []


def test_a_job_whose_keys_are_refused_says_so_and_may_be_tried_again(
    server: S3Server, store: ArtifactStore, orders: Orders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_secret", "wrong")
    refused = run_job(server, orders.train(), store.files.where("").rstrip("/"), tmp_path / "pod")
    assert refused.returncode == 1
    last = refused.stdout.splitlines()[-1]
    assert '"StoreUnavailable"' in last
    assert '"retry": true' in last
    assert "credentialsSecretRef" in last


def test_data_and_bases_that_are_missing_or_others_are_told_apart(
    store: ArtifactStore, orders: Orders
) -> None:
    places = store.places
    digest = orders.data("code.train.jsonl").digest
    assert train_rows(DataRef(uri="store:///data/code.train.jsonl", digest=digest), places)
    with pytest.raises(DataNotFound):
        train_rows(DataRef(uri="store:///data/none.jsonl", digest=digest), places)
    with pytest.raises(DataDigestMismatch, match=digest):
        train_rows(DataRef(uri="store:///data/code.train.jsonl", digest=OTHER), places)
    assert checked_base(DataRef(uri="store:///bases/tiny", digest=orders.desk.base_digest), places)
    with pytest.raises(BaseNotFound):
        checked_base(DataRef(uri="store:///bases/none", digest=OTHER), places)
    with pytest.raises(BaseDigestMismatch, match=orders.desk.base_digest):
        checked_base(DataRef(uri="store:///bases/tiny", digest=OTHER), places)


def test_an_adapter_in_the_bucket_is_found_by_its_digest_or_not_admitted(
    store: ArtifactStore, orders: Orders, tmp_path: Path
) -> None:
    plain = moved(orders.admit(tmp_path / "x", digest=OTHER), store.files.where("").rstrip("/"))
    intent = orders.admit(tmp_path / "x", digest=OTHER).model_validate(
        {**plain, "artifact": {"uri": "store:///imports/none", "digest": OTHER}}
    )
    with pytest.raises(ArtifactNotFound, match="Mend the uri"):
        import_adapter(intent, store, Meter())
    for name in (CONFIG, WEIGHTS):
        store.files.replace(f"imports/x/{name}", b"{}")
    other = intent.model_validate({**plain, "artifact": {"uri": "store:///imports/x", "digest": OTHER}})
    with pytest.raises(ArtifactDigestMismatch, match=OTHER):
        import_adapter(other, store, Meter())
    assert store.commit_of(intent.key) is None
