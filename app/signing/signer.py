"""Signatures of what this installation gives out, which whoever has its public key verifies without it.

Ed25519 (RFC 8032) over the bytes of a document: ``openssl pkeyutl -verify -rawin`` reads keys and signatures.
"""

from contextlib import suppress

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from sqlalchemy.exc import IntegrityError

from app.core.db import Database, WriteSession
from app.core.db.signing_keys import SigningKey, add_signing_key, list_signing_keys


def sign(database: Database, content: bytes) -> bytes:
    """The signature, of 64 bytes, by the newest key; the first one is made when it is needed."""
    signature: bytes = _private_key(all_keys(database)[0]).sign(content)
    return signature


def new_key(session: WriteSession) -> SigningKey:
    """A key that signs from now on. What earlier ones have signed stays valid."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return add_signing_key(session, pem.decode())


def public_key(key: SigningKey) -> str:
    """In PEM."""
    public = _private_key(key).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def all_keys(database: Database) -> list[SigningKey]:
    """Newest first; there is one at least."""
    with database.reading() as session:
        keys = list_signing_keys(session)
    if not keys:
        # Another process may be first: then that one's is the key.
        with suppress(IntegrityError), database.transaction() as session:
            new_key(session)
        with database.reading() as session:
            keys = list_signing_keys(session)
    return list(keys)


def _private_key(key: SigningKey) -> Ed25519PrivateKey:
    loaded = load_pem_private_key(key.private_key.encode(), password=None)
    assert isinstance(loaded, Ed25519PrivateKey)
    return loaded
