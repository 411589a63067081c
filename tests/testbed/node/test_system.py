"""What lacks for a node is said at once, with the remedy."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from testbed.node import system
from testbed.node.errors import NodeProgramFailed, NodeUnsupported


def _nothing(*_: object, **__: object) -> None:
    return None


def test_a_user_who_is_not_root_is_told_of_the_two_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(NodeUnsupported, match=r"needs root.*KUBECONFIG"):
        system.require(_nothing)


def test_a_program_that_lacks_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "PATH", "/nonexistent")
    monkeypatch.setattr(system, "_CNI_FOLDERS", ())
    assert set(system.missing_packages()) == {*system.PROGRAMS.values(), "containernetworking-plugins"}
    with pytest.raises(NodeUnsupported, match="apt-get install containerd"):
        system.program("ctr")


def test_without_apt_the_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(system, "PATH", "/nonexistent")
    with pytest.raises(NodeUnsupported, match=r"buildah.*runc.*no apt-get"):
        system.require(_nothing)


def test_packages_are_installed_loudly_and_never_in_the_place_of_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said: list[str] = []
    apt = tmp_path / "apt-get"
    apt.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\nexit 1\n')
    apt.chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(system, "PATH", str(tmp_path))
    with pytest.raises(NodeUnsupported, match="could not install"):
        system.require(said.append)
    assert "INSTALLING PACKAGES" in said[0]
    update, install = (tmp_path / "asked").read_text().splitlines()
    assert update == "update"
    assert "--no-remove" in install


def test_a_program_that_fails_is_reported_with_what_it_said() -> None:
    with pytest.raises(NodeProgramFailed, match="ended with 2"):
        system.run("ls", "/nonexistent")
