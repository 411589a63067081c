"""The control plane by hand: up, status, kubectl, down."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.binaries import resolve
from testbed.places import REPOSITORY


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for runs of its own, with the programs that are built already."""
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(resolve().folder))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def _testbed(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "testbed", *arguments],
        cwd=REPOSITORY,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_control_plane_is_brought_up_used_and_taken_down(home: Path) -> None:
    kubeconfig = home / "modelecology" / "testbed" / "up" / "kubeconfig"
    up = _testbed("up")
    try:
        assert (up.returncode, up.stdout) == (0, f"export KUBECONFIG={kubeconfig}\n")
        assert "python -m testbed down" in up.stderr
        again = _testbed("up")
        assert again.stdout == up.stdout
        assert "runs already" in again.stderr
        status = _testbed("status")
        assert status.returncode == 0
        assert status.stdout.count("alive") == 3
        names = _testbed("kubectl", "get", "namespaces", "--output=name")
        assert "namespace/default" in names.stdout
        refused = _testbed("kubectl", "get", "nonsense")
        assert refused.returncode == 1
        assert "nonsense" in refused.stderr
    finally:
        down = _testbed("down")
    assert "ended kube-controller-manager, kube-apiserver, etcd" in down.stderr
    assert not kubeconfig.parent.exists()
    assert _testbed("status").returncode == 1


def test_without_a_control_plane_each_command_says_how_to_start_one(home: Path) -> None:
    refused = _testbed("kubectl", "get", "namespaces", "--dir=ignored")
    assert refused.returncode == 1
    assert "python -m testbed up" in refused.stderr
    down = _testbed("down")
    assert (down.returncode, down.stdout) == (0, "")
    assert "nothing runs" in down.stderr
    elsewhere = _testbed("status", "--dir", str(home / "elsewhere"))
    assert elsewhere.stdout == f"not running ({home / 'elsewhere'})\n"


def test_the_folder_of_the_programs_is_printed(home: Path) -> None:
    answer = _testbed("binaries")
    assert answer.stdout == f"{os.environ['KUBEBUILDER_ASSETS']}\n"
