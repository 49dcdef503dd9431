"""The text of an API key: ``sqz_``, the key's id, a secret of 256 random bits."""

import hashlib
import re
import secrets

_TOKEN = re.compile(r"sqz_([0-9A-Z]{26})_[0-9a-f]{64}")


def new_token(key_id: str) -> str:
    """A token with a fresh secret. Whoever has it is the key: it is shown once and never stored."""
    return f"sqz_{key_id.removeprefix('key_')}_{secrets.token_hex(32)}"


def key_id_of(token: str) -> str | None:
    """The id of the key that a token claims to be; None where it is no token at all."""
    match = _TOKEN.fullmatch(token)
    return match and f"key_{match[1]}"


def digest_of(token: str) -> str:
    """What is stored of a token."""
    return hashlib.sha256(token.encode()).hexdigest()
