"""How often a key may send requests, and how clients are told of limits."""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final

from starlette.types import Scope as Connection

_MINUTE_S: Final = 60


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a limit."""

    policy: str
    limit: int
    window_s: int
    left: int
    reset_s: float
    """Until all of it is there again."""
    wait_s: float = 0.0
    """Until what was asked for may be had; 0: now."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class RequestLimits:
    """A bucket of tokens for each key, in this process: a request takes one, and time fills it up again.

    Args:
        size: for how many keys there are buckets at once; without one, it is as if it were full.
        clock: in seconds.
    """

    def __init__(self, *, size: int = 10_000, clock: Callable[[], float] = monotonic) -> None:
        self._size = size
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, name: str, per_minute: int) -> Allowance:
        """Take a token, if there is one."""
        now, rate = self._clock(), per_minute / _MINUTE_S
        bucket = self._buckets.setdefault(name, _Bucket(per_minute, now))
        self._buckets.move_to_end(name)
        if len(self._buckets) > self._size:
            self._buckets.popitem(last=False)
        bucket.tokens = min(per_minute, bucket.tokens + (now - bucket.filled_at) * rate)
        bucket.filled_at = now
        wait_s = max(0.0, (1 - bucket.tokens) / rate)
        if not wait_s:
            bucket.tokens -= 1
        reset_s = (per_minute - bucket.tokens) / rate
        return Allowance("requests", per_minute, _MINUTE_S, int(bucket.tokens), reset_s, wait_s)


def show_allowance(connection: Connection, allowance: Allowance) -> None:
    """Tell the client with the answer (the IETF's draft on RateLimit header fields for HTTP)."""
    state = connection["state"]
    shown = state.setdefault("allowances", [])
    shown.append(allowance)
    state["response_headers"] = {
        "ratelimit-policy": ", ".join(f'"{a.policy}";q={a.limit};w={a.window_s}' for a in shown),
        "ratelimit": ", ".join(f'"{a.policy}";r={a.left};t={math.ceil(a.reset_s)}' for a in shown),
    }
