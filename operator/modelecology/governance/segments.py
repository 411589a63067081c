"""Sealed segments: a run of entries under one Merkle root, each segment naming the root of the one before.

A segment is lines: the header, then one line an entry (see chain.py). Leaves are the entries' digests; leaves
and nodes are hashed apart, as in RFC 6962, so that neither can be taken for the other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from .chain import parted
from .log import GENESIS, LogBroken
from .plain import canonical_json

FORMAT = 1
_MEMBERS = frozenset({"first", "format", "last", "population", "previousRoot", "root"})


@dataclass(frozen=True, slots=True)
class Segment:
    """A sealed run of entries: lines as they were, from `first` to `last`."""

    population: str
    first: int
    last: int
    root: str
    previous_root: str
    lines: tuple[bytes, ...]


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


def dumped(segment: Segment) -> bytes:
    """Write a segment."""
    header = canonical_json(
        {
            "first": segment.first,
            "format": FORMAT,
            "last": segment.last,
            "population": segment.population,
            "previousRoot": segment.previous_root,
            "root": segment.root,
        }
    )
    return b"\n".join((header, *segment.lines, b""))


def loaded_segment(content: bytes, place: str) -> Segment:
    """Read a segment and check its root against its lines. Raises LogBroken."""
    head, *lines = content.split(b"\n")
    if not lines or lines.pop() != b"":
        raise LogBroken(f"{place} is cut short")
    try:
        header = json.loads(head)
        if header.keys() != _MEMBERS or header["format"] != FORMAT:
            raise LogBroken(f"{place} has a header that this version does not know")
        found = Segment(
            str(header["population"]),
            int(header["first"]),
            int(header["last"]),
            str(header["root"]),
            str(header["previousRoot"]),
            tuple(lines),
        )
    except (ValueError, AttributeError, TypeError) as error:
        raise LogBroken(f"{place} has a header that cannot be read") from error
    if found.last - found.first + 1 != len(lines):
        raise LogBroken(f"{place} has {len(lines)} entries where its header says {found.first}-{found.last}")
    try:
        again = sealed_segment(found.population, found.first, lines, found.previous_root)
    except ValueError as error:
        raise LogBroken(f"{place} has a line with a malformed digest") from error
    if again.root != found.root:
        raise LogBroken(f"{place} was changed: its Merkle root does not match its entries")
    return found
