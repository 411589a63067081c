"""What goes into an image, and what follows from it: tag, revision, time, code digest. No buildah here."""

from __future__ import annotations

import hashlib
import subprocess
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from packaging.markers import Marker

from modelecology import __version__
from modelecology.jobs.code import installed_versions, source_digest
from testbed.places import REPOSITORY

CONTAINERFILE = "images/Containerfile"
_FILES = ("LICENSE", "README.md", "pyproject.toml", "uv.lock")
_FOLDERS = ("images", "operator/modelecology")
# These do not decide what is built, though they lie beside what does.
_ASIDE = frozenset({"README.md", "tools.in", "Containerfile.dockerignore"})
_INSTALLED_BY = ("images/install.sh", "images/tools.txt", "uv.lock")
# Stages that are kept as images of their own: a change of our code must not make them anew. What
# pyproject.toml says of the libraries is in the lock too.
_OF_STAGES = {
    "tools": (*_INSTALLED_BY, "images/sbom.sh", "pyproject.toml"),
    "operator-libraries": _INSTALLED_BY,
    "libraries": _INSTALLED_BY,
    "workload-libraries": _INSTALLED_BY,
}
# Those that every kept stage is made of, beside its own.
_BELOW = frozenset({"tools", "runtime", "libraries"})

Files = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Origin:
    """The commit that last touched what is built, and its time in seconds since 1970."""

    revision: str
    epoch: int

    @property
    def created(self) -> str:
        """The time as RFC 3339."""
        return datetime.fromtimestamp(self.epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_inputs(checkout: Path = REPOSITORY) -> Files:
    """Read the files that decide what an image holds, once: what is digested is what is built."""
    found = [checkout / name for name in _FILES]
    for folder in _FOLDERS:
        found += [path for path in (checkout / folder).rglob("*") if path.is_file() and _counts(path)]
    return {path.relative_to(checkout).as_posix(): path.read_bytes() for path in sorted(found)}


def _counts(path: Path) -> bool:
    cached = "__pycache__" in path.parts or path.suffix == ".pyc" or path.name.startswith(".")
    return not cached and not (path.parent.name == "images" and path.name in _ASIDE)


def write_context(files: Files, folder: Path) -> None:
    """Write the inputs into a folder for a build, all with one mode."""
    for name, content in files.items():
        copy = folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(content)
        copy.chmod(0o644)


def image_tag(files: Files, said: Iterable[str]) -> str:
    """`<version>-<12 hex>` over all that goes into an image: the files, and what the build is told."""
    return f"{__version__}-{_digest(said, files)}"


def stage_tag(files: Files, stage: str, base_digest: str) -> str:
    """12 hex over what a kept stage is made of: instructions, lock, how it is installed, base."""
    stages = files[CONTAINERFILE].decode().split("\nFROM ")
    theirs = [text for text in stages if _stage_name(text) in {*_BELOW, stage}]
    return _digest((base_digest, *theirs), {name: files[name] for name in _OF_STAGES[stage]})


def _stage_name(stage: str) -> str:
    words = stage.splitlines()[0].split()
    return words[-1] if "AS" in words else ""


def _digest(said: Iterable[str], files: Files) -> str:
    whole = hashlib.sha256()
    for text in said:
        whole.update(f"{hashlib.sha256(text.encode()).hexdigest()}\n".encode())
    for name in sorted(files):
        whole.update(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n".encode())
    return whole.hexdigest()[:12]


def find_origin(names: Iterable[str], environment: Mapping[str, str], checkout: Path = REPOSITORY) -> Origin:
    """Ask git for the last commit of the inputs; SOURCE_DATE_EPOCH overrides its time.

    Without git the revision is `unknown` and the time is 1970; changes that are not committed are marked.
    """
    paths = tuple(names)
    said = _git(checkout, "log", "-1", "--format=%H %ct", "--", *paths)
    revision, epoch = said.split() if said else ("unknown", "0")
    if said and _git(checkout, "status", "--porcelain", "--", *paths):
        revision += "-dirty"
    return Origin(revision, int(environment.get("SOURCE_DATE_EPOCH") or epoch))


def _git(checkout: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(checkout), *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def expected_code(context: Path, python_version: str) -> str:
    """The digest that `python -m modelecology.workloads code-digest` prints in the workload image.

    It follows from the sources and the lock, so an operator image can be built without the heavy one. The
    workload image's build stops if it is another.
    """
    names = [name for name, _ in installed_versions()]
    versions = locked_versions((context / "uv.lock").read_text(encoding="utf-8"), names, python_version)
    return source_digest(context / "operator" / "modelecology" / "workloads", versions)


def locked_versions(lock: str, names: Iterable[str], python_version: str) -> tuple[tuple[str, str], ...]:
    """Name and version of each library as the lock has it for this Python; `absent` where it has none."""
    packages = tomllib.loads(lock)["package"]
    where = {"python_full_version": python_version, "python_version": ".".join(python_version.split(".")[:2])}

    def version(name: str) -> str:
        for package in packages:
            markers = package.get("resolution-markers")
            if package["name"] == name and (
                markers is None or any(Marker(m).evaluate(where) for m in markers)
            ):
                return str(package["version"])
        return "absent"

    return tuple((name, version(name)) for name in names)
