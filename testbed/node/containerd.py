"""The node's own containerd: its configuration, and its images and containers by ctr."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from testbed.node import system
from testbed.node.errors import NodeProgramFailed
from testbed.node.images import REPOSITORY
from testbed.node.layout import NodeLayout
from testbed.processes import Command
from testbed.waiting import holds_within

_NAMESPACE = "k8s.io"
# Set by containerd's CRI part on an image once it knows it.
_KNOWN_LABEL = "io.cri-containerd.image=managed"
_SOURCE_LABEL = "modelecology.io/source"
# The CRI part gives each image a second name, its id, which no removal of the first one takes away.
_ID = "sha256:"
_KNOWN_SECONDS = 30.0
_INDEX_FILES = ("manifest.json", "index.json")


def config(layout: NodeLayout, cni_folder: Path, pause_image: str) -> str:
    """The configuration file.

    ``restrict_oom_score_adj``: where this process may not lower its own score, every sandbox would die at
    once with "can't get final child's PID from pipe". ``netns_mounts_under_state_dir``: so that no mount of a
    node lies outside its folder. Nothing is ever pulled, so no registry is configured.
    """
    return f"""\
version = 2
root = "{layout.images}"
state = "{layout.state}"
oom_score = 0
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.internal.v1.tracing",
]

[grpc]
  address = "{layout.socket}"

[debug]
  level = "warn"

[plugins."io.containerd.internal.v1.opt"]
  path = "{layout.state}/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause_image}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_folder}"
    conf_dir = "{layout.cni}/net.d"

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = "{layout.state}/runc"
        SystemdCgroup = false
"""


def command(layout: NodeLayout) -> Command:
    """The command line; shims find runc by the PATH that it is given."""
    return Command(
        "containerd",
        system.program("containerd"),
        (f"--config={layout.containerd_config}",),
        {"PATH": system.PATH},
    )


class HeldImage(NamedTuple):
    """What a name stands for: the digest of its manifest, and its labels."""

    digest: str
    labels: str


class Containers:
    """What a running containerd holds."""

    def __init__(self, layout: NodeLayout) -> None:
        self._socket = layout.socket

    def is_ready(self) -> bool:
        """Whether containerd answers, its CRI part included."""
        if not self._socket.exists():
            return False
        done = system.attempt("ctr", "--address", str(self._socket), "--timeout=2s", "plugins", "ls")
        rows = [line.split() for line in done.stdout.splitlines()]
        return done.returncode == 0 and any(row[1:2] == ["cri"] and row[-1] == "ok" for row in rows)

    def load(self, tar: Path) -> tuple[str, ...]:
        """Import an image unless this very one is there; its names. Returns when pods can use it.

        What it makes superfluous is forgotten. Raises NodeProgramFailed.
        """
        source, names = contents(tar)
        label = f"{_SOURCE_LABEL}={source}"
        if not self._have(names, label):
            self._ctr("images", "import", "--no-unpack=false", str(tar))
            for name in names:
                self._ctr("images", "label", name, label)
        if not holds_within(lambda: self._have(names, _KNOWN_LABEL), _KNOWN_SECONDS):
            raise NodeProgramFailed(f"containerd does not show {', '.join(names)} to kubelet. See its log.")
        forgotten = superfluous(self._images(), names)
        if forgotten:
            self._ctr("images", "rm", "--sync", *forgotten)
        return names

    def has(self, name: str) -> bool:
        """Whether pods can use an image of this name."""
        return self._have((name,), _KNOWN_LABEL)

    def blobs(self) -> frozenset[str]:
        """The digests of all that is held of images."""
        return frozenset(self._ctr("content", "ls", "--quiet").split())

    def remove_all(self) -> int:
        """Forget every container, running ones excepted; how many there were."""
        found = self._ctr("containers", "ls", "--quiet").split()
        if found:
            system.attempt(
                "ctr", f"--address={self._socket}", f"--namespace={_NAMESPACE}", "containers", "rm", *found
            )
        return len(found)

    def _have(self, names: Collection[str], label: str) -> bool:
        held = self._images()
        return all(name in held and label in held[name].labels for name in names)

    def _images(self) -> Mapping[str, HeldImage]:
        rows = (line.split() for line in self._ctr("images", "ls").splitlines()[1:])
        return {row[0]: HeldImage(row[2], row[-1]) for row in rows}

    def _ctr(self, *arguments: str) -> str:
        return system.run("ctr", f"--address={self._socket}", f"--namespace={_NAMESPACE}", *arguments)


def superfluous(held: Mapping[str, HeldImage], loaded: Collection[str]) -> tuple[str, ...]:
    """Name what is held of older trees: each may hold gigabytes, which go with the last of its names.

    That is every other tag of our own repositories of which something was loaded, and the ids of images that
    have no name besides.
    """
    ours = {_repository(name) for name in loaded if name.startswith(f"{REPOSITORY}/")}
    names = {name for name in held if not name.startswith(_ID)}
    older = {name for name in names if name not in loaded and _repository(name) in ours}
    kept = {held[name].digest for name in names - older}
    return tuple(sorted(name for name in held if name in older or held[name].digest not in kept))


def _repository(name: str) -> str:
    return name.rpartition(":")[0]


def contents(tar: Path) -> tuple[str, tuple[str, ...]]:
    """A digest that names the image in a tar, and its names; raises NodeProgramFailed if it is no image."""
    try:
        with tarfile.open(tar) as archive:
            for name in _INDEX_FILES:
                if name in archive.getnames():
                    member = archive.extractfile(name)
                    text = member.read() if member is not None else b""
                    return hashlib.sha256(text).hexdigest()[:32], _names(json.loads(text))
    except (OSError, tarfile.TarError, json.JSONDecodeError) as error:
        raise NodeProgramFailed(f"{tar} cannot be read as an image: {error}") from error
    raise NodeProgramFailed(f"{tar} is no image: it has no {' and no '.join(_INDEX_FILES)}.")


def _names(index: object) -> tuple[str, ...]:
    if isinstance(index, list):  # of docker: one entry an image
        return tuple(name for image in index for name in image["RepoTags"])
    if isinstance(index, dict):  # of OCI: one manifest an image
        key = "io.containerd.image.name"
        return tuple(m["annotations"][key] for m in index["manifests"] if key in m.get("annotations", {}))
    return ()
