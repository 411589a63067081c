"""Which cluster, namespace and rights the caller's kubeconfig gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from modelecology.cli import access
from modelecology.cli.access import Access, impersonation, read_identity
from modelecology.cli.port import ClusterError


def kubeconfig(path: Path, user: dict[str, Any] | None = None) -> Path:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"token": "t"} | (user or {})}],
        "contexts": [
            {"name": "one", "context": {"cluster": "c", "user": "u", "namespace": "team"}},
            {"name": "two", "context": {"cluster": "c", "user": "u"}},
        ],
    }
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home without any kubeconfig, outside a cluster."""
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_the_context_gives_the_namespace(bare: Path) -> None:
    path = str(kubeconfig(bare / "k"))
    assert read_identity(Access(path)).namespace == "team"
    assert read_identity(Access(path, "two")).namespace == "default"
    assert read_identity(Access(path, "two", "mine")).namespace == "mine"
    assert read_identity(Access(path)).settings.host == "https://127.0.0.1:1"


def test_the_environment_and_the_home_folder_are_looked_at_in_turn(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bare / ".kube").mkdir()
    kubeconfig(bare / ".kube" / "config")
    assert read_identity(Access()).namespace == "team"
    monkeypatch.setenv("KUBECONFIG", str(bare / "absent"))
    with pytest.raises(ClusterError, match="absent cannot be used"):
        read_identity(Access())


def test_without_any_kubeconfig_the_remedy_is_named(bare: Path) -> None:
    with pytest.raises(ClusterError, match="There is no kubeconfig") as refused:
        read_identity(Access())
    assert "--kubeconfig" in refused.value.remedy
    assert access.read_identity is read_identity


@pytest.mark.parametrize("text", ["", "{", "contexts: []", "just text"])
def test_a_broken_kubeconfig_is_a_sentence(bare: Path, text: str) -> None:
    (bare / "k").write_text(text)
    with pytest.raises(ClusterError, match="cannot be used"):
        read_identity(Access(str(bare / "k")))


def test_an_unknown_context_is_a_sentence(bare: Path) -> None:
    with pytest.raises(ClusterError, match="nowhere"):
        read_identity(Access(str(kubeconfig(bare / "k")), "nowhere"))


def test_an_impersonation_is_kept_and_never_dropped_silently(bare: Path) -> None:
    path = kubeconfig(bare / "k", {"as": "ada", "as-groups": ["desk", "system:authenticated"]})
    expected = {"Impersonate-User": "ada", "Impersonate-Group": "desk"}
    assert read_identity(Access(str(path))).headers == expected
    with pytest.raises(ClusterError, match="cannot be sent"):
        impersonation({"as": "ada", "as-groups": ["a", "b"]})
