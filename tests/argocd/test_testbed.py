"""The testbed's Argo CD: what it leaves behind, and what it says when Redis is missing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from testbed.argocd import ArgoCD
from testbed.controlplane import ControlPlane
from testbed.errors import BinariesIncomplete, StartFailed
from testbed.redis import redis_program


def test_it_ends_with_its_block_and_takes_its_rights_out_of_the_cluster(plane: ControlPlane) -> None:
    with ArgoCD(plane) as argocd:
        started, namespace, directory = argocd.processes, argocd.namespace, argocd.directory
        names = [each.name for each in started]
        assert names == ["redis", "repo-server", "application-controller", "server"]
        assert "testbed" in argocd.run("cluster", "list")
    assert not any(each.identity.is_alive() for each in started)
    assert not directory.exists()
    assert namespace not in plane.kubectl("get", "clusterrolebindings", "--output=name")
    with pytest.raises(StartFailed):
        argocd.run("version")


def test_without_redis_and_without_root_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(BinariesIncomplete, match="apt-get install redis-server"):
        redis_program(tmp_path)


def test_redis_is_known_by_its_other_name_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checker = tmp_path / "redis-check-rdb"
    monkeypatch.setattr(shutil, "which", lambda name: str(checker) if name == checker.name else None)
    assert redis_program(tmp_path).readlink() == checker
