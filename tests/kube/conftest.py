"""The two clusters which the contract is proved for: the double, and a real API server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelecology.kube.cluster import ApiCluster, Cluster
from modelecology.kube.double import InMemoryCluster
from testbed import cluster as testbed

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def kinds(control_plane: testbed.Cluster) -> testbed.Cluster:
    """A control plane that knows our kinds."""
    control_plane.install_crds(ROOT / "crds")
    return control_plane


@dataclass
class Place:
    """A cluster and a namespace in it."""

    cluster: Cluster
    namespace: str


@pytest.fixture(params=["double", "api server"])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    """A cluster of each sort, with an empty namespace."""
    if request.param == "double":
        yield Place(InMemoryCluster(), "desk")
        return
    real: testbed.Cluster = request.getfixturevalue("kinds")
    cluster = await ApiCluster.connect(real.kubeconfig)
    yield Place(cluster, request.getfixturevalue("namespace"))
    await cluster.close()
