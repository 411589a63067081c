"""Images are built and exported by the real buildah, in a store that leaves nothing mounted."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from testbed.images.buildah import Buildah, BuildahFailed, BuildahUnavailable
from testbed.node.containerd import contents
from testbed.node.leftovers import mounts

pytestmark = pytest.mark.usefixtures("node_machine")
_NAME = "localhost/modelecology/tiny:1"


def _context(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "file").write_text("content")
    (folder / "Containerfile").write_text(text)
    return folder


def test_an_image_is_built_from_nothing_and_exported(tmp_path: Path) -> None:
    buildah = Buildah(tmp_path / "store")
    assert not buildah.has(_NAME)
    context = _context(tmp_path / "context", "ARG BASE=scratch\nFROM ${BASE}\nCOPY file /file\n")
    assert buildah.build(_NAME, context, arguments={"BASE": "scratch"}) == _NAME
    assert buildah.has(_NAME)
    assert buildah.run("containers", "--quiet") == ""
    assert contents(buildah.export(_NAME, tmp_path / "tars" / "tiny.tar"))[1] == (_NAME,)
    assert mounts(tmp_path) == []


def test_the_same_context_gives_the_same_image(tmp_path: Path) -> None:
    buildah = Buildah(tmp_path / "store")
    tars = []
    for name in ("one", "two"):
        buildah.build(_NAME, _context(tmp_path / name, "FROM scratch\nCOPY file /file\n"))
        tars.append(buildah.export(_NAME, tmp_path / f"{name}.tar"))
    assert contents(tars[0]) == contents(tars[1])


def test_only_what_a_node_lacks_is_exported(tmp_path: Path) -> None:
    buildah = Buildah(tmp_path / "store")
    lower = "localhost/modelecology/lower:1"
    buildah.build(lower, _context(tmp_path / "lower", "FROM scratch\nCOPY file /one\n"))
    buildah.build(_NAME, _context(tmp_path / "upper", f"FROM {lower}\nCOPY file /two\n"))
    (held,) = buildah.layers(lower)
    tar = buildah.export_rest(_NAME, tmp_path / "rest.tar", {held})
    assert contents(tar)[1] == (_NAME,)
    with tarfile.open(tar) as archive:

        def read(name: str) -> dict[str, Any]:
            file = archive.extractfile(name)
            assert file is not None
            found: dict[str, Any] = json.load(file)
            return found

        def blob(digest: str) -> str:
            return f"blobs/sha256/{digest.removeprefix('sha256:')}"

        names = archive.getnames()
        manifest = read(blob(read("index.json")["manifests"][0]["digest"]))
        first, second = (layer["digest"] for layer in manifest["layers"])
    assert first == held
    assert blob(first) not in names
    assert blob(second) in names


def test_a_build_that_fails_says_why(tmp_path: Path) -> None:
    context = _context(tmp_path / "context", "FROM scratch\nCOPY none /none\n")
    with pytest.raises(BuildahFailed, match="none"):
        Buildah(tmp_path / "store").build(_NAME, context)


def test_a_machine_without_buildah_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildahUnavailable, match="apt-get install buildah"):
        Buildah(tmp_path / "store").has(_NAME)
