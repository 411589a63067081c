"""A cluster that knows our kinds."""

from __future__ import annotations

import pytest

from testbed.cluster import Cluster
from testbed.places import REPOSITORY


@pytest.fixture(scope="session")
def kinds(control_plane: Cluster) -> Cluster:
    """A control plane that knows our kinds."""
    control_plane.install_crds(REPOSITORY / "crds")
    return control_plane
