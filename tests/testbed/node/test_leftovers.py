"""What is left of a node: how it is noted and found; the rest is shown by real nodes."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.node import leftovers, system
from testbed.node.errors import LeftoversRemain
from testbed.node.leftovers import NodeRecord


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "node.json"
    monkeypatch.setattr(leftovers, "RECORD", path)
    return path


def test_a_node_is_found_by_its_record(record: Path) -> None:
    assert leftovers.read_record() is None
    noted = NodeRecord(run=Path("/runs/one"), settings={"net/ipv4/ip_forward": "0"})
    noted.write()
    assert leftovers.read_record() == noted
    assert noted.layout.root == Path("/runs/one/node")


def test_a_record_that_cannot_be_read_is_none(record: Path) -> None:
    record.write_text("{")
    assert leftovers.read_record() is None


def test_nothing_is_deleted_through_a_mount_that_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted = tmp_path / "node" / "kubelet" / "volume"
    monkeypatch.setattr(leftovers, "mounts", lambda root: [mounted])
    asked: list[str] = []
    monkeypatch.setattr(system, "attempt", lambda *words: asked.extend(words))
    with pytest.raises(LeftoversRemain, match="by hand"):
        leftovers.unmount(tmp_path)
    assert asked == ["umount", "--lazy", str(mounted)]


def test_a_folder_without_mounts_has_none(tmp_path: Path) -> None:
    assert leftovers.mounts(tmp_path) == []
    leftovers.unmount(tmp_path)
