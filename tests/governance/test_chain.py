"""Lines and segments: what they hold comes back, and what was changed is refused."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelecology.governance.chain import Chain, entry_of, entry_of_line, line_of, parted
from modelecology.governance.log import GENESIS, Entry, LogBroken, body_of, canonical, fold, sealed
from modelecology.governance.plain import digest_of_bytes
from modelecology.governance.segments import dumped, loaded_segment, merkle_root, sealed_segment
from tests.upgrade.releases import Release

LOG = [entry_of(body["spec"]) for body in Release("v0.1.0").read_decisions()]
LINES = [line_of(entry) for entry in LOG]


def test_a_line_carries_the_canonical_bytes_and_comes_back_as_the_entry() -> None:
    for entry, line in zip(LOG, LINES, strict=True):
        assert parted(line, "it") == (canonical(entry), entry.digest)
        assert entry_of_line(line, "it") == entry
        assert json.loads(line) == {"body": body_of(entry), "digest": entry.digest}


def test_the_chain_says_of_a_log_what_its_fold_says() -> None:
    chain = Chain()
    for line in LINES:
        chain.follow(line)
    state = fold(LOG)
    assert (chain.sequence, chain.digest, chain.population) == (state.sequence, state.digest, "desk")


def test_a_chain_may_begin_in_the_middle_of_a_log() -> None:
    chain = Chain(LOG[19].sequence, LOG[19].digest)
    for line in LINES[20:]:
        chain.follow(line)
    assert chain.digest == LOG[-1].digest


@pytest.mark.parametrize(
    "line",
    [b"", b"{}", LINES[0][:-1], LINES[0][1:], LINES[0] + b" ", b'{"body":[],"digest":"' + b"x" * 71 + b'"}'],
)
def test_what_is_no_line_is_refused(line: bytes) -> None:
    with pytest.raises(LogBroken):
        Chain().follow(line)


def resealed(entry: Entry, **changes: object) -> bytes:
    """The line of a body that was changed, with the digest that this body has."""
    content = json.dumps(
        {**body_of(entry), **changes}, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode()
    return b'{"body":' + content + b',"digest":"' + digest_of_bytes(content).encode() + b'"}'


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sequence": 2}, "decision 1 is missing or forked: decision 2 is in its place"),
        ({"previous": LOG[0].digest}, "does not name the digest"),
        ({"action": "Promote"}, "decision 1: Promote does not lead from"),
        ({"action": "Dream"}, "decision 1: 'Dream'"),
        ({"subject": "dates"}, "decision 1 cannot be read"),
    ],
)
def test_the_first_break_is_named(changes: dict[str, object], said: str) -> None:
    with pytest.raises(LogBroken, match=said):
        Chain().follow(resealed(LOG[0], **changes))


def test_a_revision_that_is_elsewhere_and_a_uid_that_has_another_name_break_the_chain() -> None:
    chain = Chain()
    chain.follow(LINES[0])
    again = {"sequence": 2, "previous": LOG[0].digest}
    with pytest.raises(LogBroken, match=r"takes .* from Pending, but it is"):
        chain.follow(resealed(LOG[0], **again))
    other = {**body_of(LOG[0])["subject"], "specialist": "another"}
    with pytest.raises(LogBroken, match=f"calls {LOG[0].subject.uid} another"):
        chain.follow(resealed(LOG[0], **again, subject=other))
    with pytest.raises(LogBroken, match="is of population other, not desk"):
        chain.follow(resealed(LOG[0], **again, population="other"))


def test_the_fold_too_refuses_another_name_for_a_uid() -> None:
    second = next(e for e in LOG if e.sequence > 1 and e.subject.uid == LOG[0].subject.uid)
    named = replace(second.subject, specialist="another")
    forged = sealed(replace(second, sequence=2, previous=LOG[0].digest, subject=named))
    with pytest.raises(LogBroken, match=f"calls {LOG[0].subject.uid} another, but it is"):
        fold([LOG[0], forged])


def test_an_entry_that_cannot_be_read_is_a_broken_log() -> None:
    body = {**body_of(LOG[0]), "digest": LOG[0].digest}
    with pytest.raises(LogBroken, match=r"decision 1 cannot be read: .* a newer version wrote it"):
        entry_of({**body, "mood": "good"})
    with pytest.raises(LogBroken, match="decision 1 cannot be read"):
        entry_of({**body, "action": "Dream"})


def test_a_segment_comes_back_and_every_flipped_bit_of_it_is_found() -> None:
    segment = sealed_segment("desk", 11, LINES[10:20], "sha256:" + "0" * 64)
    content = dumped(segment)
    assert loaded_segment(content, "it") == segment
    chance = random.Random(7)
    for _ in range(500):
        changed = bytearray(content)
        changed[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        try:
            found = loaded_segment(bytes(changed), "it")
            chain = Chain(10, LOG[9].digest)
            for line in found.lines:
                chain.follow(line)
        except LogBroken:
            continue
        # What the header says of population, bounds and the root before it is compared by whoever reads it.
        assert found != segment
        assert found.lines == segment.lines


@given(st.lists(st.integers(0, 2**64), min_size=1, max_size=40, unique=True))
def test_the_root_is_another_one_for_any_other_run_of_digests(numbers: list[int]) -> None:
    digests = [f"sha256:{n:064x}" for n in numbers]
    root = merkle_root(digests)
    assert root == merkle_root(list(digests))
    assert root != merkle_root([*digests, digests[-1]])
    assert len(digests) == 1 or root != merkle_root(digests[1:])
    assert digests == digests[::-1] or root != merkle_root(digests[::-1])


def test_no_digests_have_no_root_of_their_own() -> None:
    assert merkle_root([]) == GENESIS


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is cut short"),
        (b"{}\n", "header that this version does not know"),
        (b"nothing\n", "header that cannot be read"),
        (b"[]\n", "header that cannot be read"),
        (dumped(sealed_segment("desk", 1, LINES[:3], GENESIS))[:-1], "is cut short"),
        (
            b"\n".join(dumped(sealed_segment("desk", 1, LINES[:3], GENESIS)).split(b"\n")[:-2]) + b"\n",
            "has 2 entries where its header says 1-3",
        ),
        (
            dumped(sealed_segment("desk", 1, LINES[:3], GENESIS)).replace(LINES[2], LINES[3]),
            "its Merkle root does not match",
        ),
    ],
)
def test_what_is_no_whole_segment_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(LogBroken, match=said):
        loaded_segment(content, "it")
