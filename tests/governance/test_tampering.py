"""Ten thousand random tampers of a real log, each of them found."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from modelecology.governance.chain import entry_of, entry_of_line, line_of
from modelecology.governance.log import GENESIS, Entry, LogBroken, sealed
from modelecology.governance.segments import Segment, dumped, loaded_segment, sealed_segment
from modelecology.governance.verify import Copy, Tip, Whole, verify
from tests.upgrade.releases import Release

TAMPERS = 10_000
SEALED = 40
PRUNED = 33  # the seven after it are sealed, and not deleted yet
Fault = Callable[["Desk", random.Random], None]


def real_log() -> list[Entry]:
    """The log that a release has left."""
    return [entry_of(body["spec"]) for body in Release("v0.1.0").read_decisions()]


@dataclass
class Desk:
    """A log as the cluster and the store have it; segments are bytes, as they lie there."""

    objects: dict[int, bytes]
    segments: dict[tuple[int, int], bytes]
    entries: dict[int, bytes]
    tips: list[Tip]

    @classmethod
    def of(cls, log: list[Entry], tip: Entry | None = None) -> Desk:
        """Lay a log out: half of it sealed in segments of ten, a few of these not pruned yet."""
        lines = {e.sequence: line_of(e) for e in log}
        segments, root = {}, GENESIS
        for first in range(1, SEALED, 10):
            found = sealed_segment("desk", first, [lines[s] for s in range(first, first + 10)], root)
            segments[first, found.last], root = dumped(found), found.root
        named = tip or log[-1]
        return cls(
            {s: line for s, line in lines.items() if s > PRUNED},
            segments,
            {s: line for s, line in lines.items() if s > SEALED},
            [Tip("the status of desk", named.sequence, named.digest)],
        )

    def copied(self) -> Desk:
        """A copy that may be changed."""
        return Desk(dict(self.objects), dict(self.segments), dict(self.entries), list(self.tips))

    def verified(self) -> Whole:
        """Verify it, as the command does."""
        return verify(
            self.objects,
            Copy(self._read(), frozenset(self.entries), self.entries.__getitem__, "u1"),
            self.tips,
        )

    def _read(self) -> list[Segment]:
        found, root, after = [], GENESIS, 0
        for (first, last), content in sorted(self.segments.items()):
            segment = loaded_segment(content, f"segment {first}-{last}")
            if (segment.first, segment.last, segment.previous_root) != (after + 1, last, root):
                raise LogBroken(f"segment {first}-{last} does not follow the one before it")
            found.append(segment)
            root, after = segment.root, last
        return found


def edit(entry: Entry, chance: random.Random) -> Entry:
    """Change one thing that an entry says."""
    changes: dict[str, Any] = {
        "message": entry.message + "!",
        "reason": "GapProven" if entry.reason != "GapProven" else "Restored",
        "actor": "eve",
        "subject": replace(entry.subject, key="e" * 64),
        "cost": replace(entry.cost, tokens=entry.cost.tokens + 1),
        "premises": replace(entry.premises, evidence="sha256:" + "e" * 64),
        "checks": entry.checks[:-1] if entry.checks else (),
    }
    names = [n for n, value in changes.items() if value != getattr(entry, n)]
    name = chance.choice(names)
    found = replace(entry, **{name: changes[name]})
    # A careful forger writes the digest anew.
    return sealed(found) if chance.random() < 0.5 else found


def forked(log: list[Entry], at: int, chance: random.Random) -> list[Entry]:
    """Another history from a decision on, in which every digest is right."""
    found = log[: at - 1]
    previous = found[-1].digest if found else GENESIS
    for entry in log[at - 1 :]:
        body = replace(entry, previous=previous)
        if entry.sequence == at:
            body = replace(body, message=f"forged {chance.random()}")
        found.append(sealed(body))
        previous = found[-1].digest
    return found


def an_edit(desk: Desk, chance: random.Random) -> None:
    where = chance.choice((desk.objects, desk.entries))
    sequence = chance.choice(list(where))
    where[sequence] = line_of(edit(entry_of_line(where[sequence], "it"), chance))


def an_edit_in_both(desk: Desk, chance: random.Random) -> None:
    sequence = chance.choice(list(desk.entries))
    line = line_of(edit(entry_of_line(desk.entries[sequence], "it"), chance))
    desk.objects[sequence] = desk.entries[sequence] = line


def a_flipped_bit(desk: Desk, chance: random.Random) -> None:
    where: dict[Any, bytes] = chance.choice((desk.objects, desk.entries, desk.segments))
    key = chance.choice(list(where))
    content = bytearray(where[key])
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    where[key] = bytes(content)


def a_drop(desk: Desk, chance: random.Random) -> None:
    where: dict[Any, bytes] = chance.choice((desk.objects, desk.entries, desk.segments))
    # The oldest object that is sealed may go, and the newest copies may be to come.
    keys = sorted(where)
    keys = keys[1:] if where is desk.objects else keys[:-1] if where is desk.entries else keys
    del where[chance.choice(keys)]


def a_drop_in_both(desk: Desk, chance: random.Random) -> None:
    sequence = chance.choice(list(desk.entries))
    del desk.entries[sequence], desk.objects[sequence]


def a_line_less(desk: Desk, chance: random.Random) -> None:
    key = chance.choice(list(desk.segments))
    lines = desk.segments[key].split(b"\n")
    del lines[chance.randrange(1, len(lines) - 1)]
    desk.segments[key] = b"\n".join(lines)


def a_swap(desk: Desk, chance: random.Random) -> None:
    where: dict[Any, bytes] = chance.choice((desk.objects, desk.entries, desk.segments))
    one, other = chance.sample(list(where), 2)
    where[one], where[other] = where[other], where[one]


def a_swap_in_a_segment(desk: Desk, chance: random.Random) -> None:
    key = chance.choice(list(desk.segments))
    lines = desk.segments[key].split(b"\n")
    one, other = chance.sample(range(1, len(lines) - 1), 2)
    lines[one], lines[other] = lines[other], lines[one]
    desk.segments[key] = b"\n".join(lines)


def a_lost_end(desk: Desk, chance: random.Random) -> None:
    count = chance.randrange(1, len(desk.entries))
    both = chance.random() < 0.5
    for sequence in sorted(desk.entries)[-count:]:
        del desk.objects[sequence]
        if both:
            del desk.entries[sequence]


def a_file_cut_short(desk: Desk, chance: random.Random) -> None:
    where: dict[Any, bytes] = chance.choice((desk.entries, desk.segments))
    key = chance.choice(list(where))
    where[key] = where[key][: chance.randrange(len(where[key]))]


def a_fork(desk: Desk, chance: random.Random) -> None:
    at, other = chance.choice(FORKS)
    other = other.copied()
    # Somebody who can write the store, or the cluster, or both; the tip was noted by a status.
    if at > SEALED:
        which = chance.randrange(3)
        if which != 1:
            desk.objects = other.objects
        if which != 0:
            desk.entries = other.entries
    else:
        desk.segments, desk.entries, desk.objects = other.segments, other.entries, other.objects


LOG = real_log()
WHOLE = Desk.of(LOG)
FORKS = tuple((at, Desk.of(forked(LOG, at, random.Random(at)), LOG[-1])) for at in range(1, len(LOG) + 1, 5))
FAULTS: tuple[Fault, ...] = (
    an_edit,
    an_edit_in_both,
    a_flipped_bit,
    a_drop,
    a_drop_in_both,
    a_line_less,
    a_swap,
    a_swap_in_a_segment,
    a_lost_end,
    a_file_cut_short,
    a_fork,
)


def test_the_log_itself_is_whole() -> None:
    whole = Desk.of(LOG).verified()
    assert (whole.decisions, whole.segments, whole.uncopied) == (len(LOG), SEALED // 10, 0)
    assert whole.without_inputs == len(LOG)


def test_every_one_of_ten_thousand_random_tampers_is_found() -> None:
    chance = random.Random(20261127)
    done: Counter[str] = Counter()
    missed = []
    lines: set[str] = set()  # beside the first of what was said
    for _ in range(TAMPERS):
        desk, fault = WHOLE.copied(), chance.choice(FAULTS)
        fault(desk, chance)
        try:
            desk.verified()
        except LogBroken as error:
            done[fault.__name__] += 1
            lines.update(str(error).splitlines()[1:])
        else:
            missed.append(fault.__name__)
    assert missed == []
    assert lines == set()
    assert len(done) == len(FAULTS)


def test_an_end_that_is_lost_everywhere_and_named_by_nobody_is_not_found() -> None:
    shorter = Desk.of(LOG[:-3])
    assert shorter.verified().decisions == len(LOG) - 3
    shorter.tips = [Tip("--tip", LOG[-1].sequence, LOG[-1].digest)]
    with pytest.raises(LogBroken, match=f"--tip names decision {len(LOG)}, but the log ends"):
        shorter.verified()


def test_copies_that_are_to_come_yet_are_counted_and_are_no_break() -> None:
    desk = Desk.of(LOG)
    for sequence in sorted(desk.entries)[-2:]:
        del desk.entries[sequence]
    assert desk.verified().uncopied == 2


def test_without_the_store_a_pruned_log_is_no_whole_one() -> None:
    with pytest.raises(LogBroken, match=f"the log begins with decision {PRUNED + 1}; what came before is in"):
        verify(WHOLE.objects, None)
    everything = {e.sequence: line_of(e) for e in LOG}
    assert verify(everything, None).decisions == len(LOG)


def test_a_segment_that_calls_itself_another_populations_is_found() -> None:
    desk = WHOLE.copied()
    desk.segments[11, 20] = desk.segments[11, 20].replace(b'"population":"desk"', b'"population":"dusk"', 1)
    with pytest.raises(LogBroken, match="segment 11-20 is of dusk"):
        desk.verified()


def test_inputs_that_a_decision_names_have_to_be_there() -> None:
    named = sealed(replace(LOG[0], premises=replace(LOG[0].premises, inputs="sha256:" + "1" * 64)))
    lines = {1: line_of(named)}
    assert verify(lines, None, inputs=frozenset((str(named.premises.inputs),))).without_inputs == 0
    with pytest.raises(LogBroken, match=r"decision 1 was made from sha256:1+, which the store does not keep"):
        verify(lines, None, inputs=frozenset())
