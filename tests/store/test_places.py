"""Where things lie, and the digests that say what they are."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelecology.store import ArtifactStore, PlaceNotFound, directory_digest, file_digest, resolve

STORE = "file:///data/store"


def test_a_file_uri_and_a_store_uri_give_local_paths() -> None:
    assert resolve("file:///data/a%20b.jsonl", STORE) == "/data/a b.jsonl"
    assert resolve("store:///imports/x", STORE) == "/data/store/imports/x"


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
def test_a_uri_of_another_form_is_refused(uri: str) -> None:
    with pytest.raises(PlaceNotFound):
        resolve(uri, STORE)


@given(st.text(max_size=60))
def test_a_store_uri_never_leaves_the_store(rest: str) -> None:
    try:
        path = resolve(f"store:///{rest}", STORE)
    except (PlaceNotFound, ValueError):
        return
    assert Path("/data/store") in (Path(path), *Path(path).parents)
    assert ".." not in Path(path).parts


def test_a_store_must_be_a_file_uri() -> None:
    with pytest.raises(PlaceNotFound, match="file:///path"):
        ArtifactStore.open("s3://bucket")


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
