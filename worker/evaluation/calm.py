"""Whether a machine was calm while something was timed: other work makes all times too long."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

_CALM: Final = 1.25
"""Up to this slowdown: clocks and caches differ a little on any machine."""
_SECONDS: Final = 0.03
"""Of a probe."""
_TEXT: Final = bytes(2**18)
"""Hashing this takes a fraction of a millisecond, mostly without interruption, and one thread."""


@dataclass
class Calm:
    """How a fixed computation fared before and after a measurement."""

    slowdown: float = 1.0
    """How many times as long as at its best it took, in the mean of the worse probe."""
    _probes: list[Sequence[float]] = field(default_factory=list)

    @property
    def is_calm(self) -> bool:
        return self.slowdown <= _CALM

    @property
    def reason(self) -> str | None:
        """Why it was not, as a sentence."""
        if self.is_calm:
            return None
        return (
            f"A fixed computation took {self.slowdown:.1f} times as long as at its best: other processes "
            "kept the processor busy."
        )

    def take_in(self, seconds: Sequence[float]) -> None:
        """A further probe, by the seconds of its equal parts."""
        self._probes.append(seconds)
        best = min(map(min, self._probes))
        self.slowdown = max(sum(probe) / len(probe) for probe in self._probes) / best


@contextmanager
def watching_calm(threads: int, *, probe: Callable[[int], Sequence[float]] | None = None) -> Iterator[Calm]:
    """Probe the machine before and after a measurement that computes in so many threads."""
    probe = probe or time_hashes
    calm = Calm()
    calm.take_in(probe(threads))
    yield calm
    calm.take_in(probe(threads))


def time_hashes(threads: int) -> list[float]:
    """Seconds of each of many equal computations, in so many threads at once."""
    with ThreadPoolExecutor(threads) as pool:
        return [seconds for some in pool.map(lambda _: _time_hashes(), range(threads)) for seconds in some]


def _time_hashes() -> list[float]:
    times, end = list[float](), time.perf_counter() + _SECONDS
    while not times or time.perf_counter() < end:
        began = time.perf_counter()
        hashlib.sha256(_TEXT).digest()
        times.append(time.perf_counter() - began)
    return times
