"""A real Argo CD on a control plane of its own, whose audit log is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.argocd import ArgoCD
from testbed.cluster import Cluster
from testbed.controlplane import ControlPlane
from testbed.operators import Nursery
from testbed.places import REPOSITORY

from . import MANIFESTS
from .garden import Garden, open_garden
from .soak import ADMINISTRATORS, OPERATOR


@pytest.fixture(scope="package")
def plane() -> Iterator[ControlPlane]:
    """A control plane that knows our kinds."""
    with ControlPlane(audit=True) as found:
        found.install_crds(REPOSITORY / "crds")
        yield found


@pytest.fixture(scope="module")
def argocd(plane: ControlPlane) -> Iterator[ArgoCD]:
    """Argo CD with our health and actions."""
    with ArgoCD(plane, [MANIFESTS / "argocd-cm.yaml"]) as found:
        yield found


@pytest.fixture(scope="module")
def gardeners(plane: ControlPlane) -> Iterator[Nursery]:
    """Where operators are started from, under a name of their own."""
    with Nursery(plane.kubeconfig_for(OPERATOR, ADMINISTRATORS)) as found:
        yield found


@pytest.fixture(scope="module")
def settled(
    plane: Cluster, argocd: ArgoCD, gardeners: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Garden]:
    """A garden with one specialist, which is live; for tests that leave it so."""
    directory = tmp_path_factory.mktemp("settled")
    with open_garden(plane, argocd, gardeners, plane.create_namespace("settled"), directory) as found:
        found.plant(found.desk.manifests.specialist("dates", "dates", 0.6))
        found.wait_health("Healthy")
        yield found


@pytest.fixture
def garden(plane: Cluster, argocd: ArgoCD, gardeners: Nursery, tmp_path: Path) -> Iterator[Garden]:
    """A garden in a namespace of its own."""
    namespace = plane.create_namespace("garden")
    with open_garden(plane, argocd, gardeners, namespace, tmp_path) as found:
        yield found
    plane.delete_namespace(namespace)
