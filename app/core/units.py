"""Durations and sizes as people write them: 45s, 1h30m, PT45S; 512MB, 4GiB."""

import re
from contextlib import suppress
from datetime import timedelta
from math import isfinite

from pydantic import TypeAdapter

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_BYTES = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_BYTES |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_BYTES |= {"k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}  # as in the settings of containers
_NUMBER = re.compile(r"\d*\.?\d+")
_PART = r"(\d+(?:\.\d+)?)\s*([a-z]+)"
_ISO: TypeAdapter[timedelta] = TypeAdapter(timedelta)


def read_duration(text: str) -> timedelta:
    """A number of seconds, parts with units, or ISO 8601; not negative.

    Raises:
        ValueError: anything else.
    """
    written = text.strip().lower()
    with suppress(ValueError, OverflowError):  # pydantic's error is a ValueError
        seconds = float(written) if _NUMBER.fullmatch(written) else _sum_of_parts(written, _SECONDS)
        duration = _ISO.validate_python(written.upper()) if seconds is None else timedelta(seconds=seconds)
        if duration >= timedelta(0):
            return duration
    raise ValueError("expected seconds (45) or a duration such as 45s, 2m, 1h30m or PT45S")


def read_size(text: str) -> int:
    """A number of bytes, with a unit of a thousand (kB, MB, GB) or of 1024 (KiB or K, MiB, GiB).

    Raises:
        ValueError: anything else.
    """
    written = text.strip().lower().replace("_", "")
    size = float(written) if written.isdecimal() else _sum_of_parts(written, _BYTES)
    if size is None or not isfinite(size) or size != int(size):
        raise ValueError("expected bytes (1048576) or a size such as 512KiB, 100MB or 4GiB")
    return int(size)


def _sum_of_parts(text: str, units: dict[str, float] | dict[str, int]) -> float | None:
    """The sum of numbers times their units; None where the text is anything else."""
    if not re.fullmatch(rf"(?:{_PART}\s*)+", text):
        return None
    parts = re.findall(_PART, text)
    if any(unit not in units for _, unit in parts):
        return None
    return sum(float(number) * units[unit] for number, unit in parts)
