"""A whole log looked at from outside: what the cluster has, what the store keeps, and what statuses name.

What is found: every edited, missing, moved or forked entry, and a lost end as soon as anything still names
it: the store's copy, a status, or a tip that somebody wrote down. An end that is cut off everywhere at once,
and of which nobody kept the tip, is not found: what is left is a whole log, only an older one.

With public keys, all that is sealed must be vouched for too. Segments from before signing began are, by the
first that was signed, whose entries follow from theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from .chain import Chain
from .log import LogBroken
from .segments import Keys, Segment, check_signature


@dataclass(frozen=True, slots=True)
class Copy:
    """What the store keeps of a log: checked segments in their order, and single entries by sequence."""

    segments: Iterable[Segment]
    entries: frozenset[int]
    line: Callable[[int], bytes]
    log: str  # its uid, which a signature names


@dataclass(frozen=True, slots=True)
class Tip:
    """A decision that somebody names: a status, or a person."""

    who: str
    sequence: int
    digest: str


@dataclass(frozen=True, slots=True)
class Whole:
    """A log without a break."""

    decisions: int
    digest: str
    segments: int
    uncopied: int  # decisions that are not in the store yet
    without_inputs: int  # decisions that name no inputs
    signed: int = 0  # segments
    signed_to: int = 0  # last decision of the last of them
    signers: tuple[str, ...] = ()  # digests of the keys, in the order in which they come


def verify(
    objects: Mapping[int, bytes] | None,
    copy: Copy | None,
    tips: Iterable[Tip] = (),
    inputs: frozenset[str] | None = None,
    keys: Keys | None = None,
) -> Whole:
    """Follow a log from its first entry to its last. Raises LogBroken with the first break.

    `objects` are the lines of the cluster's decisions; None looks at the store alone. `inputs` are the
    digests that the store keeps; None does not look for them. `keys` are those that must have signed what is
    sealed; None counts signatures without a check.
    """
    return _Look(objects, copy, tips, inputs, keys).run()


class _Signatures:
    """Follows who vouches for segments."""

    def __init__(self, log: str, keys: Keys | None) -> None:
        self._log = log
        self._keys = keys
        self._last: Segment | None = None
        self.count = 0
        self.to = 0
        self.by: dict[str, None] = {}  # in their order

    def take(self, segment: Segment) -> None:
        """Take one more segment. Raises LogBroken."""
        self._last = segment
        if segment.signature is None:
            if self._keys is not None and self.count:
                raise LogBroken(f"{segment.name} is not signed, and segments before it are")
            return
        if self._keys is not None:
            check_signature(self._log, segment, self._keys)
        self.count += 1
        self.to = segment.last
        self.by[segment.signature.key] = None

    def end(self) -> None:
        """See that the last one was signed. Raises LogBroken."""
        if self._keys is not None and self._last is not None and not self.count:
            raise LogBroken(f"{self._last.name} is not signed, and none before it is")


class _Look:
    def __init__(
        self,
        objects: Mapping[int, bytes] | None,
        copy: Copy | None,
        tips: Iterable[Tip],
        inputs: frozenset[str] | None,
        keys: Keys | None,
    ) -> None:
        self._objects = objects
        self._copy = copy
        self._signatures = _Signatures(copy.log if copy is not None else "", keys)
        self._inputs = inputs
        self._chain = Chain()
        self._tips: dict[int, list[Tip]] = {}
        for tip in tips:
            self._tips.setdefault(tip.sequence, []).append(tip)
        self._without_inputs = 0

    def run(self) -> Whole:
        first = min(self._objects, default=0) if self._objects else 0
        segments = 0
        for segment in self._copy.segments if self._copy is not None else ():
            segments += 1
            for line in segment.lines:
                self._take(line, "its segment", must=0 < first <= self._chain.sequence + 1)
            if self._chain.population != segment.population:
                raise LogBroken(f"{segment.name} is of {segment.population}")
            self._signatures.take(segment)
        self._signatures.end()
        sealed = self._chain.sequence
        if self._copy is None and first > 1:
            raise LogBroken(f"the log begins with decision {first}; what came before is in the store alone")
        kept = frozenset[int]() if self._copy is None else self._copy.entries
        last = max((0, *(self._objects or ()), *kept))
        for sequence in range(sealed + 1, last + 1):
            self._single(sequence, kept)
        self._check_ends()
        uncopied = 0
        if self._copy is not None and self._objects is not None:
            uncopied = sum(s > sealed and s not in kept for s in self._objects)
        return Whole(
            self._chain.sequence,
            self._chain.digest,
            segments,
            uncopied,
            self._without_inputs,
            self._signatures.count,
            self._signatures.to,
            tuple(self._signatures.by),
        )

    def _single(self, sequence: int, kept: frozenset[int]) -> None:
        if self._copy is not None and sequence in kept:
            self._take(self._copy.line(sequence), "the store", must=self._objects is not None)
        elif self._objects is not None and sequence in self._objects:
            if kept and sequence < max(kept):
                # They are copied in their order, so only the newest can be missing yet.
                raise LogBroken(f"decision {sequence} is missing in the store, which keeps later ones")
            self._take(self._objects[sequence], "the cluster", must=False)
        else:
            raise LogBroken(f"decision {sequence} is missing")

    def _take(self, line: bytes, where: str, *, must: bool) -> None:
        sequence = self._chain.sequence + 1
        ours = None if self._objects is None else self._objects.get(sequence)
        if ours is None and must:
            raise LogBroken(f"decision {sequence} is missing in the cluster; {where} keeps it")
        body = self._chain.follow(line)
        if ours is not None and ours != line:
            raise LogBroken(f"decision {sequence} is another one in the cluster than in {where}")
        for tip in self._tips.get(sequence, ()):
            if tip.digest != self._chain.digest:
                raise LogBroken(f"decision {sequence} is not the one that {tip.who} names")
        found = body.get("premises", {}).get("inputs")
        if found is None:
            self._without_inputs += 1
        elif self._inputs is not None and found not in self._inputs:
            raise LogBroken(f"decision {sequence} was made from {found}, which the store does not keep")

    def _check_ends(self) -> None:
        end = self._chain.sequence
        for sequence in sorted(self._tips):
            if sequence > end:
                who = self._tips[sequence][0].who
                raise LogBroken(f"{who} names decision {sequence}, but the log ends with {end}")
