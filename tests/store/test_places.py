"""Where things lie, and the digests that say what they are."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelecology.store import (
    ArtifactStore,
    PlaceNotFound,
    StoreUnavailable,
    bytes_digest,
    directory_digest,
    file_digest,
)
from modelecology.store.double import Fault, FlakyObjects, memory_objects
from modelecology.store.places import relative_place
from modelecology.store.s3 import location

from .conftest import Ground, in_memory

BASE = {"config.json": b"{}", "model.safetensors": b"w" * 1000, "sub/tokenizer.json": b"[]"}


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/x",
        "/data/x",
        "file://host/x",
        "file:///data/../etc/passwd",
        "store:///../x",
        "store:///%2e%2e/x",
        "file:///x?y",
        "",
    ],
)
def test_a_uri_of_another_form_is_refused(uri: str, store: ArtifactStore) -> None:
    with pytest.raises(PlaceNotFound):
        store.places.read(uri)
    with pytest.raises(PlaceNotFound):
        store.places.directory(uri, "sha256:" + "0" * 64)


@given(st.text(max_size=60))
def test_a_store_uri_never_leaves_the_store(rest: str) -> None:
    try:
        path = relative_place(f"store:///{rest}")
    except (PlaceNotFound, ValueError):
        return
    assert path is not None
    assert not Path(path).is_absolute()
    assert ".." not in Path(path).parts


@pytest.mark.parametrize(
    "uri", ["http://bucket/x", "/data", "s3://", "s3://B_cket/x", "s3://bucket/../x", "s3://b"]
)
def test_a_store_of_another_form_is_refused(uri: str) -> None:
    with pytest.raises(PlaceNotFound, match=r"file:///path|s3://bucket/prefix"):
        ArtifactStore.open(uri)


def test_a_bucket_and_a_prefix_are_told_apart() -> None:
    assert location("s3://my.bucket-1") == ("my.bucket-1", "")
    assert location("s3://bucket/a/b.c/") == ("bucket", "a/b.c")


def test_a_file_digest_is_the_sha256_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert file_digest(str(tmp_path / "x")) == f"sha256:{hashlib.sha256(b'abc').hexdigest()}"
    with pytest.raises(PlaceNotFound):
        file_digest(str(tmp_path / "y"))


def test_a_directory_digest_sees_names_and_bytes_and_not_the_order(tmp_path: Path) -> None:
    for name, order in (("one", ("a", "b")), ("two", ("b", "a"))):
        (tmp_path / name / "sub").mkdir(parents=True)
        for part in order:
            (tmp_path / name / "sub" / part).write_text(part)
    assert directory_digest(str(tmp_path / "one")) == directory_digest(str(tmp_path / "two"))
    (tmp_path / "two" / "sub" / "a").rename(tmp_path / "two" / "sub" / "c")
    assert directory_digest(str(tmp_path / "one")) != directory_digest(str(tmp_path / "two"))


def test_a_directory_with_a_link_has_no_digest(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "link").symlink_to("/etc/passwd")
    with pytest.raises(PlaceNotFound, match="links are not followed"):
        directory_digest(str(tmp_path / "d"))


def laid(ground: Ground, tmp_path: Path) -> str:
    """Put a base into the store and return its digest."""
    for name, content in BASE.items():
        ground.files.replace(f"generalist/{name}", content)
        (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "copy" / name).write_bytes(content)
    return directory_digest(str(tmp_path / "copy"))


def test_a_data_file_in_the_store_and_one_on_a_volume_are_read(ground: Ground, tmp_path: Path) -> None:
    ground.files.replace("data/x.jsonl", b"{}\n")
    (tmp_path / "my y.jsonl").write_bytes(b"[]\n")
    places = ground.open().places
    assert places.read("store:///data/x.jsonl") == b"{}\n"
    assert places.read(f"file://{tmp_path}/my%20y.jsonl") == b"[]\n"
    for uri in ("store:///data/none", "store:///data", f"file://{tmp_path}/none"):
        with pytest.raises(PlaceNotFound):
            places.read(uri)
    for uri in ("store:///data/x.jsonl", f"file://{tmp_path}/my%20y.jsonl"):
        with pytest.raises(PlaceNotFound, match="has 3 bytes; 2 are read at most"):
            places.read(uri, 2)


def test_a_base_in_the_store_is_a_local_directory_of_its_digest(ground: Ground, tmp_path: Path) -> None:
    digest = laid(ground, tmp_path)
    found = ground.open().places.directory("store:///generalist", digest)
    assert directory_digest(str(found)) == digest
    assert ground.open().places.directory("store:///generalist", digest) == found


def test_a_base_of_another_digest_is_given_as_it_is(ground: Ground, tmp_path: Path) -> None:
    digest = laid(ground, tmp_path)
    found = ground.open().places.directory("store:///generalist", "sha256:" + "0" * 64)
    assert directory_digest(str(found)) == digest


def test_a_base_that_is_not_there_is_not_found(ground: Ground) -> None:
    digest = "sha256:" + "0" * 64
    with pytest.raises(PlaceNotFound):
        directory_digest(str(ground.open().places.directory("store:///generalist", digest)))


def test_a_base_is_fetched_once_and_anew_when_its_copy_was_changed(tmp_path: Path) -> None:
    asked: list[str] = []

    def noting(kind: str, path: str) -> Fault:
        asked.append(f"{kind} {path}")
        return Fault.NONE

    ground = in_memory(FlakyObjects(memory_objects(), noting), tmp_path)
    digest = laid(ground, tmp_path)
    found = ground.open().places.directory("store:///generalist", digest)
    asked.clear()
    ground.open().places.directory("store:///generalist", digest)
    assert asked == []
    (found / "config.json").write_bytes(b"[]")
    assert directory_digest(str(ground.open().places.directory("store:///generalist", digest))) == digest
    assert "get generalist/config.json" in asked


def test_a_base_whose_fetch_is_cut_short_leaves_nothing_that_could_be_taken_for_it(tmp_path: Path) -> None:
    objects = memory_objects()
    digest = laid(in_memory(objects, tmp_path), tmp_path)

    def failing(kind: str, path: str) -> Fault:
        return Fault.REFUSED if path.endswith("tokenizer.json") else Fault.NONE

    flaky = in_memory(FlakyObjects(objects, failing), tmp_path)
    with pytest.raises(StoreUnavailable):
        flaky.open().places.directory("store:///generalist", digest)
    assert list((tmp_path / "cache" / "places").iterdir()) == []
    found = in_memory(objects, tmp_path).open().places.directory("store:///generalist", digest)
    assert found.name == digest.removeprefix("sha256:")
    assert bytes_digest((found / "config.json").read_bytes()) == bytes_digest(b"{}")
