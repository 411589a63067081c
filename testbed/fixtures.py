"""pytest fixtures for tests on a real API server: ``control_plane`` and ``namespace``."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from testbed.cluster import Cluster
from testbed.opening import open_cluster

_LONGEST_PREFIX = 40


@pytest.fixture(scope="session")
def control_plane() -> Iterator[Cluster]:
    """One control plane for the whole session; tests keep apart by their namespaces."""
    with open_cluster() as cluster:
        yield cluster


@pytest.fixture
def namespace(control_plane: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A new namespace named after the test, with its default service account; deleted at the end."""
    test = request.node.name.removeprefix("test_").lower()
    prefix = re.sub(r"[^a-z0-9]+", "-", test)[:_LONGEST_PREFIX].strip("-") or "test"
    name = control_plane.create_namespace(prefix)
    yield name
    control_plane.delete_namespace(name)
