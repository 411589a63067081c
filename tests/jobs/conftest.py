"""What the job tests share: one real Ray for the session, and a bounded wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest

from testbed.ray import RayCluster

_LIMIT_SECONDS = 90.0
_POLL_SECONDS = 0.02

Until = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[RayCluster]:
    """A real Ray head with two CPUs and token authentication."""
    with RayCluster(num_cpus=2) as cluster:
        yield cluster


@pytest.fixture
def until() -> Until:
    """Wait for a condition, but not for ever."""

    async def wait(condition: Callable[[], Awaitable[bool]]) -> None:
        deadline = time.monotonic() + _LIMIT_SECONDS
        for _ in iter(lambda: time.monotonic() < deadline, False):
            if await condition():
                return
            await asyncio.sleep(_POLL_SECONDS)
        raise TimeoutError(f"the condition did not come true within {_LIMIT_SECONDS} s")

    return wait
