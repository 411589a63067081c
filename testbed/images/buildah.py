"""Builds and exports images with buildah, in a store of the testbed's own."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from testbed.errors import ControlPlaneError
from testbed.places import cache_root

_LAST_LINES = 25
_NAME_OF_IMAGE = "io.containerd.image.name"
_RUN = Path("/run")
_DRIVERS = (
    # Without the option it leaves the store mounted upon itself, and the cache could not be deleted.
    ("--storage-driver=overlay", "--storage-opt=overlay.skip_mount_home=true"),
    ("--storage-driver=vfs",),
)


class BuildahUnavailable(ControlPlaneError):
    """There is no buildah on this machine."""

    reason = "BuildahUnavailable"


class BuildahFailed(ControlPlaneError):
    """A buildah command ended with an error; the message has its last lines."""

    reason = "BuildahFailed"


class Buildah:
    """buildah with its store in the user's cache; it may be deleted at any time.

    Overlay is tried first; a file system that cannot do it gets vfs, which copies every layer.
    """

    def __init__(self, store: Path | None = None) -> None:
        self._store = store or cache_root() / "images"

    @cached_property
    def command(self) -> tuple[str, ...]:
        """The program and the options that lead to the store; raises BuildahUnavailable."""
        program = shutil.which("buildah")
        if program is None:
            raise BuildahUnavailable("Images are built by buildah. Install it with: apt-get install buildah")
        # What is mounted now is noted in a folder that a reboot empties, where there is one for us.
        emptied = self._store == cache_root() / "images" and os.access(_RUN, os.W_OK)
        noted = _RUN / _name_of(self._store) if emptied else self._store / "run"
        places = (f"--root={self._store / 'store'}", f"--runroot={noted}")
        for driver in _DRIVERS:
            command = (program, *places, *driver)
            if subprocess.run([*command, "images", "-q"], capture_output=True, check=False).returncode == 0:
                return command
        raise BuildahUnavailable(
            f"buildah can keep no store in {self._store}. Check its file system and rights."
        )

    def run(self, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
        """Run a buildah command; its standard output. Raises BuildahFailed."""
        variables = {**os.environ, "BUILDAH_ISOLATION": "chroot", **(environment or {})}
        line = [*self.command, *arguments]
        done = subprocess.run(
            line, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            last = "\n  ".join((done.stdout + done.stderr).splitlines()[-_LAST_LINES:])
            raise BuildahFailed(
                f"buildah {arguments[0]} ended with {done.returncode}. Its last lines:\n  {last}"
            )
        return done.stdout

    def has(self, name: str) -> bool:
        """Whether the store holds an image of this name."""
        return bool(self.run("images", "--quiet", "--filter", f"reference={name}").strip())

    def build(
        self,
        name: str,
        context: Path,
        *,
        containerfile: Path | None = None,
        arguments: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
    ) -> str:
        """Build an image of a Containerfile, never pulling; its name. Raises BuildahFailed."""
        file = containerfile or context / "Containerfile"
        given = [f"--build-arg={key}={value}" for key, value in (arguments or {}).items()]
        # A build that is not told so leaves its working containers, mounted.
        same = ("--timestamp=0", "--pull-never", "--layers=false", "--force-rm")
        self.run("build", *same, f"--tag={name}", f"--file={file}", *given, *options, str(context))
        return name

    def export(self, name: str, tar: Path) -> Path:
        """Write an image as a tar that a cluster can load; the same path. Raises BuildahFailed."""
        tar.parent.mkdir(parents=True, exist_ok=True)
        unfinished = tar.with_name(f".{tar.name}.{os.getpid()}")
        unfinished.unlink(missing_ok=True)
        try:
            self.run("push", "--quiet", name, f"docker-archive:{unfinished}:{name}")
            unfinished.replace(tar)
        finally:
            unfinished.unlink(missing_ok=True)
        return tar

    def layers(self, name: str) -> dict[str, int]:
        """The layers of an image, lowest first: digests, and sizes in bytes. Raises BuildahFailed."""
        manifest = json.loads(json.loads(self.run("inspect", "--type=image", name))["Manifest"])
        return {layer["digest"]: layer["size"] for layer in manifest["layers"]}

    def export_rest(self, name: str, tar: Path, held: Collection[str]) -> Path:
        """Write an image without the layers that a node has, for that node alone; the same path.

        Raises BuildahFailed.
        """
        with tempfile.TemporaryDirectory(prefix="modelecology-rest-") as folder:
            layout = Path(folder)
            blobs = layout / "blobs" / "sha256"
            blobs.mkdir(parents=True)
            holes = {digest: size for digest, size in self.layers(name).items() if digest in held}
            for digest, size in holes.items():
                # A hole of the right size: buildah takes the layer for written and does not even read it.
                with (blobs / digest.removeprefix("sha256:")).open("wb") as hole:
                    hole.truncate(size)
            self.run("push", "--quiet", name, f"oci:{layout}")
            for digest in holes:
                (blobs / digest.removeprefix("sha256:")).unlink()
            index = json.loads((layout / "index.json").read_text(encoding="utf-8"))
            index["manifests"][0]["annotations"] = {_NAME_OF_IMAGE: name}
            (layout / "index.json").write_text(json.dumps(index), encoding="utf-8")
            with tarfile.open(tar, "w") as archive:
                for path in sorted(layout.rglob("*")):
                    archive.add(path, arcname=path.relative_to(layout), recursive=False)
        return tar


def _name_of(store: Path) -> str:
    return f"modelecology-images-{hashlib.sha256(str(store).encode()).hexdigest()[:12]}"
