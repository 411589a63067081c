"""A real operator process on a real API server, with doubles for Ray and the engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from testbed.cluster import Cluster
from testbed.operators import Nursery, jobs_at_work

from .desk import Desk, open_desk
from .stage import Stage

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def kinds(control_plane: Cluster) -> Cluster:
    """A control plane that knows our kinds."""
    control_plane.install_crds(ROOT / "crds")
    return control_plane


@pytest.fixture(scope="session")
def nursery(control_plane: Cluster) -> Iterator[Nursery]:
    """Where operators are started from."""
    with Nursery(control_plane.kubeconfig) as found:
        yield found


@pytest.fixture
def idle_desk(kinds: Cluster, nursery: Nursery, namespace: str, tmp_path: Path) -> Iterator[Desk]:
    """A desk whose operator is not started yet; its jobs are at work."""
    with open_desk(kinds, nursery, namespace, tmp_path) as found, jobs_at_work(tmp_path / "state"):
        yield found


@pytest.fixture
def desk(idle_desk: Desk) -> Desk:
    """A desk with an operator at work."""
    idle_desk.operator.start()
    idle_desk.operator.wait_ready()
    return idle_desk


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """An operator in memory."""
    found = Stage(tmp_path)
    yield found
    await found.runtime.close()
