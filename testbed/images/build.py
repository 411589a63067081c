"""``python -m testbed.images.build``: the images of the operator, of its jobs and of the CPU engine.

What is built already is not built again: a tag names all that goes into an image. Answers go to standard
output, progress to standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from modelecology import __version__
from testbed.errors import ControlPlaneError
from testbed.images.base import base_image
from testbed.images.buildah import Buildah
from testbed.images.client import UV_CACHE_AT, uv_cache, write_client
from testbed.images.inputs import (
    CONTAINERFILE,
    Files,
    Origin,
    expected_code,
    find_origin,
    image_tag,
    read_inputs,
    stage_tag,
    write_context,
)
from testbed.places import REPOSITORY, Progress, cache_root, exclusive, say

CODE_LABEL = "io.modelecology.code-digest"
# Stages that change seldom and take long, each after those it is built with; `libraries` has torch.
_KEPT_STAGES = {
    "operator": ("tools", "operator-libraries"),
    "workload": ("tools", "libraries", "workload-libraries"),
    "serving": ("tools", "libraries"),
}
TARGETS = tuple(_KEPT_STAGES)
# More than that is not compressed, which takes longer than to copy it.
_LITTLE_BYTES = 200e6
SBOM = "/opt/modelecology/sbom.cdx.json"
_PYTHON_VERSION = "import platform; print(platform.python_version())"


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """An image in buildah's store. `size` is in bytes, of all layers, uncompressed."""

    target: str
    name: str
    digest: str
    code_digest: str
    size: int


@dataclass(frozen=True, slots=True)
class _Recipe:
    """The inputs as they were when the builder first looked, and what they are built upon."""

    files: Files
    base: str
    base_digest: str
    origin: Origin


class ImageBuilder:
    """Builds images of the code as it is at the first look, upon one base; those of one tag belong together.

    The default base is the testbed's own, made on this machine. `source` is the code's address, for a label.
    """

    def __init__(
        self,
        base: str | None = None,
        source: str = "",
        progress: Progress = say,
        buildah: Buildah | None = None,
        checkout: Path = REPOSITORY,
    ) -> None:
        self._base = base
        self._source = source
        self._progress = progress
        self._buildah = buildah or Buildah()
        self._checkout = checkout

    def build(self, target: str) -> BuiltImage:
        """Build one of TARGETS unless it is there; raises BuildahFailed and BuildahUnavailable."""
        with self._alone():
            return self._built(target)

    def code_digest(self) -> str:
        """The digest of the workload image's code, which the operator's image is told (JOB_CODE)."""
        with self._context() as context:
            return self._code(context)

    def export(self, image: BuiltImage, out: Path | None = None) -> Path:
        """Write the image as a tar for `ctr images import`, with its SBOM beside it; the tar.

        One that is there is not written again. In the testbed's cache, the default, it may be deleted.
        """
        tar = (out or cache_root() / "images" / "out") / f"{image.target}-{image.name.rpartition(':')[2]}.tar"
        if not tar.exists():
            tar.parent.mkdir(parents=True, exist_ok=True)
            with self._alone():
                # Another process with other code may have built since then, and cleared this one away.
                self._built(image.target)
                sbom_of(tar).write_text(self._in_container(image.name, "cat", SBOM), encoding="utf-8")
                self._buildah.export(image.name, tar)
        return tar

    def export_rest(self, image: BuiltImage, out: Path, held: Collection[str]) -> Path | None:
        """Write into a folder what a node with these layers lacks; None where that is too much for it."""
        with self._alone():
            self._built(image.target)
            lacking = {d: size for d, size in self._buildah.layers(image.name).items() if d not in held}
            if sum(lacking.values()) > _LITTLE_BYTES:
                return None
            return self._buildah.export_rest(image.name, out / f"{image.target}.tar", held)

    def _alone(self) -> AbstractContextManager[None]:
        return exclusive(cache_root() / "image-build.lock", self._progress, "it builds an image")

    def _built(self, target: str) -> BuiltImage:
        recipe = self._recipe
        said = (recipe.base_digest, recipe.origin.revision, recipe.origin.created, self._source)
        name = f"{_repository(target)}:{image_tag(recipe.files, said)}"
        if not self._buildah.has(name):
            self._make(target, name)
        return self._describe(target, name)

    @cached_property
    def _recipe(self) -> _Recipe:
        base = self._base or base_image(self._progress, self._buildah)
        self._buildah.run("pull", "--policy=missing", "--quiet", base)
        files = read_inputs(self._checkout)
        origin = find_origin(files, os.environ, self._checkout)
        return _Recipe(files, base, self._inspect(base)["FromImageDigest"], origin)

    @contextmanager
    def _context(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="modelecology-image-") as folder:
            write_context(self._recipe.files, Path(folder))
            yield Path(folder)

    def _code(self, context: Path) -> str:
        return expected_code(context, self._in_container(self._recipe.base, "python3", "-c", _PYTHON_VERSION))

    def _make(self, target: str, name: str) -> None:
        started = time.monotonic()
        self._progress(f"building {name}")
        # A build that was broken off leaves its containers, and what they use cannot be taken away.
        self._buildah.run("rm", "--all")
        origin = self._recipe.origin
        options = [f"--timestamp={origin.epoch}"]
        if self._source:
            options.append(f"--label=org.opencontainers.image.source={self._source}")
        with self._context() as context:
            options += self._stages(_KEPT_STAGES[target], context)
            arguments = {
                "VERSION": __version__,
                "REVISION": origin.revision,
                "CREATED": origin.created,
                "JOB_CODE": self._code(context),
            }
            self._run_build(target, name, context, options, arguments)
        self._progress(f"built {name} in {time.monotonic() - started:.0f} s")

    def _stages(self, stages: Sequence[str], context: Path) -> list[str]:
        """Build the kept stages that are missing, and give the options that put them in their places."""
        options: list[str] = []
        for stage in stages:
            name = f"{_repository(stage)}:{stage_tag(self._recipe.files, stage, self._recipe.base_digest)}"
            if not self._buildah.has(name):
                self._progress(f"building {name}, which later builds share")
                self._run_build(stage, name, context, options)
            options.append(f"--build-context={stage}=container-image://{name}")
        return options

    def _run_build(
        self,
        target: str,
        name: str,
        context: Path,
        options: Sequence[str],
        arguments: Mapping[str, str] | None = None,
    ) -> None:
        cache = uv_cache(os.environ, Path.home())
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="modelecology-client-") as client:
            write_client(Path(client), os.environ, Path.home())
            self._buildah.build(
                name,
                context,
                containerfile=context / CONTAINERFILE,
                arguments={"BASE": self._recipe.base, **(arguments or {})},
                options=(
                    f"--target={target}",
                    f"--build-context=client={client}",
                    f"--volume={cache}:{UV_CACHE_AT}",
                    # Another buildah must give the same image.
                    "--identity-label=false",
                    *options,
                ),
            )
        self._forget_older(name)

    def _forget_older(self, name: str) -> None:
        same = f"reference={name.rpartition(':')[0]}"
        listed = self._buildah.run("images", "--format={{.Name}}:{{.Tag}}", "--filter", same).split()
        older = [other for other in listed if other != name]
        if older:
            self._buildah.run("rmi", "--force", *older)

    def _describe(self, target: str, name: str) -> BuiltImage:
        found = self._inspect(name)
        labels = found["OCIv1"]["config"]["Labels"]
        size = sum(layer["size"] for layer in json.loads(found["Manifest"])["layers"])
        return BuiltImage(target, name, found["FromImageDigest"], labels[CODE_LABEL], size)

    def _inspect(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._buildah.run("inspect", "--type=image", name))
        return found

    def _in_container(self, image: str, *command: str) -> str:
        container = self._buildah.run("from", "--pull-never", image).strip()
        try:
            return self._buildah.run("run", container, "--", *command).strip()
        finally:
            self._buildah.run("rm", container)


def sbom_of(tar: Path) -> Path:
    """Where the SBOM of an exported image lies."""
    return tar.with_suffix(".cdx.json")


def _repository(target: str) -> str:
    return f"localhost/modelecology/{target}"


def main(arguments: Sequence[str]) -> int:
    """Build what is named, and export it if a folder is given; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m testbed.images.build", description="Build images with buildah."
    )
    parser.add_argument(
        "target",
        choices=(*TARGETS, "all", "code"),
        help="an image, all of them, or `code`: print the digest of the workload image's code",
    )
    parser.add_argument("--source", default="", help="address of the code, for the label")
    parser.add_argument(
        "--base", help="image to build upon (default: Debian with Python, made on this machine)"
    )
    parser.add_argument("--out", type=Path, help="write archives and SBOMs into this folder")
    options = parser.parse_args(arguments)
    builder = ImageBuilder(options.base, options.source)
    try:
        if options.target == "code":
            print(builder.code_digest())
            return 0
        for target in TARGETS if options.target == "all" else (options.target,):
            image = builder.build(target)
            print(image.name)
            print(f"  digest   {image.digest}")
            print(f"  size     {image.size / 1e6:.0f} MB, uncompressed")
            print(f"  code     {image.code_digest}", flush=True)
            if options.out is not None:
                tar = builder.export(image, options.out)
                print(f"  archive  {tar}")
                print(f"  sbom     {sbom_of(tar)}", flush=True)
    except ControlPlaneError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
