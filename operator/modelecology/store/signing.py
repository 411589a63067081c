"""Keys that vouch for sealed segments: Ed25519, in PEM files as OpenSSL writes them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from modelecology.governance.segments import Fits, Sign, Signature
from modelecology.store.errors import KeyUnusable


def key_id(key: Ed25519PublicKey) -> str:
    """Give the digest of a public key in DER, as sha256:<64 hex>."""
    content = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return "sha256:" + hashlib.sha256(content).hexdigest()


def signer(file: Path) -> Sign:
    """Sign with the private key in a file, which is read each time, so that it can be changed.

    Raises KeyUnusable at once where it holds none; what is given back raises it too.
    """
    _private_key(file)

    def sign(statement: bytes) -> Signature:
        key = _private_key(file)
        return Signature(key_id(key.public_key()), key.sign(statement).hex())

    return sign


def public_keys(files: Iterable[Path]) -> dict[str, Fits]:
    """Read public keys; gives them by their digests. Raises KeyUnusable."""
    keys = (_public_key(file) for file in files)
    return {key_id(key): _fits(key) for key in keys}


def _fits(key: Ed25519PublicKey) -> Fits:
    def fits(statement: bytes, signature: bytes) -> bool:
        try:
            key.verify(signature, statement)
        except InvalidSignature:
            return False
        return True

    return fits


def _private_key(file: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(_read(file), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        # Never the cause: an error of a parser may tell of what it has read.
        raise KeyUnusable(f"{file} holds no Ed25519 private key without a passphrase, in PEM.") from None
    return key


def _public_key(file: Path) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(_read(file))
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise KeyUnusable(f"{file} holds no Ed25519 public key, in PEM.") from None
    return key


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise KeyUnusable(f"The key file {file} cannot be read: {error.strerror or error}.") from error
