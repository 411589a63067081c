"""The node's own images, of one program each: made by buildah on nothing, and kept as tars."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed.images.buildah import Buildah
from testbed.node import system
from testbed.places import cache_root

REPOSITORY = "localhost/modelecology"
# Any number that is not root's: pods that must not run as root take the image's user.
_USER = 65532


@dataclass(frozen=True, slots=True)
class ProgramImage:
    """An image and the tar that holds it."""

    name: str
    tar: Path


def pause_image() -> ProgramImage:
    """The image whose program holds a pod's namespaces and does nothing."""
    return of_program("pause", system.program("catatonit"), "catatonit", ["/catatonit", "-P"])


def of_program(name: str, program: Path, place: str, entrypoint: Sequence[str]) -> ProgramImage:
    """An image with a static program at ``/place``; it is built unless its tar is there."""
    with program.open("rb") as file:
        program_digest = hashlib.file_digest(file, "sha256").hexdigest()
    words = ", ".join(f'"{word}"' for word in entrypoint)
    recipe = f"FROM scratch\nCOPY {place} /{place}\nUSER {_USER}:{_USER}\nENTRYPOINT [{words}]\n"
    tag = hashlib.sha256(f"{program_digest}\0{recipe}".encode()).hexdigest()[:12]
    image = ProgramImage(f"{REPOSITORY}/{name}:{tag}", cache_root() / "node" / "images" / f"{name}-{tag}.tar")
    if not image.tar.exists():
        with tempfile.TemporaryDirectory(prefix=f"{name}-image-") as folder:
            context = Path(folder)
            shutil.copyfile(program, context / place)
            (context / place).chmod(0o755)
            (context / "Containerfile").write_text(recipe)
            buildah = Buildah()
            buildah.build(image.name, context)
            buildah.export(image.name, image.tar)
    return image
