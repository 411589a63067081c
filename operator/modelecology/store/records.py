"""The store's records, and the only place where they are turned into JSON and back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from pydantic.alias_generators import to_camel

from modelecology.store.errors import ArtifactCorrupt

ArtifactKind = Literal["Train", "Import", "Evaluate", "Base"]


@dataclass(frozen=True, slots=True)
class Commit:
    """Which attempt won a key, and the digest of its manifest."""

    key: str
    attempt: str
    manifest: str


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file of an artifact: sha256 (64 hex digits) and size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Cost:
    """What making an artifact used: seconds, tokens, and peak resident bytes."""

    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    tokens: int = 0
    peak_rss_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything there is to know about a committed artifact without reading its files."""

    kind: ArtifactKind
    key: str
    files: Mapping[str, StoredFile]
    meta: Mapping[str, JsonValue] = field(default_factory=dict)
    cost: Cost = field(default_factory=Cost)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is: steps done and in all, last loss, seconds left, a word for what it is doing."""

    step: int
    total: int
    loss: float | None = None
    eta_seconds: float | None = None
    phase: str = ""


class _Record(BaseModel):
    model_config = ConfigDict(
        extra="forbid", alias_generator=to_camel, validate_by_name=True, validate_by_alias=True
    )


_Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _CommitRecord(_Record):
    attempt: str = Field(pattern=r"^attempt-[0-9a-f]{32}$")
    manifest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")


class _FileRecord(_Record):
    sha256: _Hex
    size: int = Field(ge=0)


class _CostRecord(_Record):
    cpu_seconds: float
    gpu_seconds: float
    wall_seconds: float
    tokens: int
    peak_rss_bytes: int


class _ManifestRecord(_Record):
    kind: ArtifactKind
    key: _Hex
    files: dict[str, _FileRecord]
    meta: dict[str, JsonValue]
    cost: _CostRecord


class _ProgressRecord(_Record):
    step: int
    total: int
    loss: float | None = None
    eta_seconds: float | None = None
    phase: str = ""


def bytes_digest(content: bytes) -> str:
    """Digest bytes as `sha256:<64 hex>`."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _dump(record: _Record) -> bytes:
    plain = record.model_dump(mode="json", by_alias=True)
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def dump_commit(commit: Commit) -> bytes:
    """Write a commit marker."""
    return _dump(_CommitRecord(attempt=commit.attempt, manifest=commit.manifest))


def load_commit(key: str, content: bytes) -> Commit:
    """Read a commit marker; raises ArtifactCorrupt."""
    try:
        record = _CommitRecord.model_validate_json(content)
    except ValidationError as error:
        raise ArtifactCorrupt(
            f"The commit marker of artifact {key[:12]} cannot be read; restore artifacts/{key}/commit.json."
        ) from error
    return Commit(key=key, attempt=record.attempt, manifest=record.manifest)


def dump_manifest(manifest: Manifest) -> bytes:
    """Write a manifest so that equal manifests are equal bytes."""
    cost = manifest.cost
    return _dump(
        _ManifestRecord(
            kind=manifest.kind,
            key=manifest.key,
            files={
                name: _FileRecord(sha256=entry.sha256, size=entry.size)
                for name, entry in manifest.files.items()
            },
            meta=dict(manifest.meta),
            cost=_CostRecord(
                cpu_seconds=cost.cpu_seconds,
                gpu_seconds=cost.gpu_seconds,
                wall_seconds=cost.wall_seconds,
                tokens=cost.tokens,
                peak_rss_bytes=cost.peak_rss_bytes,
            ),
        )
    )


def load_manifest(key: str, content: bytes) -> Manifest:
    """Read a manifest; raises ArtifactCorrupt."""
    try:
        record = _ManifestRecord.model_validate_json(content)
    except ValidationError as error:
        raise ArtifactCorrupt(
            f"The manifest of artifact {key[:12]} cannot be read; restore the store."
        ) from error
    if record.key != key:
        raise ArtifactCorrupt(f"The manifest of artifact {key[:12]} names another key, {record.key[:12]}.")
    return Manifest(
        kind=record.kind,
        key=record.key,
        files={name: StoredFile(entry.sha256, entry.size) for name, entry in record.files.items()},
        meta=record.meta,
        cost=Cost(
            cpu_seconds=record.cost.cpu_seconds,
            gpu_seconds=record.cost.gpu_seconds,
            wall_seconds=record.cost.wall_seconds,
            tokens=record.cost.tokens,
            peak_rss_bytes=record.cost.peak_rss_bytes,
        ),
    )


def dump_progress(progress: Progress) -> bytes:
    """Write a progress record."""
    return _dump(
        _ProgressRecord(
            step=progress.step,
            total=progress.total,
            loss=progress.loss,
            eta_seconds=progress.eta_seconds,
            phase=progress.phase,
        )
    )


def load_progress(content: bytes) -> Progress | None:
    """Read a progress record; progress is a hint, so one that cannot be read is none."""
    try:
        record = _ProgressRecord.model_validate_json(content)
    except ValidationError:
        return None
    return Progress(record.step, record.total, record.loss, record.eta_seconds, record.phase)
