"""The copy of a population's log: newest entries one a file, older ones in sealed segments.

    log/<uid>/log.json                                  whose it is
    log/<uid>/entries/<12 digits>.json                  an entry, as a line
    log/<uid>/segment-<12 digits>-<12 digits>.jsonl     a sealed run of entries

Everything is created once and never changed; an entry's file goes when a segment holds it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from modelecology.governance.log import GENESIS, LogBroken
from modelecology.governance.segments import Segment, dumped, loaded_segment
from modelecology.store.errors import ArtifactCorrupt
from modelecology.store.files import LARGEST_RECORD, Files

FOLDER = "log"
_ABOUT = "log.json"
_ENTRY = re.compile(r"entries/(\d{12})\.json")
_SEGMENT = re.compile(r"segment-(\d{12})-(\d{12})\.jsonl")
_UID = re.compile(r"[A-Za-z0-9][-A-Za-z0-9]{0,63}")


@dataclass(frozen=True, slots=True)
class Whose:
    """A log in the store, and the population that it is of."""

    uid: str
    namespace: str
    population: str


@dataclass(frozen=True, slots=True)
class Contents:
    """What there is of a log: segments by their first entry, and the sequences of single entries."""

    segments: tuple[tuple[int, int], ...]
    entries: frozenset[int]

    @property
    def sealed(self) -> int:
        """The last sequence in a segment; 0 where there is none."""
        return max((last for _, last in self.segments), default=0)

    @property
    def length(self) -> int:
        """The last sequence that is kept; 0 where nothing is."""
        return max(self.sealed, max(self.entries, default=0))

    @property
    def whole(self) -> int:
        """The last sequence up to which nothing is missing."""
        last = self.sealed
        while last + 1 in self.entries:
            last += 1
        return last


class StoredLog:
    """One log in a store. Every call may raise StoreUnavailable."""

    def __init__(self, files: Files, uid: str) -> None:
        if not _UID.fullmatch(uid):
            raise ValueError(f"{uid!r} is no uid")
        self._files = files
        self._place = f"{FOLDER}/{uid}"
        self._ready = False

    def describe(self, namespace: str, population: str) -> None:
        """Say whose log it is. Raises StoreFull."""
        if self._ready:
            return
        self._files.prepare(f"{self._place}/entries")
        about = json.dumps({"format": 1, "namespace": namespace, "population": population}, sort_keys=True)
        self._files.create(f"{self._place}/{_ABOUT}", about.encode() + b"\n")
        self._ready = True

    def contents(self) -> Contents:
        """List what is kept."""
        segments, entries = [], set()
        for name, _entry in self._files.scan(self._place):
            if match := _ENTRY.fullmatch(name):
                entries.add(int(match[1]))
            elif match := _SEGMENT.fullmatch(name):
                segments.append((int(match[1]), int(match[2])))
        return Contents(tuple(sorted(segments)), frozenset(entries))

    def keep(self, sequence: int, line: bytes) -> None:
        """Keep an entry; one that is there already must be the same. Raises StoreFull, ArtifactCorrupt."""
        place = self._entry_place(sequence)
        if self._files.create(place, line):
            return
        seen = self._files.look(place)
        if seen is not None and seen.content != line:
            raise ArtifactCorrupt(f"{self._files.where(place)} is another decision than the log's; look why.")

    def seal(self, segment: Segment) -> Segment:
        """Keep a segment and read it back; one of these bounds that is there already must be the same.

        Raises StoreFull, ArtifactCorrupt, LogBroken.
        """
        self._files.create(self._segment_place(segment.first, segment.last), dumped(segment))
        found = self.segment(segment.first, segment.last)
        if found != segment:
            place = self._files.where(self._segment_place(segment.first, segment.last))
            raise ArtifactCorrupt(f"{place} is not what was sealed; look why.")
        return found

    def segment(self, first: int, last: int) -> Segment:
        """Read a segment and check it by its root. Raises LogBroken."""
        place = self._segment_place(first, last)
        seen = self._files.look(place)
        if seen is None:
            raise LogBroken(f"segment {first}-{last} is not in the store")
        found = loaded_segment(seen.content or b"", f"segment {first}-{last}")
        if (found.first, found.last) != (first, last):
            raise LogBroken(f"segment {first}-{last} says that it is {found.first}-{found.last}")
        return found

    def line(self, sequence: int) -> bytes:
        """Read a single entry. Raises LogBroken."""
        seen = self._files.look(self._entry_place(sequence))
        if seen is None:
            raise LogBroken(f"decision {sequence} is not in the store")
        return seen.content or b""

    def release(self, contents: Contents) -> None:
        """Remove the files of entries which a segment holds."""
        for sequence in sorted(contents.entries):
            if sequence <= contents.sealed:
                self._files.remove(self._entry_place(sequence))

    def sealed(self, contents: Contents | None = None) -> Iterator[Segment]:
        """Read the segments in their order, each checked by its root and against the one before.

        Raises LogBroken.
        """
        root, next_ = GENESIS, 1
        for first, last in (contents or self.contents()).segments:
            if first != next_:
                raise LogBroken(
                    f"segment {first}-{last} follows decision {next_ - 1}; one is missing or forked"
                )
            found = self.segment(first, last)
            if found.previous_root != root:
                raise LogBroken(f"segment {first}-{last} does not name the root of the one before it")
            yield found
            root, next_ = found.root, last + 1

    def lines(self, after: int = 0, contents: Contents | None = None) -> Iterator[bytes]:
        """Read the entries after a sequence, from segments and then one by one. Raises LogBroken.

        Entries are checked as far as the roots of their segments go, and no further.
        """
        there = contents or self.contents()
        for segment in self.sealed(there):
            if segment.last > after:
                yield from segment.lines[max(0, after + 1 - segment.first) :]
        for sequence in range(max(after, there.sealed) + 1, there.length + 1):
            yield self.line(sequence)

    def root(self, contents: Contents) -> str:
        """Give the root of the newest segment. Raises LogBroken."""
        if not contents.segments:
            return GENESIS
        return self.segment(*contents.segments[-1]).root

    def _entry_place(self, sequence: int) -> str:
        return f"{self._place}/entries/{sequence:012d}.json"

    def _segment_place(self, first: int, last: int) -> str:
        return f"{self._place}/segment-{first:012d}-{last:012d}.jsonl"


def stored_logs(files: Files) -> tuple[Whose, ...]:
    """List the logs in a store. Raises StoreUnavailable, ArtifactCorrupt."""
    found = []
    for name, _entry in files.scan(FOLDER):
        uid, _slash, rest = name.partition("/")
        if rest != _ABOUT or not _UID.fullmatch(uid):
            continue
        seen = files.look(f"{FOLDER}/{name}", limit=LARGEST_RECORD)
        try:
            about = json.loads((seen.content if seen else None) or b"")
            found.append(Whose(uid, str(about["namespace"]), str(about["population"])))
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactCorrupt(f"{files.where(f'{FOLDER}/{name}')} cannot be read; restore it.") from error
    return tuple(sorted(found, key=lambda w: w.uid))
