"""Sealed segments: a run of entries under one Merkle root, each segment naming the root of the one before.

A segment is lines: the header, then one line an entry (see chain.py). Leaves are the entries' digests; leaves
and nodes are hashed apart, as in RFC 6962, so that neither can be taken for the other. The header may carry a
signature. What it says holds for all segments before it too, since each entry names the digest of the last.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .chain import parted
from .log import GENESIS, LogBroken
from .plain import canonical_json

FORMAT = 1
_MEMBERS = frozenset({"first", "format", "last", "population", "previousRoot", "root"})
_SIGNATURE = "signature"  # absent where nobody signs
_PURPOSE = (
    b"modelecology.io/log-segment\n"  # a key that signs other things too signs none of these by mistake
)
_KEY = re.compile(r"sha256:[0-9a-f]{64}")
_VALUE = re.compile(r"[0-9a-f]{128}")


@dataclass(frozen=True, slots=True)
class Signature:
    """Who vouches for a segment: the digest of a public key, and its signature in hex."""

    key: str
    value: str


Sign = Callable[[bytes], Signature]
"""Signs a statement."""

Fits = Callable[[bytes, bytes], bool]
"""Says whether a statement has a signature of one key."""

Keys = Mapping[str, Fits]
"""The keys that may sign, by their digests."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A sealed run of entries: lines as they were, from `first` to `last`."""

    population: str
    first: int
    last: int
    root: str
    previous_root: str
    lines: tuple[bytes, ...]
    signature: Signature | None = None

    @property
    def name(self) -> str:
        """How a message calls it."""
        return f"segment {self.first}-{self.last}"


def merkle_root(digests: Sequence[str]) -> str:
    """Give the root over digests, as sha256:<64 hex>; a node without a sibling goes up as it is."""
    if not digests:
        return GENESIS
    level = [hashlib.sha256(b"\0" + bytes.fromhex(d.removeprefix("sha256:"))).digest() for d in digests]
    while len(level) > 1:
        pairs = [
            hashlib.sha256(b"\1" + level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)
        ]
        level = pairs + level[len(pairs) * 2 :]
    return "sha256:" + level[0].hex()


def sealed_segment(population: str, first: int, lines: Sequence[bytes], previous_root: str) -> Segment:
    """Seal a run of entries. Raises LogBroken for what is no line."""
    digests = [parted(line, f"decision {first + i}")[1] for i, line in enumerate(lines)]
    last = first + len(lines) - 1
    return Segment(population, first, last, merkle_root(digests), previous_root, tuple(lines))


def signed(log: str, segment: Segment, sign: Sign | None) -> Segment:
    """Give a segment of a log, named by its uid, a signature; without `sign` it stays as it is."""
    return replace(segment, signature=sign(_statement(log, segment))) if sign is not None else segment


def check_signature(log: str, segment: Segment, keys: Keys) -> None:
    """See that one of the keys has signed a segment. Raises LogBroken."""
    found = segment.signature
    if found is None:
        raise LogBroken(f"{segment.name} is not signed")
    fits = keys.get(found.key)
    if fits is None:
        raise LogBroken(f"{segment.name} is signed with another key: {found.key}")
    if not fits(_statement(log, segment), bytes.fromhex(found.value)):
        raise LogBroken(f"{segment.name} has a signature that does not fit")


def _statement(log: str, segment: Segment) -> bytes:
    """Say what is signed: the root, and where it stands; else it would be a good one for another log too."""
    return _PURPOSE + canonical_json({**_said(segment), "log": log})


def _said(segment: Segment) -> dict[str, Any]:
    return {
        "first": segment.first,
        "format": FORMAT,
        "last": segment.last,
        "population": segment.population,
        "previousRoot": segment.previous_root,
        "root": segment.root,
    }


def _header(segment: Segment) -> bytes:
    found = segment.signature
    more = {} if found is None else {_SIGNATURE: {"key": found.key, "value": found.value}}
    return canonical_json(_said(segment) | more)


def dumped(segment: Segment) -> bytes:
    """Write a segment."""
    return b"\n".join((_header(segment), *segment.lines, b""))


def loaded_segment(content: bytes, place: str) -> Segment:
    """Read a segment and check its root against its lines, and not its signature. Raises LogBroken."""
    head, *lines = content.split(b"\n")
    if not lines or lines.pop() != b"":
        raise LogBroken(f"{place} is cut short")
    found = _headed(head, tuple(lines), place)
    if found.last - found.first + 1 != len(lines):
        raise LogBroken(f"{place} has {len(lines)} entries where its header says {found.first}-{found.last}")
    try:
        again = sealed_segment(found.population, found.first, lines, found.previous_root)
    except ValueError as error:
        raise LogBroken(f"{place} has a line with a malformed digest") from error
    if again.root != found.root:
        raise LogBroken(f"{place} was changed: its Merkle root does not match its entries")
    return found


def _headed(head: bytes, lines: tuple[bytes, ...], place: str) -> Segment:
    try:
        header = json.loads(head)
        if header.keys() - {_SIGNATURE} != _MEMBERS or header["format"] != FORMAT:
            raise LogBroken(f"{place} has a header that this version does not know")
        found = Segment(
            str(header["population"]),
            int(header["first"]),
            int(header["last"]),
            str(header["root"]),
            str(header["previousRoot"]),
            lines,
            _signature(header[_SIGNATURE]) if _SIGNATURE in header else None,
        )
        again = _header(found)
    except (ValueError, AttributeError, TypeError, KeyError, OverflowError) as error:
        raise LogBroken(f"{place} has a header that cannot be read") from error
    if again != head:
        # It says the same in other bytes, so somebody else has written it.
        raise LogBroken(f"{place} has a header that was not written like this")
    return found


def _signature(plain: Any) -> Signature:
    found = Signature(plain["key"], plain["value"])
    if not _KEY.fullmatch(found.key) or not _VALUE.fullmatch(found.value):
        raise ValueError("no signature")
    return found
