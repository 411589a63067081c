"""Signed segments: what is signed cannot be changed, moved or replaced, and says which segment was."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelecology.governance.chain import entry_of, line_of
from modelecology.governance.log import GENESIS, Entry, LogBroken, sealed
from modelecology.governance.plain import digest_of_bytes
from modelecology.governance.segments import (
    Fits,
    Keys,
    Segment,
    Sign,
    Signature,
    check_signature,
    dumped,
    loaded_segment,
    sealed_segment,
    signed,
)
from modelecology.governance.verify import Copy, Whole, verify
from tests.upgrade.releases import Release

LOG = [entry_of(body["spec"]) for body in Release("v0.1.0").read_decisions()][:40]
SIZE = 10
OURS, THEIRS = b"ours", b"theirs"


def _mac(secret: bytes, statement: bytes) -> bytes:
    return hmac.new(secret, statement, hashlib.sha512).digest()


def by(secret: bytes) -> Sign:
    """A key as the core knows it; that one secret both signs and checks is no matter here."""
    return lambda statement: Signature(digest_of_bytes(secret), _mac(secret, statement).hex())


def keys(*secrets: bytes) -> Keys:
    return {digest_of_bytes(secret): fits(secret) for secret in secrets}


def fits(secret: bytes) -> Fits:
    return lambda statement, found: found == _mac(secret, statement)


def segments(log: Sequence[Entry], signs: Sequence[Sign | None], uid: str = "u1") -> list[Segment]:
    """A log in segments, each signed as said."""
    found, root = [], GENESIS
    for number, sign in enumerate(signs):
        lines = [line_of(e) for e in log[number * SIZE : (number + 1) * SIZE]]
        segment = sealed_segment("desk", number * SIZE + 1, lines, root)
        found.append(signed(uid, segment, sign))
        root = segment.root
    return found


def verified(found: Sequence[Segment], known: Keys | None, uid: str = "u1") -> Whole:
    """Write the segments, read them again, and verify them."""
    return read_and_verified([dumped(each) for each in found], known, uid)


def read_and_verified(lying: Sequence[bytes], known: Keys | None, uid: str = "u1") -> Whole:
    """Verify what lies in the store."""
    read = [loaded_segment(content, f"segment {number}") for number, content in enumerate(lying, 1)]
    return verify(None, Copy(read, frozenset(), lambda _: b"", uid), keys=known)


SIGNED = segments(LOG, [by(OURS)] * 4)
PLAIN = segments(LOG, [None] * 4)


def test_a_signed_log_is_whole_and_says_who_vouches_for_how_much() -> None:
    whole = verified(SIGNED, keys(OURS))
    assert (whole.signed, whole.signed_to, whole.signers) == (4, 40, (digest_of_bytes(OURS),))
    assert verified(SIGNED, None) == whole


def test_a_segment_without_a_signature_is_written_as_it_always_was() -> None:
    assert b"signature" not in dumped(PLAIN[0]).split(b"\n")[0]
    assert signed("u1", PLAIN[0], None) is PLAIN[0]
    assert [dumped(s).split(b"\n", 1)[1] for s in SIGNED] == [dumped(s).split(b"\n", 1)[1] for s in PLAIN]


def test_keys_may_follow_one_another_and_each_has_to_be_given() -> None:
    log = segments(LOG, [by(THEIRS), by(THEIRS), by(OURS), by(OURS)])
    assert verified(log, keys(OURS, THEIRS)).signers == (digest_of_bytes(THEIRS), digest_of_bytes(OURS))
    with pytest.raises(
        LogBroken, match=f"segment 1-10 is signed with another key: {digest_of_bytes(THEIRS)}"
    ):
        verified(log, keys(OURS))


def test_what_was_sealed_before_signing_began_is_vouched_for_by_what_follows() -> None:
    log = segments(LOG, [None, None, by(OURS), by(OURS)])
    whole = verified(log, keys(OURS))
    assert (whole.segments, whole.signed, whole.signed_to) == (4, 2, 40)


@pytest.mark.parametrize(
    ("signs", "said"),
    [
        ([None] * 4, "segment 31-40 is not signed, and none before it is"),
        ([by(OURS), None, by(OURS), by(OURS)], "segment 11-20 is not signed, and segments before it are"),
        ([by(OURS), by(OURS), by(OURS), None], "segment 31-40 is not signed, and segments before it are"),
    ],
    ids=["all", "within", "the last"],
)
def test_once_signing_began_every_segment_must_be_signed(signs: list[Sign | None], said: str) -> None:
    with pytest.raises(LogBroken, match=said):
        verified(segments(LOG, signs), keys(OURS))
    # Nobody can say more of it without a key.
    assert verified(segments(LOG, signs), None).signed == len([s for s in signs if s])


def test_a_forger_who_writes_all_digests_anew_cannot_sign() -> None:
    forged = [sealed(replace(LOG[0], message="forged"))]
    for entry in LOG[1:]:
        forged.append(sealed(replace(entry, previous=forged[-1].digest)))
    other = segments(forged, [None] * 4)
    with_old = [replace(o, signature=s.signature) for o, s in zip(other, SIGNED, strict=True)]
    assert verified(with_old, None).decisions == 40
    with pytest.raises(LogBroken, match="segment 1-10 has a signature that does not fit"):
        verified(with_old, keys(OURS))
    with pytest.raises(LogBroken, match="segment 1-10 is signed with another key"):
        verified(segments(forged, [by(THEIRS)] * 4), keys(OURS))


def test_a_signature_is_good_for_one_log_only() -> None:
    with pytest.raises(LogBroken, match="segment 1-10 has a signature that does not fit"):
        verified(SIGNED, keys(OURS), uid="u2")


def test_all_that_a_header_says_is_signed() -> None:
    changes: dict[str, Any] = {
        "population": "d",
        "first": 2,
        "last": 11,
        "root": GENESIS,
        "previous_root": SIGNED[1].root,
    }
    check_signature("u1", SIGNED[0], keys(OURS))
    with pytest.raises(LogBroken, match="segment 1-10 is not signed"):
        check_signature("u1", PLAIN[0], keys(OURS))
    for name, value in changes.items():
        with pytest.raises(LogBroken, match="does not fit"):
            check_signature("u1", replace(SIGNED[0], **{name: value}), keys(OURS))


@given(place=st.integers(0, 3), data=st.data())
def test_no_byte_of_a_signed_segment_can_be_changed(place: int, data: st.DataObject) -> None:
    lying = [dumped(each) for each in SIGNED]
    content = bytearray(lying[place])
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[at]))
    lying[place] = bytes(content)
    with pytest.raises(LogBroken):
        read_and_verified(lying, keys(OURS))


@given(data=st.data())
def test_no_byte_of_a_header_can_be_changed_left_out_or_put_in(data: st.DataObject) -> None:
    head, rest = dumped(SIGNED[0]).split(b"\n", 1)
    at = data.draw(st.integers(0, len(head) - 1))
    cut = data.draw(st.integers(0, 2))
    put = data.draw(st.binary(max_size=2))
    other = head[:at] + put + head[at + cut :]
    if other == head:
        return
    with pytest.raises(LogBroken):
        check_signature("u1", loaded_segment(other + b"\n" + rest, "it"), keys(OURS))


@given(order=st.permutations(range(4)), own=st.booleans())
def test_signatures_cannot_be_exchanged(order: list[int], own: bool) -> None:
    found = [replace(s, signature=SIGNED[at].signature) for s, at in zip(SIGNED, order, strict=True)]
    if order == [0, 1, 2, 3]:
        assert verified(found, keys(OURS)).signed == 4
    else:
        with pytest.raises(LogBroken, match="has a signature that does not fit"):
            verified(found, keys(OURS, THEIRS) if own else keys(OURS))


@pytest.mark.parametrize(
    "signature",
    [
        "null",
        "{}",
        '{"key":1,"value":2}',
        f'{{"key":"sha256:{"a" * 64}","value":"{"A" * 128}"}}',
        "[]",
        '"a"',
    ],
)
def test_what_is_no_signature_is_refused(signature: str) -> None:
    head, rest = dumped(PLAIN[0]).split(b"\n", 1)
    broken = head[:-1] + f',"signature":{signature}}}'.encode() + b"\n" + rest
    with pytest.raises(LogBroken, match="it has a header that cannot be read"):
        loaded_segment(broken, "it")


@pytest.mark.parametrize("first", ["1e999", "NaN", '"\\ud800"', "[1]"])
def test_a_number_that_is_none_is_refused(first: str) -> None:
    content = dumped(PLAIN[0]).replace(b'"first":1,', f'"first":{first},'.encode(), 1)
    with pytest.raises(LogBroken, match="it has a header that cannot be read"):
        loaded_segment(content, "it")
