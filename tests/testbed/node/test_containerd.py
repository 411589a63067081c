"""containerd's configuration, and what the tar of an image says of itself."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
import tomllib
from pathlib import Path

import pytest

from testbed.node import containerd, system
from testbed.node.containerd import Containers, HeldImage, superfluous
from testbed.node.errors import NodeProgramFailed
from testbed.node.layout import NodeLayout
from testbed.processes import start

OURS = "localhost/modelecology"


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


def _held(**digests: str) -> dict[str, HeldImage]:
    names = {"id1": "sha256:1", "id2": "sha256:2", "id3": "sha256:3"}
    places = {"job": "workload", "new": "workload:2", "old": "workload:1", "base": "base:1"}
    return {
        names.get(name) or f"{OURS}/{places[name]}": HeldImage(digest, "") for name, digest in digests.items()
    }


def test_what_is_loaded_takes_the_place_of_the_older_tags_of_its_repository_with_their_ids() -> None:
    held = _held(old="a", id1="a", new="b", id2="b", base="c", id3="c")
    assert superfluous(held, [f"{OURS}/workload:2"]) == (f"{OURS}/workload:1", "sha256:1")


def test_an_id_whose_image_has_no_name_any_more_goes_whatever_is_loaded() -> None:
    held = _held(id1="a", new="b", id2="b", base="c", id3="c")
    assert superfluous(held, [f"{OURS}/base:1"]) == ("sha256:1",)


def test_an_image_of_two_names_keeps_its_id_until_the_last_one_goes() -> None:
    held = _held(old="a", base="a", id1="a", new="b")
    assert superfluous(held, [f"{OURS}/workload:2"]) == (f"{OURS}/workload:1",)


def test_images_of_others_are_left_alone() -> None:
    held = {name: HeldImage(name, "") for name in ("docker.io/library/redis:6", "docker.io/library/redis:7")}
    assert superfluous(held, ["docker.io/library/redis:7"]) == ()


def _image(path: Path, name: str) -> tuple[Path, str]:
    """The tar of an image with one file in it, and the digest of its layer."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        member = tarfile.TarInfo("name")
        member.size = len(name)
        archive.addfile(member, io.BytesIO(name.encode()))
    digest = f"sha256:{hashlib.sha256(layer.getvalue()).hexdigest()}"
    machine = {"aarch64": "arm64", "x86_64": "amd64"}.get(platform.machine(), platform.machine())
    config = {"os": "linux", "architecture": machine, "rootfs": {"type": "layers", "diff_ids": [digest]}}
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    files = {"config.json": json.dumps(config).encode(), "layer.tar": layer.getvalue()}
    with tarfile.open(path, "w") as archive:
        for entry, data in {**files, "manifest.json": json.dumps(manifest).encode()}.items():
            member = tarfile.TarInfo(entry)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path, digest


def test_a_real_containerd_gives_back_the_bytes_of_an_older_tag(
    node_machine: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    layout, plugins = NodeLayout(tmp_path / "node"), system.cni_folder()
    assert plugins is not None
    layout.root.mkdir()
    layout.containerd_config.write_text(containerd.config(layout, plugins, f"{OURS}/pause:1"))
    daemon, held = start(containerd.command(layout), tmp_path / "containerd.log"), Containers(layout)
    try:
        daemon.wait_ready(held.is_ready, 60.0)
        for tag in ("1", "2"):
            tar, layer = _image(tmp_path / f"{tag}.tar", f"{OURS}/workload:{tag}")
            assert held.load(tar) == (f"{OURS}/workload:{tag}",)
            assert held.has(f"{OURS}/workload:{tag}")
            assert layer in held.blobs()
        assert not held.has(f"{OURS}/workload:1")
        assert _image(tmp_path / "old.tar", f"{OURS}/workload:1")[1] not in held.blobs()
    finally:
        daemon.stop(10.0)
