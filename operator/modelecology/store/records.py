"""The store's records, and the only place where they are turned into JSON and back."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from modelecology.store.errors import ArtifactCorrupt

ArtifactKind = Literal["Train", "Import", "Evaluate", "Base"]
ADAPTERS: Final[frozenset[ArtifactKind]] = frozenset({"Train", "Import"})
"""The kinds of artifact that an engine can load."""

MANIFEST: Final = "manifest.json"
_KEY = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def is_key(name: str) -> bool:
    """Say whether a name is an artifact's key."""
    return _KEY.fullmatch(name) is not None


def checked_key(key: str) -> str:
    """Return a key that is one; raises ValueError."""
    if not is_key(key):
        raise ValueError(f"an artifact's key is 64 hex digits, not {key!r}")
    return key


def checked_name(name: str) -> str:
    """Return a file name that is safe inside an artifact; raises ValueError."""
    if not _NAME.fullmatch(name) or name == MANIFEST:
        raise ValueError(f"an artifact's file must have a plain name other than {MANIFEST}, not {name!r}")
    return name


@dataclass(frozen=True, slots=True)
class Commit:
    """Which attempt won a key, and the digest of its manifest."""

    key: str
    attempt: str
    manifest: str


class Standing(StrEnum):
    """What a key's marker says of it."""

    IN_USE = ""
    ARCHIVED = "Archived"
    DELETING = "Deleting"


@dataclass(frozen=True, slots=True)
class Marker:
    """The one object that decides about a key. A key is deleted with or without a commit."""

    standing: Standing
    commit: Commit | None


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
    """How far a job is: steps done and in all, last loss, seconds left, a word for what it does, its cost."""

    step: int
    total: int
    loss: float | None = None
    eta_seconds: float | None = None
    phase: str = ""
    cost: Cost | None = None  # so far; what is charged if the job is ended now


class _Record(BaseModel):
    model_config = ConfigDict(
        extra="forbid", alias_generator=to_camel, validate_by_name=True, validate_by_alias=True
    )


_Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _CommitRecord(_Record):
    attempt: str = Field(default="", pattern=r"^(attempt-[0-9a-f]{32})?$")
    manifest: str = Field(default="", pattern=r"^(sha256:[0-9a-f]{64})?$")
    standing: Standing = Standing.IN_USE

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if bool(self.attempt) != bool(self.manifest):
            raise ValueError("attempt and manifest come together")
        if not self.attempt and self.standing is not Standing.DELETING:
            raise ValueError("a commit names its attempt")
        return self


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
    files: dict[Annotated[str, AfterValidator(checked_name)], _FileRecord]
    meta: dict[str, JsonValue]
    cost: _CostRecord


class _ProgressRecord(_Record):
    step: int
    total: int
    loss: float | None = None
    eta_seconds: float | None = None
    phase: str = ""
    cost: _CostRecord | None = None


def bytes_digest(content: bytes) -> str:
    """Digest bytes as `sha256:<64 hex>`."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _dump(record: _Record, *, sparse: bool = False) -> bytes:
    plain = record.model_dump(mode="json", by_alias=True, exclude_defaults=sparse)
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def dump_marker(marker: Marker) -> bytes:
    """Write a key's marker."""
    commit = marker.commit
    record = _CommitRecord(
        attempt=commit.attempt if commit else "",
        manifest=commit.manifest if commit else "",
        standing=marker.standing,
    )
    return _dump(record, sparse=True)


def load_marker(key: str, content: bytes) -> Marker:
    """Read a key's marker; raises ArtifactCorrupt."""
    try:
        record = _CommitRecord.model_validate_json(content)
    except ValidationError as error:
        raise ArtifactCorrupt(
            f"The commit marker of artifact {key[:12]} cannot be read; restore artifacts/{key}/commit.json."
        ) from error
    commit = Commit(key=key, attempt=record.attempt, manifest=record.manifest) if record.attempt else None
    return Marker(record.standing, commit)


def _cost_record(cost: Cost) -> _CostRecord:
    return _CostRecord(
        cpu_seconds=cost.cpu_seconds,
        gpu_seconds=cost.gpu_seconds,
        wall_seconds=cost.wall_seconds,
        tokens=cost.tokens,
        peak_rss_bytes=cost.peak_rss_bytes,
    )


def _cost_of(record: _CostRecord) -> Cost:
    return Cost(
        cpu_seconds=record.cpu_seconds,
        gpu_seconds=record.gpu_seconds,
        wall_seconds=record.wall_seconds,
        tokens=record.tokens,
        peak_rss_bytes=record.peak_rss_bytes,
    )


def dump_manifest(manifest: Manifest) -> bytes:
    """Write a manifest so that equal manifests are equal bytes."""
    return _dump(
        _ManifestRecord(
            kind=manifest.kind,
            key=manifest.key,
            files={
                name: _FileRecord(sha256=entry.sha256, size=entry.size)
                for name, entry in manifest.files.items()
            },
            meta=dict(manifest.meta),
            cost=_cost_record(manifest.cost),
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
        cost=_cost_of(record.cost),
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
            cost=_cost_record(progress.cost) if progress.cost else None,
        )
    )


def load_progress(content: bytes) -> Progress | None:
    """Read a progress record; progress is a hint, so one that cannot be read is none."""
    try:
        record = _ProgressRecord.model_validate_json(content)
    except ValidationError:
        return None
    cost = _cost_of(record.cost) if record.cost else None
    return Progress(record.step, record.total, record.loss, record.eta_seconds, record.phase, cost)
