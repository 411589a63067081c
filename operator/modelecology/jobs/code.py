"""The digest of the code that makes an artifact, computed without importing torch.

The operator puts it into every key, so an artifact made by other code is another artifact.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import metadata
from pathlib import Path

_PINNED = ("numpy", "peft", "safetensors", "tokenizers", "torch", "transformers")
_ABSENT = "absent"
_WORKLOADS = Path(__file__).resolve().parent.parent / "workloads"


def installed_versions() -> tuple[tuple[str, str], ...]:
    """List name and version of the libraries that decide a result; `absent` where one is not installed."""
    found: list[tuple[str, str]] = []
    for name in _PINNED:
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            found.append((name, _ABSENT))
    return tuple(found)


def is_complete() -> bool:
    """Say whether all of them are installed, so that the digest is that of code which can run."""
    return all(version != _ABSENT for _, version in installed_versions())


def source_digest(root: Path, versions: tuple[tuple[str, str], ...]) -> str:
    """Digest the Python files below `root` and the versions, as `sha256:<64 hex>`."""
    whole = hashlib.sha256()
    for path in sorted(root.rglob("*.py"), key=lambda path: path.relative_to(root).as_posix()):
        line = f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(root).as_posix()}\n"
        whole.update(line.encode())
    for name, version in versions:
        whole.update(f"{name}=={version}\n".encode())
    return f"sha256:{whole.hexdigest()}"


@cache
def code_digest() -> str:
    """Digest the workloads' source and the versions of the libraries under it, once a process."""
    return source_digest(_WORKLOADS, installed_versions())
