"""The base image of the testbed: a small Debian with Python, made by debootstrap without any registry.

It stands in for the official Python slim image, which a Containerfile takes by default: ``python`` and
``python -m venv`` work, and so does wget, which the probes of KubeRay's pods call.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from testbed.errors import ControlPlaneError
from testbed.images.buildah import Buildah
from testbed.places import Progress, cache_root, exclusive, say

REPOSITORY = "localhost/modelecology/base"
MIRROR = "MODELECOLOGY_DEBIAN_MIRROR"
_SUITE = "bookworm"
_PACKAGES = ("ca-certificates", "python3", "python3-venv", "python-is-python3", "tini", "wget")
# What a container never reads. The record of installed packages stays: an SBOM is made from it.
_UNREAD = (
    "usr/share/doc",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "var/cache/apt",
    "var/cache/debconf",
    "var/lib/apt/lists",
    "var/log",
)
# debootstrap copies these from the machine it runs on; whoever runs a container gives it its own.
_OF_THE_MACHINE = ("etc/hostname", "etc/resolv.conf")
_CONTAINERFILE = """\
FROM scratch
ADD root.tar /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
CMD ["python3"]
"""
_LAST_LINES = 15


class ImageBuildFailed(ControlPlaneError):
    """An image could not be made; the message has the program's last lines."""

    reason = "ImageBuildFailed"
    retry = True


def base_image(progress: Progress = say, buildah: Buildah | None = None) -> str:
    """The name of the base image in buildah's store; it is made if it is not there yet (about a minute).

    The tag is a digest of the recipe. Raises ImageBuildFailed and BuildahUnavailable.
    """
    buildah = buildah or Buildah()
    name = f"{REPOSITORY}:{recipe_digest()}"
    if buildah.has(name):
        return name
    with exclusive(cache_root() / "base-image.lock", progress, "it makes the base image, once for this user"):
        if not buildah.has(name):
            _make(name, buildah, progress)
    return name


def recipe_digest() -> str:
    """Names everything that the recipe says: suite, packages, what is taken out, machine, settings."""
    parts = [_SUITE, platform.machine(), *_PACKAGES, "", *_UNREAD, "", *_OF_THE_MACHINE, "", _CONTAINERFILE]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def _make(name: str, buildah: Buildah, progress: Progress) -> None:
    program = shutil.which("debootstrap", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None or os.geteuid() != 0:
        raise ImageBuildFailed(
            "The base image is made by debootstrap as root. Install it with: apt-get install debootstrap, "
            "and run this as root; or name another base image that has Python and wget."
        )
    progress(f"making the base image {name} with debootstrap; this takes about a minute, once")
    started = time.monotonic()
    cache_root().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_root(), prefix="base-image-") as made:
        folder = Path(made)
        root = folder / "root"
        mirror = [os.environ[MIRROR]] if os.environ.get(MIRROR) else []
        packages = f"--include={','.join(_PACKAGES)}"
        _run([program, "--variant=minbase", packages, _SUITE, str(root), *mirror])
        for place in _UNREAD:
            _empty(root / place)
        for place in _OF_THE_MACHINE:
            (root / place).write_bytes(b"")
        # One order, one owner numbering and one time: the same packages give the same layer.
        order = ("--sort=name", "--numeric-owner", "--mtime=@0", "--exclude=./dev/*", "--xattrs")
        _run(["tar", *order, "-C", str(root), "-cf", str(folder / "context" / "root.tar"), "."], folder)
        (folder / "context" / "Containerfile").write_text(_CONTAINERFILE)
        buildah.build(name, folder / "context")
    progress(f"made the base image in {time.monotonic() - started:.0f} s")


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)


def _run(command: Sequence[str], folder: Path | None = None) -> None:
    if folder is not None:
        (folder / "context").mkdir(exist_ok=True)
    # Package scripts must not ask questions, and need the usual places of programs.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = "\n  ".join((done.stdout + done.stderr).splitlines()[-_LAST_LINES:])
        raise ImageBuildFailed(f"{command[0]} ended with {done.returncode}. Its last lines:\n  {last}")
