"""The copy of one population's log in its store, as the log's archive and as what is written to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from modelecology.governance.chain import Chain, entry_of_line, line_of
from modelecology.governance.log import GENESIS, Entry, LogBroken
from modelecology.governance.segments import Segment, Sign, sealed_segment, signed
from modelecology.kube.decisions import LogOutOfReach
from modelecology.store import ArtifactStore, StoreError
from modelecology.store.logs import Contents, StoredLog


class LogCopy:
    """What the store keeps of a log. Its calls block: run them in a thread.

    One task at a time may write: hold `lock`. `told` is the last trouble that was logged. `sign` vouches for
    what is sealed.
    """

    def __init__(
        self,
        open_store: Callable[[], ArtifactStore],
        uid: str,
        namespace: str,
        population: str,
        sign: Sign | None = None,
    ) -> None:
        self._open_store = open_store
        self._sign = sign
        self._whose = (namespace, population)
        self._known: tuple[StoredLog, Contents] | None = None
        self.uid = uid
        self.lock = asyncio.Lock()
        self.told = ""

    def length(self) -> int:
        """Give the last sequence that is kept; 0 where nothing is. Raises LogOutOfReach."""
        with _out_of_reach():
            return self._opened()[1].length

    def before(self, sequence: int) -> list[Entry]:
        """Read all sealed entries before a sequence. Raises LogOutOfReach, LogBroken."""
        found: list[Entry] = []
        with _out_of_reach():
            stored, contents = self._opened()
            for segment in stored.sealed(contents):
                wanted = segment.lines[: max(0, sequence - segment.first)]
                found += [entry_of_line(line, "an entry of a segment") for line in wanted]
        if len(found) < sequence - 1:
            first, last = len(found) + 1, sequence - 1
            raise LogBroken(
                f"decisions {first}-{last} are neither in the cluster nor sealed in the store; run "
                f"kubectl ecology log rebuild {self._whose[1]}"
            )
        return found

    def whole(self) -> int:
        """Give the last sequence up to which nothing is missing. Raises StoreError."""
        return self._opened()[1].whole

    def sealed(self) -> int:
        """Give the last sequence in a segment. Raises StoreError."""
        return self._opened()[1].sealed

    def keep(self, entries: Sequence[Entry]) -> None:
        """Keep entries one by one. Raises StoreError."""
        stored, contents = self._opened()
        stored.describe(*self._whose)
        done: list[int] = []
        try:
            for entry in entries:
                stored.keep(entry.sequence, line_of(entry))
                done.append(entry.sequence)
        finally:
            self._known = (stored, Contents(contents.segments, contents.entries.union(done)))

    def seal(self, entries: Sequence[Entry], size: int) -> Segment:
        """Seal the next entries into a segment, sign it, and read it back. Raises StoreError, LogBroken."""
        stored, contents = self._opened()
        stored.describe(*self._whose)
        first = contents.sealed + 1
        before = self.newest() if contents.segments else None
        if before is not None and before.signature is not None and self._sign is None:
            # One that is not signed after one that is could never be verified again.
            raise LogBroken(
                f"{before.name} is signed, and this operator has no key to sign the next one; "
                "give it one by --log-key-file"
            )
        lines = [line_of(e) for e in entries if first <= e.sequence < first + size]
        chain = Chain(contents.sealed, _last_digest(before))
        for line in lines:
            chain.follow(line)
        if len(lines) != size:
            raise LogBroken(f"decisions {chain.sequence + 1}-{first + size - 1} are not in the cluster")
        root = before.root if before is not None else GENESIS
        run = sealed_segment(self._whose[1], first, lines, root)
        try:
            segment = stored.seal(signed(self.uid, run, self._sign))
        except StoreError:
            self._known = None  # it may be there, or somebody else's: the next look lists the store anew
            raise
        self._known = (stored, Contents((*contents.segments, (first, segment.last)), contents.entries))
        return segment

    def newest(self) -> Segment:
        """Read the newest segment, of which there is one. Raises StoreError, LogBroken."""
        stored, contents = self._opened()
        return stored.segment(*contents.segments[-1])

    def digests(self, first: int, last: int) -> dict[int, str]:
        """Give the digests of sealed entries by their sequence. Raises StoreError, LogBroken."""
        stored, contents = self._opened()
        found: dict[int, str] = {}
        for start, end in contents.segments:
            if end >= first and start <= last:
                lines = stored.segment(start, end).lines
                entries = (entry_of_line(line, "an entry of a segment") for line in lines)
                found |= {e.sequence: e.digest for e in entries}
        return found

    def release(self) -> None:
        """Remove the files of entries that a segment holds. Raises StoreError."""
        stored, contents = self._opened()
        stored.release(contents)
        left = frozenset(s for s in contents.entries if s > contents.sealed)
        self._known = (stored, Contents(contents.segments, left))

    def _opened(self) -> tuple[StoredLog, Contents]:
        if self._known is None:
            stored = StoredLog(self._open_store().files, self.uid)
            self._known = (stored, stored.contents())
        return self._known


def _last_digest(segment: Segment | None) -> str:
    if segment is None:
        return GENESIS
    return entry_of_line(segment.lines[-1], "the last entry of a segment").digest


@contextmanager
def _out_of_reach() -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        raise LogOutOfReach(str(error)) from error
