"""containerd's configuration, and what the tar of an image says of itself."""

from __future__ import annotations

import io
import json
import tarfile
import tomllib
from pathlib import Path

import pytest

from testbed.node import containerd
from testbed.node.errors import NodeProgramFailed
from testbed.node.layout import NodeLayout


def _tar(path: Path, files: dict[str, object]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            data = json.dumps(content).encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def test_all_that_goes_with_a_run_lies_in_its_folder(tmp_path: Path) -> None:
    layout = NodeLayout(tmp_path / "node")
    written = tomllib.loads(containerd.config(layout, Path("/plugins"), "localhost/pause:1"))
    cri = written["plugins"]["io.containerd.grpc.v1.cri"]
    places = [written["state"], written["grpc"]["address"], cri["cni"]["conf_dir"]]
    places += [written["plugins"]["io.containerd.internal.v1.opt"]["path"]]
    places += [cri["containerd"]["runtimes"]["runc"]["options"]["Root"]]
    assert all(Path(place).is_relative_to(layout.root) for place in places)
    assert not Path(written["root"]).is_relative_to(layout.root)
    assert cri["netns_mounts_under_state_dir"]
    assert cri["restrict_oom_score_adj"]
    assert cri["sandbox_image"] == "localhost/pause:1"


def test_the_names_in_a_tar_of_docker_are_read(tmp_path: Path) -> None:
    manifest = [{"Config": "a.json", "RepoTags": ["localhost/a:1", "localhost/a:2"]}]
    digest, names = containerd.contents(_tar(tmp_path / "a.tar", {"a.json": {}, "manifest.json": manifest}))
    assert names == ("localhost/a:1", "localhost/a:2")
    other = [{"Config": "b.json", "RepoTags": ["localhost/a:1"]}]
    assert containerd.contents(_tar(tmp_path / "b.tar", {"manifest.json": other}))[0] != digest


def test_the_names_in_a_tar_of_oci_are_read(tmp_path: Path) -> None:
    named = {"annotations": {"io.containerd.image.name": "localhost/a:1"}, "digest": "sha256:1"}
    index = {"manifests": [named, {"digest": "sha256:2"}]}
    assert containerd.contents(_tar(tmp_path / "a.tar", {"index.json": index}))[1] == ("localhost/a:1",)


def test_a_file_that_is_no_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NodeProgramFailed, match="is no image"):
        containerd.contents(_tar(tmp_path / "a.tar", {"other.json": {}}))
    with pytest.raises(NodeProgramFailed, match="cannot be read"):
        containerd.contents(tmp_path / "none.tar")
