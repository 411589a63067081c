"""The cluster of the caller: images come to it by its own means, unless the testbed left it running."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.cluster import Cluster
from testbed.errors import ClusterNotOwned
from testbed.node import leftovers
from testbed.node.leftovers import NodeRecord
from testbed.node.pods import GivenPodCluster


def test_no_image_is_loaded_to_a_cluster_that_is_not_ours(
    control_plane: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "RECORD", tmp_path / "node.json")
    with GivenPodCluster(control_plane.kubeconfig) as cluster:
        with pytest.raises(ClusterNotOwned, match="its own means"):
            cluster.load_image(tmp_path / "image.tar")
        NodeRecord(run=tmp_path / "elsewhere", settings={}).write()
        with pytest.raises(ClusterNotOwned, match="KubeRay"):
            cluster.install_kuberay()
