"""The cache goes forward only, whichever of its two sources is behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modelecology.kube.cache import InvalidObject, ObjectCache
from modelecology.kube.cluster import SPECIALIST
from testbed.pretend_desk import PretendDesk


@pytest.fixture
def body(tmp_path: Path) -> dict[str, Any]:
    """A specialist as the API would give it."""
    body = PretendDesk(tmp_path).specialist("dates", "dates", 0.6)
    body["metadata"] |= {"namespace": "d", "uid": "u1", "resourceVersion": "10"}
    return body


def version(body: dict[str, Any], number: str, **meta: Any) -> dict[str, Any]:
    return {**body, "metadata": {**body["metadata"], "resourceVersion": number, **meta}}


def test_an_older_version_is_not_taken_in(body: dict[str, Any]) -> None:
    cache = ObjectCache()
    cache.put(SPECIALIST, version(body, "11"))
    cache.put(SPECIALIST, version(body, "9"))
    assert cache.version(SPECIALIST, "d", "dates") == "11"


def test_an_object_created_anew_is_taken_in_whatever_its_version(body: dict[str, Any]) -> None:
    cache = ObjectCache()
    cache.put(SPECIALIST, version(body, "11"))
    cache.put(SPECIALIST, version(body, "3", uid="u2"))
    assert cache.version(SPECIALIST, "d", "dates") == "3"


def test_a_late_answer_does_not_bring_back_what_is_gone(body: dict[str, Any]) -> None:
    cache = ObjectCache()
    cache.put(SPECIALIST, body)
    cache.drop(SPECIALIST, "d", "dates")
    cache.put(SPECIALIST, version(body, "12"))
    assert cache.specialist("d", "dates") is None
    cache.put(SPECIALIST, version(body, "13", uid="u2"))
    assert cache.specialist("d", "dates") is not None


def test_taking_off_the_last_finalizer_of_a_deleted_object_is_its_end(body: dict[str, Any]) -> None:
    cache = ObjectCache()
    cache.put(SPECIALIST, version(body, "10", finalizers=["a/b"]))
    cache.put(SPECIALIST, version(body, "11", deletionTimestamp="2026-03-01T12:00:00Z"))
    assert cache.known() == frozenset()


def test_an_object_that_cannot_be_read_is_known_by_its_version(body: dict[str, Any]) -> None:
    cache = ObjectCache()
    with pytest.raises(InvalidObject, match=r"spec\.contract"):
        cache.put(SPECIALIST, {**body, "spec": {"populationRef": {"name": "desk"}}})
    assert cache.specialist("d", "dates") is None
    assert cache.version(SPECIALIST, "d", "dates") == "10"
    cache.put(SPECIALIST, version(body, "11"))
    assert cache.version(SPECIALIST, "d", "dates") == "11"
