"""pytest fixtures for tests on real pods: ``node_cluster``, ``owned_node``, ``base_image_tar`` and others.

A machine has one node, so the session has one cluster. Tests marked ``after_node`` run after all others: they
may take it away and start their own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.cluster import wants_given_cluster
from testbed.images.base import base_image
from testbed.images.buildah import Buildah
from testbed.node import system
from testbed.node.cluster import NodeCluster
from testbed.node.errors import NodeUnsupported
from testbed.node.opening import open_node_cluster
from testbed.node.pods import PodCluster
from testbed.places import cache_root, say

# Set to 1 where a cluster is part of the verdict: then a machine that cannot run one is a failure.
REQUIRED = "MODELECOLOGY_REQUIRE_NODE"
_LAST = "after_node"


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark."""
    config.addinivalue_line("markers", f"{_LAST}: runs after all tests that share the session's cluster")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the marked tests last, each part in its order."""
    items.sort(key=lambda item: item.get_closest_marker(_LAST) is not None)


@pytest.fixture(scope="session")
def node_machine() -> None:
    """This machine can run a node and build images; packages that lack are installed.

    Where it cannot, the test is left out, loudly, unless the verdict requires it.
    """
    try:
        system.require(say)
    except NodeUnsupported as error:
        if os.environ.get(REQUIRED) == "1":
            raise
        say(f"NO TEST OF REAL PODS IS RUN: {error}")
        pytest.skip(f"no test of real pods is run: {error}")


@pytest.fixture(scope="session")
def node_cluster(request: pytest.FixtureRequest) -> Iterator[PodCluster]:
    """One cluster with a node for the whole session; tests keep apart by their namespaces."""
    if not wants_given_cluster():
        request.getfixturevalue("node_machine")
    with open_node_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def owned_node(node_cluster: PodCluster) -> NodeCluster:
    """The same, for tests that break it: the testbed breaks no cluster of the caller's."""
    if not isinstance(node_cluster, NodeCluster):
        pytest.skip("the testbed breaks no cluster that it did not start")
    return node_cluster


@pytest.fixture
def no_node(owned_node: NodeCluster) -> None:
    """Take the session's cluster away; only for tests marked ``after_node``."""
    owned_node.stop()


@pytest.fixture(scope="session")
def base_image_tar() -> tuple[str, Path]:
    """The name of the base image (Python and wget) and a tar of it."""
    name = base_image()
    tar = cache_root() / "node" / "images" / f"{name.rpartition('/')[2].replace(':', '-')}.tar"
    return name, tar if tar.exists() else Buildah().export(name, tar)
