"""Greedy and beam search over a step function.

Shapes: B texts, A of them still being written, K beams, R rows (A, or A x K with the beams of a text
together), T tokens, V vocabulary.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from app.engine.padding import IntArray

FloatArray: TypeAlias = npt.NDArray[np.float32]

Step: TypeAlias = Callable[[IntArray, IntArray], FloatArray]
"""Write a token into each row: (tokens (R,), parents (R,)) -> logits (R, V) of the tokens after them.

``parents`` are those rows of the step before that go on here; at the first step, the texts. A row that does
not go on is never asked for again. The logits become the search's own, to write into.
"""

IsWanted: TypeAlias = Callable[[int], bool]
"""Whether a client still waits for the text of this index."""

_LENGTH_RATIO, _SPARE_TOKENS = 3, 10

_COLUMN: Final = 128
"""Numbers of which only the highest is looked at, at first, where the highest of many are searched for."""

_NEVER = -1e9
"""The score of what is not there."""


@dataclass(frozen=True)
class SpecialTokens:
    """The ids to which a model's config gives a meaning."""

    start: int
    """Stands before what is written."""
    end: int
    pad: int
    """Never written."""

    @classmethod
    def of_config(cls, config: Mapping[str, Any]) -> "SpecialTokens":
        """As a ``config.json`` names them."""
        return cls(
            start=config["decoder_start_token_id"], end=config["eos_token_id"], pad=config["pad_token_id"]
        )


@dataclass(frozen=True)
class Decoding:
    """How what is written is searched for."""

    beams: int = 1
    """1 is greedy."""
    length_penalty: float = 1.0
    """Of a beam search; see there."""

    def __str__(self) -> str:
        return f"beams {self.beams}, length penalty {self.length_penalty}"


GREEDY: Final = Decoding()


class EncoderDecoder(Protocol):
    """A network that reads a text and writes another."""

    @property
    def special(self) -> SpecialTokens: ...

    @property
    def max_tokens(self) -> int:
        """The most that it can write."""

    def begin(self, inputs: Mapping[str, IntArray]) -> Step:
        """Read padded sources: ``input_ids`` and ``attention_mask``, int64 (B, T) each."""


def length_limit(source_tokens: int, most: int) -> int:
    """Default maximum length of a translation: three times the source's tokens, plus ten.

    As in Marian, with room for short texts; a network that repeats itself stops there. ``most`` is what it
    can write at all.
    """
    return min(most, _LENGTH_RATIO * source_tokens + _SPARE_TOKENS)


def generate(
    network: EncoderDecoder,
    inputs: Mapping[str, IntArray],
    limits: Sequence[int],
    decoding: Decoding = GREEDY,
    *,
    is_wanted: IsWanted = lambda _: True,
) -> list[list[int]]:
    """What a network writes for each padded source, the end left out.

    Args:
        network: reads and writes.
        inputs: ``input_ids`` and ``attention_mask``, int64 (B, T) each.
        limits: tokens that each text may have, (B,).
        decoding: the search.
        is_wanted: texts without a waiting client are left unfinished.
    """
    step = network.begin(inputs)
    if decoding.beams == 1:
        return greedy_search(step, limits, network.special, is_wanted=is_wanted)
    return beam_search(
        step,
        limits,
        network.special,
        beams=decoding.beams,
        length_penalty=decoding.length_penalty,
        is_wanted=is_wanted,
    )


def greedy_search(
    step: Step, limits: Sequence[int], special: SpecialTokens, *, is_wanted: IsWanted
) -> list[list[int]]:
    """Write the likeliest token until it is the end.

    Args:
        step: the network.
        limits: tokens that each text may have, (B,).
        special: ids with a meaning.
        is_wanted: texts without a waiting client are left unfinished.

    Returns:
        The tokens of each text, the end left out.
    """
    limit = np.asarray(limits)
    written = np.full((len(limit), limit.max()), special.end)
    texts = parents = np.arange(len(limit))
    tokens = np.full(len(limit), special.start)
    for length in range(1, limit.max() + 1):
        logits = step(tokens, parents)
        logits[:, special.pad] = -np.inf
        tokens = logits.argmax(axis=1)
        written[texts, length - 1] = tokens
        goes_on = (tokens != special.end) & (length < limit[texts]) & _wanted(texts, is_wanted)
        parents = np.flatnonzero(goes_on)
        texts, tokens = texts[parents], tokens[parents]
        if not len(texts):
            break
    return [_until(special.end, row) for row in written.tolist()]


def beam_search(
    step: Step,
    limits: Sequence[int],
    special: SpecialTokens,
    *,
    beams: int,
    length_penalty: float,
    is_wanted: IsWanted,
) -> list[list[int]]:
    """Follow the likeliest beginnings to the text with the highest log-probability a token.

    A finished text scores its log-probability over (its tokens, the end included) ** ``length_penalty``. The
    search for a text ends when its likeliest beginning, were it finished now, would not be among the best
    ``beams`` finished ones. So does ``generate`` of transformers with ``early_stopping=False``, to which this
    is equal; but here a text that is done leaves the batch.

    Args:
        step: the network.
        limits: tokens that each text may have, (B,); at its limit a beginning counts as finished.
        special: ids with a meaning.
        beams: beginnings of each text that are followed, at least 2.
        length_penalty: the higher, the longer the texts; 0 compares whole log-probabilities.
        is_wanted: texts without a waiting client are left unfinished.

    Returns:
        The tokens of each text, the end left out.
    """
    limit = np.asarray(limits)
    best: list[list[int]] = [[]] * len(limit)
    texts = parents = np.arange(len(limit))
    tokens = np.full(len(limit), special.start)
    beginnings = _Hypotheses.of_score(0, (len(limit), 1, limit.max()), fill=special.end)
    finished = _Hypotheses.of_score(_NEVER, (len(limit), beams, limit.max()), fill=special.end)
    for length in range(1, limit.max() + 1):
        # Twice as many as go on: as many may end here.
        longer, origins = _continue(beginnings, step(tokens, parents), length, special.pad, count=2 * beams)
        is_last = limit[texts] == length
        ends = (longer.tokens[:, :, length - 1] == special.end) | is_last[:, None]
        divisor = np.float32(length**length_penalty)
        ended = longer.scored(np.where(ends, longer.scores / divisor, _NEVER))
        finished = finished.joined(ended.first(beams)).best(beams)

        kept = np.argsort(ends, axis=1, kind="stable")[:, :beams]  # those that do not end, best first
        beginnings = longer.gather(kept)
        may_improve = beginnings.scores[:, 0] / divisor > finished.scores[:, -1]
        goes_on = may_improve & ~is_last & _wanted(texts, is_wanted)
        for row in np.flatnonzero(~goes_on):
            best[texts[row]] = _until(special.end, finished.tokens[row, 0].tolist())
        rows = np.flatnonzero(goes_on)
        if not len(rows):
            break
        texts, beginnings, finished = texts[rows], beginnings.of(rows), finished.of(rows)
        parents = np.take_along_axis(origins, kept, axis=1)[rows].ravel()
        tokens = beginnings.tokens[:, :, length - 1].ravel()
    return best


@dataclass(frozen=True)
class _Hypotheses:
    """Some of each text: ``scores`` (A, K), and ``tokens`` (A, K, T), filled up with the end."""

    scores: FloatArray
    tokens: IntArray

    @classmethod
    def of_score(cls, score: float, shape: tuple[int, int, int], *, fill: int) -> "_Hypotheses":
        return cls(np.full(shape[:2], score, np.float32), np.full(shape, fill))

    def scored(self, scores: FloatArray) -> "_Hypotheses":
        return _Hypotheses(scores, self.tokens)

    def of(self, rows: IntArray) -> "_Hypotheses":
        return _Hypotheses(self.scores[rows], self.tokens[rows])

    def first(self, count: int) -> "_Hypotheses":
        return _Hypotheses(self.scores[:, :count], self.tokens[:, :count])

    def gather(self, columns: IntArray) -> "_Hypotheses":
        """Those of each text that ``columns`` (A, any) names."""
        return _Hypotheses(
            np.take_along_axis(self.scores, columns, axis=1),
            np.take_along_axis(self.tokens, columns[:, :, None], axis=1),
        )

    def joined(self, others: "_Hypotheses") -> "_Hypotheses":
        return _Hypotheses(
            np.concatenate([self.scores, others.scores], axis=1),
            np.concatenate([self.tokens, others.tokens], axis=1),
        )

    def best(self, count: int) -> "_Hypotheses":
        return self.gather(np.argsort(-self.scores, axis=1, kind="stable")[:, :count])


def _continue(
    beginnings: _Hypotheses, logits: FloatArray, length: int, pad: int, *, count: int
) -> tuple[_Hypotheses, IntArray]:
    """The likeliest beginnings that are one token longer.

    Args:
        beginnings: (A, W) of them.
        logits: of the token after each, (A x W, V); written over.
        length: tokens with the new one.
        pad: never written.
        count: how many of each text.

    Returns:
        Hypotheses (A, count), best first, and for each the row, of A x W, that it goes on.
    """
    texts, width = beginnings.scores.shape
    vocabulary = logits.shape[1]
    logits -= logits.max(axis=1, keepdims=True)
    normaliser = np.log(np.exp(logits).sum(axis=1))
    logits += (beginnings.scores.ravel() - normaliser)[:, None]
    logits[:, pad] = -np.inf
    chosen, scores = _highest(logits.reshape(texts, width * vocabulary), count)
    beams, tokens = np.divmod(chosen, vocabulary)
    longer = beginnings.gather(beams).scored(scores)
    longer.tokens[:, :, length - 1] = tokens
    return longer, beams + width * np.arange(texts)[:, None]


def _highest(totals: FloatArray, count: int) -> tuple[IntArray, FloatArray]:
    """Where the highest numbers of each row are, and these: (A, count) each, the highest first.

    They lie in those columns of a table of the row whose own highest are the highest; no others are sorted.
    """
    size = totals.shape[1]
    columns = max(count, size // _COLUMN)
    whole = size - size % columns
    highest = totals[:, :whole].reshape(len(totals), -1, columns).max(axis=1)
    best = np.argpartition(highest, -count, axis=1)[:, -count:]
    places = (best[:, None] + np.arange(0, whole, columns)[:, None]).reshape(len(totals), -1)
    rest = np.broadcast_to(np.arange(whole, size), (len(totals), size - whole))
    places = np.concatenate([places, rest], axis=1)
    found = np.take_along_axis(totals, places, axis=1)
    order = np.argsort(-found, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(places, order, axis=1), np.take_along_axis(found, order, axis=1)


def _wanted(texts: IntArray, is_wanted: IsWanted) -> npt.NDArray[np.bool_]:
    return np.fromiter(map(is_wanted, texts.tolist()), np.bool_, len(texts))


def _until(end: int, tokens: list[int]) -> list[int]:
    return tokens[: tokens.index(end)] if end in tokens else tokens
