"""What the job tests share: one real Ray for the session, and a bounded wait."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from testbed import waiting
from testbed.ray import RayCluster
from tests.jobs.runner_contract import Until

_LIMIT_SECONDS = 90.0
_POLL_SECONDS = 0.02


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[RayCluster]:
    """A real Ray head with two CPUs and token authentication."""
    with RayCluster(num_cpus=2) as cluster:
        yield cluster


@pytest.fixture
def until() -> Until:
    """Wait for a condition, but not for ever."""
    return partial(waiting.until, seconds=_LIMIT_SECONDS, every=_POLL_SECONDS)
