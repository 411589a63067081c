"""Inputs by digest: kept once, checked whenever they are read, the same in a directory and in a bucket."""

from __future__ import annotations

import pytest

from modelecology.store import ArtifactCorrupt, ArtifactMissing, bytes_digest
from modelecology.store.inputs import KeptInputs
from modelecology.store.transfer import RESERVED

from .conftest import Ground

ONE, OTHER = b'{"format":1}', b"[1,2,3]"


def test_what_was_kept_is_read_by_its_digest(ground: Ground) -> None:
    kept = ground.open().inputs
    kept.keep({bytes_digest(ONE): ONE, bytes_digest(OTHER): OTHER})
    again = ground.open().inputs
    assert again.read(bytes_digest(ONE)) == ONE
    assert again.listed() == {bytes_digest(ONE), bytes_digest(OTHER)}


def test_keeping_twice_changes_nothing(ground: Ground) -> None:
    for _ in range(2):
        ground.open().inputs.keep({bytes_digest(ONE): ONE})
    assert ground.open().inputs.read(bytes_digest(ONE)) == ONE


def test_what_is_not_there_is_missing_and_what_was_changed_is_corrupt(ground: Ground) -> None:
    store = ground.open()
    with pytest.raises(ArtifactMissing, match="are not in the store"):
        store.inputs.read(bytes_digest(ONE))
    store.inputs.keep({bytes_digest(ONE): ONE})
    ground.files.replace(f"inputs/{bytes_digest(ONE)[7:]}.json", OTHER)
    with pytest.raises(ArtifactCorrupt, match="were changed"):
        store.inputs.read(bytes_digest(ONE))
    with pytest.raises(ArtifactCorrupt, match="were changed"):
        ground.open().inputs.keep({bytes_digest(ONE): ONE})


def test_nothing_else_in_the_folder_is_taken_for_inputs(ground: Ground) -> None:
    store = ground.open()
    store.inputs.keep({bytes_digest(ONE): ONE})
    ground.files.replace("inputs/readme.txt", b"hello")
    assert store.inputs.listed() == {bytes_digest(ONE)}


@pytest.mark.parametrize("digest", ["", "sha256:../../etc", "sha256:" + "a" * 63, "a" * 64])
def test_a_digest_cannot_lead_elsewhere(ground: Ground, digest: str) -> None:
    with pytest.raises(ValueError, match="a digest is sha256"):
        KeptInputs(ground.files).read(digest)


def test_users_files_do_not_go_where_inputs_and_logs_lie() -> None:
    assert {"inputs", "log"} <= RESERVED
