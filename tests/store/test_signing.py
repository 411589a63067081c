"""Key files: what they may hold, what an unusable one says, and that it tells nothing of its content."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from modelecology.store import KeyUnusable
from modelecology.store.signing import key_id, public_keys, signer

PEM, PKCS8 = Encoding.PEM, PrivateFormat.PKCS8


def private(directory: Path, name: str = "key.pem", key: Ed25519PrivateKey | None = None) -> Path:
    """Lay a private key into a file."""
    file = directory / name
    file.write_bytes((key or Ed25519PrivateKey.generate()).private_bytes(PEM, PKCS8, NoEncryption()))
    return file


def public(directory: Path, key: Ed25519PrivateKey, name: str = "key.pub") -> Path:
    """Lay its public key into a file."""
    file = directory / name
    file.write_bytes(key.public_key().public_bytes(PEM, PublicFormat.SubjectPublicKeyInfo))
    return file


def test_what_a_private_key_signs_fits_its_public_key_and_nothing_else(tmp_path: Path) -> None:
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    found = signer(private(tmp_path, key=key))(b"what is said")
    known = public_keys([public(tmp_path, key), public(tmp_path, other, "other.pub")])
    assert len(known) == 2
    signature = bytes.fromhex(found.value)
    assert known[found.key](b"what is said", signature)
    assert not known[found.key](b"what was said", signature)
    assert not known[found.key](b"what is said", signature[:-1])
    assert not known[key_id(other.public_key())](b"what is said", signature)


def test_a_key_is_named_by_the_digest_of_its_public_half(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert signer(private(tmp_path, key=key))(b"").key == f"sha256:{hashlib.sha256(der).hexdigest()}"


def test_two_signatures_of_one_statement_are_the_same(tmp_path: Path) -> None:
    sign = signer(private(tmp_path))
    assert sign(b"a") == sign(b"a")


def test_a_key_that_is_changed_signs_from_then_on(tmp_path: Path) -> None:
    file = private(tmp_path)
    sign = signer(file)
    before = sign(b"a").key
    private(tmp_path)
    assert sign(b"a").key != before
    file.unlink()
    with pytest.raises(KeyUnusable, match="cannot be read"):
        sign(b"a")


def test_files_that_hold_no_key_for_it_are_refused_without_a_word_of_what_they_hold(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    curve = ec.generate_private_key(ec.SECP256R1())
    wrong = {
        "empty": b"",
        "words": b"correct horse battery staple",
        "cut": private(tmp_path, key=key).read_bytes()[:-60],
        "passphrase": key.private_bytes(PEM, PKCS8, BestAvailableEncryption(b"battery")),
        "curve": curve.private_bytes(PEM, PKCS8, NoEncryption()),
    }
    for name, content in wrong.items():
        file = tmp_path / name
        file.write_bytes(content)
        with pytest.raises(KeyUnusable) as private_error:
            signer(file)
        with pytest.raises(KeyUnusable) as public_error:
            public_keys([file])
        assert (
            str(private_error.value) == f"{file} holds no Ed25519 private key without a passphrase, in PEM."
        )
        assert str(public_error.value) == f"{file} holds no Ed25519 public key, in PEM."
        assert private_error.value.__cause__ is None
    with pytest.raises(KeyUnusable, match="holds no Ed25519 public key"):
        public_keys([private(tmp_path)])
    with pytest.raises(KeyUnusable, match="holds no Ed25519 private key"):
        signer(public(tmp_path, key))


@pytest.mark.parametrize("name", ["missing.pem", "."])
def test_a_file_that_cannot_be_read_says_so(tmp_path: Path, name: str) -> None:
    with pytest.raises(KeyUnusable, match="cannot be read"):
        signer(tmp_path / name)
    with pytest.raises(KeyUnusable, match="cannot be read"):
        public_keys([tmp_path / name])
