"""Identifiers: a prefix that names the kind, then a ULID, so that text order is order of creation."""

import os
import re
import time
from typing import Literal

Prefix = Literal["prj", "key", "aud", "mdl", "dst", "job", "wrk", "req", "whk", "msg", "upl", "end"]

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ID = re.compile(rf"[a-z]{{3}}_[{_CROCKFORD}]{{26}}")


def is_id(prefix: Prefix, text: str) -> bool:
    """Whether a text from outside can be an identifier at all."""
    return text.startswith(prefix) and _ID.fullmatch(text) is not None


def new_id(prefix: Prefix) -> str:
    """An identifier such as ``job_01JD3R8M2Z…``: 48 bits of milliseconds, 20 of nanoseconds, 60 random."""
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    number = milliseconds << 80 | nanoseconds << 60 | int.from_bytes(os.urandom(8)) >> 4
    digits = []
    for _ in range(26):
        number, digit = divmod(number, 32)
        digits.append(_CROCKFORD[digit])
    return f"{prefix}_{''.join(reversed(digits))}"
