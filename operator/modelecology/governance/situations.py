"""What a verdict was made from, as a record that can be kept: the same verdict can be made of it again.

Format 1. A record is canonical JSON and named by the digest of its bytes; long tuples (a result's items) lie
beside it under their own digests, so what many verdicts share is kept once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from modelecology.api.vocabulary import Target

from .facts import Cost, RevisionRecord, Situation
from .log import SpecialistRecord
from .plain import Codec, Parts, ReadPart, Unreadable, canonical_json, digest_of_bytes, loaded
from .rules import Prices

FORMAT = 1
_CODEC = Codec()


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict by `decide`."""

    situation: Situation


@dataclass(frozen=True, slots=True)
class Pin:
    """A revision that its owner pins; None bytes is a size that nobody knows, or asks for."""

    revision: str
    resident_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Succession:
    """A verdict by `succession` on a revision that is not the current one."""

    record: SpecialistRecord
    current: str
    now: datetime
    undo_window: timedelta
    wanted: Target = Target.LIVE
    pins: tuple[Pin, ...] = ()
    taken: int = 0  # adapter slots, those of this Specialist included
    slots: int = 0
    taken_bytes: int = 0  # of all that has a place on the engines
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A person asked for another try."""

    record: RevisionRecord
    actor: str


@dataclass(frozen=True, slots=True)
class Isolation:
    """A person asked that a revision is taken out of service."""

    record: RevisionRecord
    actor: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Rollback:
    """What served before a quarantined revision may serve again."""

    record: SpecialistRecord
    now: datetime
    undo_window: timedelta
    wanted: Target
    taken: int  # adapter slots, those of this Specialist included
    slots: int


Made = Judgement | Succession | Request | Isolation | Rollback


@dataclass(frozen=True, slots=True)
class Inputs:
    """What one entry was made from: the verdict, and what is charged beside the verdict's own cost."""

    made: Made
    prices: Prices
    extra: Cost = field(default_factory=Cost)


@dataclass(frozen=True, slots=True)
class Kept:
    """What has to be kept: the record's digest, and all files by their digests, the record's last."""

    digest: str
    files: Mapping[str, bytes]


def kept(inputs: Inputs) -> Kept:
    """Write inputs as what has to be kept. Raises Unreadable for a value that has no form in a record."""
    parts: Parts = {}
    content = canonical_json({"format": FORMAT, "inputs": _CODEC.write(Inputs, inputs, parts)})
    digest = digest_of_bytes(content)
    # The record comes last: once it is there, so is everything that it names.
    return Kept(digest, {**parts, digest: content})


def inputs_of(digest: str, load: ReadPart) -> Inputs:
    """Read inputs; `load` gives the bytes of a digest. Raises Unreadable, and what `load` raises."""
    plain = loaded(load(digest))
    if not isinstance(plain, dict) or plain.keys() != {"format", "inputs"}:
        raise Unreadable("it is no record of inputs")
    if plain["format"] != FORMAT:
        raise Unreadable(f"it has format {plain['format']}; this version reads format {FORMAT}")
    found: Inputs = _CODEC.read(Inputs, plain["inputs"], load)
    return found


def parts_of(content: bytes) -> frozenset[str]:
    """Name the files that a record rests on. Raises Unreadable."""
    found: set[str] = set()
    _collect(loaded(content), found)
    return frozenset(found)


def _collect(plain: Any, found: set[str]) -> None:
    if isinstance(plain, dict):
        if plain.keys() == {"part"}:
            found.add(str(plain["part"]))
        for value in plain.values():
            _collect(value, found)
    elif isinstance(plain, list):
        for value in plain:
            _collect(value, found)
