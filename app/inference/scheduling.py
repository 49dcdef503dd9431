"""Which of the runs that wait goes next, and how long a request would wait: cheap ones first, none for ever.

Costs are in tokens; what a token takes is learnt from the runs of a model.
"""

from collections import deque
from collections.abc import Iterator, Sequence, Sized
from statistics import median
from typing import Final, TypeVar

from app.engine.tokenizing import Input, Question

PATIENCE: Final = 10
"""What costs much waits at most so many times its own run for what costs less and came later."""

_CHARACTERS_A_TOKEN: Final = 4
_OWN_TOKENS: Final = 3
"""Of a text of no characters."""

_REMEMBERED_RUNS: Final = 15
_TRUSTED_RUNS: Final = 5
_CLASSES: Final = 48
"""Costs are told apart by powers of two."""

T = TypeVar("T", bound=Sized)


def expected_tokens(text: Input, *, longest: int | None) -> int:
    """About as many as a text has, before it is tokenised.

    Args:
        text: or a pair, or words, or a question, whose context is read whole.
        longest: tokens at which the model cuts texts; None: it reads them whole.
    """
    characters = len(text) if isinstance(text, str) else sum(map(len, text))
    tokens = characters // _CHARACTERS_A_TOKEN + _OWN_TOKENS
    return tokens if longest is None or isinstance(text, Question) else min(longest, tokens)


class Pace:
    """How long a model takes for a token: the median of its last runs, which a slow first one does not move.

    Runner threads add to it, and the event loop reads it; both only ever see whole numbers of runs.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        """For a token; 0 until enough is known."""
        self._runs: deque[float] = deque(maxlen=_REMEMBERED_RUNS)

    def learn(self, seconds: float, tokens: int) -> None:
        """Take account of a run."""
        self._runs.append(seconds / tokens)
        runs = tuple(self._runs)
        if len(runs) >= _TRUSTED_RUNS:
            self.seconds = median(runs)


class Backlog:
    """What waits, by how much each client brought at once. Belongs to the event loop."""

    def __init__(self) -> None:
        self._tokens = [0] * _CLASSES

    def add(self, tokens: int) -> None:
        self._tokens[_class_of(tokens)] += tokens

    def remove(self, tokens: int) -> None:
        self._tokens[_class_of(tokens)] -= tokens

    def ahead_of(self, tokens: int) -> int:
        """Tokens that run before those of a request of this size: what is not dearer by ``PATIENCE``."""
        return sum(self._tokens[: _class_of(tokens * PATIENCE) + 1])


def _class_of(tokens: int) -> int:
    return min(tokens.bit_length(), _CLASSES - 1)


def due_at(queued_s: float, *, tokens: int, pace: Pace) -> float:
    """When a run is due, on the clock of ``queued_s``: the earliest of those that wait goes first."""
    return queued_s + PATIENCE * tokens * pace.seconds


def cut_runs(items: Sequence[T], *, max_texts: int, max_tokens: int, start_tokens: int) -> Iterator[list[T]]:
    """Cut texts sorted by length where padding would cost more than one more run.

    Args:
        items: shortest first.
        max_texts: of one run.
        max_tokens: of one run, padding included; a single text may be longer.
        start_tokens: what one more run costs.
    """
    run: list[T] = []
    padding = 0
    for item in items:
        length = len(item)
        if run:
            padding += len(run) * (length - len(run[-1]))
            is_full = len(run) == max_texts or (len(run) + 1) * length > max_tokens
            if is_full or padding > start_tokens:
                yield run
                run, padding = [], 0
        run.append(item)
    if run:
        yield run
