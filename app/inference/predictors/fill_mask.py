"""Models that fill in a hidden word."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.engine.encoder import OnnxEncoder
from app.engine.tokenizing import TextTokenizer, TokenizedText
from app.inference.predictors.errors import InvalidArgument
from app.inference.predictors.predictor import Run, RunLimits
from app.inference.predictors.results import MaskFill, MaskFills
from app.inference.predictors.scores import softmax

_MASKS = ("[MASK]", "<mask>")
_UNKNOWN = ("[UNK]", "<unk>")

_MOST_LOGITS = 2**24
"""Of one run: at each token the network gives a number to each word it knows."""


@dataclass(frozen=True, slots=True)
class FillMaskOptions:
    """Which words are given."""

    top_k: int = 5
    """Words for the mask."""
    targets: Sequence[str] | None = None
    """Words to choose from, each one token of the model; None: all."""


@dataclass(frozen=True)
class _Choice:
    """Which words are wanted in the place of the mask."""

    top_k: int
    targets: tuple[int, ...] | None
    """Ids to choose from; None: all."""


class FillMask:
    """The likeliest words in the place of the mask."""

    def __init__(self, encoder: OnnxEncoder, tokenizer: TextTokenizer, *, vocabulary: int) -> None:
        self._encoder = encoder
        self._tokenizer = tokenizer
        self._mask, self._mask_id = _mask_of(tokenizer)
        self._unknown_ids = {tokenizer.id_of(token) for token in _UNKNOWN}
        limits = RunLimits()
        self._limits = limits._replace(most=min(limits.most, _MOST_LOGITS // vocabulary))

    def run_options(self, inputs: Sequence[str], options: FillMaskOptions) -> _Choice:
        for position, text in enumerate(inputs):
            if (masks := text.count(self._mask)) != 1:
                raise InvalidArgument(
                    "exactly_one_mask_required",
                    f"Input {position} contains {self._mask} {masks} times. Use it exactly once in each "
                    "text, in place of the word to predict.",
                    argument="inputs",
                    mask=self._mask,
                )
        targets = options.targets
        ids = None if targets is None else tuple(map(self._target, targets))
        return _Choice(options.top_k, ids)

    def limits(self, _choice: _Choice) -> RunLimits:
        return self._limits

    def encode(self, texts: Sequence[str], _choice: _Choice) -> list[TokenizedText]:
        return self._tokenizer.encode(texts)

    def run(self, run: Run[TokenizedText, _Choice]) -> list[list[MaskFill] | None]:
        """The fills of each text; None where the model has no room for the part with the mask."""
        logits = self._encoder.logits(self._tokenizer.pad(run.texts))  # (texts, longest, vocabulary)
        return [
            self._fill(text.ids, row, run.options) if self._mask_id in text.ids else None
            for text, row in zip(run.texts, logits, strict=True)
        ]

    def result(self, row: list[MaskFill] | None, _options: FillMaskOptions) -> MaskFills:
        if row is None:
            raise InvalidArgument(
                "mask_truncated",
                f"The text is truncated to {self._tokenizer.max_length} tokens, before {self._mask}. "
                "Shorten the text before it.",
                argument="inputs",
                max_length=self._tokenizer.max_length,
            )
        return MaskFills(row)

    def _fill(self, ids: list[int], logits: npt.NDArray[np.float32], choice: _Choice) -> list[MaskFill]:
        place = ids.index(self._mask_id)
        probabilities = softmax(logits[place])
        words = np.arange(len(probabilities)) if choice.targets is None else np.array(choice.targets)
        best = words[_largest(probabilities[words], choice.top_k)].tolist()
        sequences = self._tokenizer.decode([[*ids[:place], word, *ids[place + 1 :]] for word in best])
        names = self._tokenizer.decode([[word] for word in best], skip_special=False)
        return [
            MaskFill(word, name, float(probabilities[word]), sequence)
            for word, name, sequence in zip(best, names, sequences, strict=True)
        ]

    def _target(self, target: str) -> int:
        known = self._tokenizer.id_of(target)
        if known is not None:
            return known
        pieces = self._tokenizer.pieces(target)
        if len(pieces) != 1:
            raise InvalidArgument(
                "target_not_one_token",
                f"The target {target[:50]!r} is {len(pieces)} tokens long; targets must be single tokens of "
                "the model's vocabulary.",
                argument="targets",
                target=target[:50],
            )
        if pieces[0] in self._unknown_ids:
            raise InvalidArgument(
                "unknown_target",
                f"The target {target[:50]!r} is not in the model's vocabulary. Use words of its vocabulary.",
                argument="targets",
                target=target[:50],
            )
        return pieces[0]


def _largest(values: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.intp]:
    """Where they are, the largest first; sorting a whole vocabulary takes longer than a small network."""
    count = min(count, len(values))
    largest = np.argpartition(values, -count)[-count:]
    return largest[np.argsort(-values[largest])]


def _mask_of(tokenizer: TextTokenizer) -> tuple[str, int]:
    for mask in _MASKS:
        if (mask_id := tokenizer.id_of(mask)) is not None:
            return mask, mask_id
    raise ValueError(f"the tokenizer has no mask token: {', '.join(_MASKS)}")
