"""Reaching a bucket: keys that change, refusals that say what to mend, secrets that stay where they are."""

from __future__ import annotations

import http.server
import logging
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelecology.store import (
    ArtifactStore,
    Cost,
    PlaceNotFound,
    S3Access,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from modelecology.store.s3 import meaning_of
from testbed.s3 import S3Server

KEY = "a" * 64


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No keys, and no place to ask for some, but those which a test gives."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("MODELECOLOGY_CACHE", str(tmp_path / "cache"))


def put(store: ArtifactStore) -> None:
    with store.begin(KEY) as attempt:
        attempt.write("adapter.bin", b"weights")
        attempt.commit("Train", {}, Cost())


def copied(server: S3Server, directory: Path, **changed: str) -> Path:
    """Give a directory of the server's keys, some of them changed."""
    directory.mkdir(exist_ok=True)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        (directory / name).write_text(changed.get(name, (server.credentials / name).read_text()) + "\n")
    return directory


def test_a_job_takes_endpoint_and_keys_from_its_environment(
    s3_server: S3Server, s3_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    put(ArtifactStore.open(s3_uri))
    assert ArtifactStore.open(s3_uri).read(KEY, "adapter.bin") == b"weights"


def test_keys_that_change_under_it_are_read_again(s3_server: S3Server, s3_uri: str, tmp_path: Path) -> None:
    keys = copied(s3_server, tmp_path / "keys", AWS_SECRET_ACCESS_KEY="old")
    store = ArtifactStore.open(s3_uri, S3Access(s3_server.endpoint, credentials=keys))
    with pytest.raises(StoreUnavailable, match="credentialsSecretRef"):
        store.commit_of(KEY)
    copied(s3_server, keys)
    assert store.commit_of(KEY) is None
    copied(s3_server, keys, AWS_ACCESS_KEY_ID="AKIAANOTHER")
    with pytest.raises(StoreUnavailable, match="credentialsSecretRef"):
        store.commit_of(KEY)


def test_a_directory_without_keys_says_what_is_to_be_mounted(
    s3_server: S3Server, s3_uri: str, tmp_path: Path
) -> None:
    store = ArtifactStore.open(s3_uri, S3Access(s3_server.endpoint, credentials=tmp_path / "none"))
    with pytest.raises(StoreUnavailable, match=r"no readable AWS_ACCESS_KEY_ID.*credentialsSecretRef"):
        store.commit_of(KEY)


def test_without_any_keys_it_is_said_where_to_name_them(s3_server: S3Server, s3_uri: str) -> None:
    store = ArtifactStore.open(s3_uri, S3Access(s3_server.endpoint, patience=1.0))
    with pytest.raises(StoreUnavailable, match=r"No credentials.*credentialsSecretRef"):
        store.commit_of(KEY)


def test_a_bucket_that_is_not_there_never_looks_empty(s3_server: S3Server, s3_access: S3Access) -> None:
    store = ArtifactStore.open("s3://no-such-bucket/x", s3_access)
    for ask in (store.commit_of, store.progress, store.delete, store.archive):
        with pytest.raises(StoreUnavailable, match=r"no bucket no-such-bucket at http://.*mend store\.uri"):
            ask(KEY)
    with pytest.raises(StoreUnavailable, match="no bucket"):
        put(store)
    with pytest.raises(StoreUnavailable, match="no bucket"):
        list(store.files.scan("artifacts"))
    with pytest.raises(StoreUnavailable, match="no bucket"):
        ArtifactStore.create("s3://no-such-bucket/x", s3_access)


class Stranger(http.server.BaseHTTPRequestHandler):
    """Something that is no S3 service."""

    status = 404

    def do_GET(self) -> None:
        """Answer everything alike."""
        self.send_response(self.status)
        self.send_header("Content-Length", "9")
        self.end_headers()
        self.wfile.write(b"<html/>\r\n")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def stranger() -> Iterator[str]:
    """The address of something that answers 404 to everything."""
    with http.server.HTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_what_is_no_s3_service_never_looks_empty(stranger: str, s3_access: S3Access) -> None:
    store = ArtifactStore.open("s3://bucket/x", S3Access(stranger, credentials=s3_access.credentials))
    with pytest.raises(StoreUnavailable, match="404"):
        store.commit_of(KEY)


def test_a_service_that_is_down_is_told_and_serves_again_when_it_is_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with S3Server() as server:
        access = S3Access(server.endpoint, credentials=server.credentials, patience=1.0)
        store = ArtifactStore.open(server.uri("x"), access)
        put(store)
        server.kill()
        with pytest.raises(StoreUnavailable, match=r"cannot be reached.*store\.s3\.endpoint"):
            store.commit_of(KEY)
        server.revive()
        assert store.commit_of(KEY) is not None


def test_plain_http_is_spoken_only_where_the_endpoint_says_so(s3_server: S3Server, s3_uri: str) -> None:
    endpoint = s3_server.endpoint.replace("http://", "https://")
    store = ArtifactStore.open(s3_uri, S3Access(endpoint, credentials=s3_server.credentials, patience=1.0))
    with pytest.raises(StoreUnavailable):
        store.commit_of(KEY)


@pytest.mark.parametrize(
    "endpoint", ["s3.example", "ftp://x", "https://user@host", "http://h/path", "https://h?x"]
)
def test_an_endpoint_of_another_form_is_refused(endpoint: str) -> None:
    with pytest.raises(PlaceNotFound, match=r"store\.s3\.endpoint"):
        ArtifactStore.open("s3://bucket/x", S3Access(endpoint))


def test_the_secret_is_in_no_message_no_trace_no_log_and_no_text_of_an_object(
    s3_server: S3Server, s3_uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    keys = copied(s3_server, tmp_path / "keys", AWS_ACCESS_KEY_ID="AKIAANOTHER")
    told: list[str] = []
    for endpoint in (s3_server.endpoint, "http://127.0.0.1:1"):
        access = S3Access(endpoint, credentials=keys, patience=1.0)
        store = ArtifactStore.open(s3_uri, access)
        try:
            store.commit_of(KEY)
        except StoreError as error:
            told += traceback.format_exception(error)
        told += [repr(access), repr(store), repr(store.files), repr(vars(store.files))]
    text = "".join(told) + caplog.text
    assert "StoreUnavailable" in text
    assert s3_server.secret not in text
    assert "AKIAANOTHER" not in text


@pytest.mark.parametrize(
    ("text", "kind", "remedy"),
    [
        ("status code: 507 Insufficient Storage: <Code>XMinioStorageFull</Code>", StoreFull, "free some"),
        ("status code: 403 Forbidden: <Code>QuotaExceeded</Code>", StoreFull, "free some"),
        ("status code: 403 Forbidden: <Code>AccessDenied</Code>", StoreUnavailable, "credentialsSecretRef"),
        ("status code: 400 Bad Request: <Code>ExpiredToken</Code>", StoreUnavailable, "credentialsSecretRef"),
        ("status code: 301 Moved: <Code>PermanentRedirect</Code>", StoreUnavailable, "store.s3.region"),
        (
            "status code: 400 Bad Request: <Code>AuthorizationHeaderMalformed</Code>",
            StoreUnavailable,
            "store.s3.region",
        ),
        ("status code: 503 Slow Down: <Code>SlowDown</Code>", StoreUnavailable, "503 SlowDown"),
        ("POST https://sts/?WebIdentityToken=secret kind: Timeout", StoreUnavailable, "timeout error"),
        ("kind: Connect, InvalidCertificate(UnknownIssuer)", StoreUnavailable, "SSL_CERT_FILE"),
        ("PUT http://169.254.169.254/latest/api/token kind: Connect", StoreUnavailable, "No credentials"),
    ],
)
def test_every_refusal_says_what_to_mend_and_whether_to_try_again(
    text: str, kind: type[StoreError], remedy: str
) -> None:
    found = meaning_of(OSError(text), "reading x", "bucket", "https://s3.example")
    assert type(found) is kind
    assert found.retry
    assert remedy in str(found)
    assert "secret" not in str(found).replace("credentialsSecretRef", "")
    assert len(str(found)) < 400


def test_a_store_in_a_directory_does_not_load_the_client_of_s3() -> None:
    program = (
        "import sys; from modelecology.store import ArtifactStore; ArtifactStore.open('file:///x'); "
        "sys.exit('obstore' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
