"""Models that translate."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.engine.encoder_decoder import OnnxEncoderDecoder
from app.engine.generation import GREEDY, Decoding, generate, length_limit
from app.engine.tokenizing import TextTokenizer, TokenizedText
from app.inference.predictors.errors import InvalidArgument
from app.inference.predictors.predictor import Run, RunLimits
from app.inference.predictors.results import TranslatedText

_LIMITS = RunLimits(start=128)
"""Where an encoder's batch gains little, a decoder's gains much, for each of its steps reads all weights.

Measured on 6 and 2 layers x 256 with 10,000 words, greedy, 15 tokens a text, fp32 and int8: one takes 20 and
10 ms alone, 3.9 and 2.5 in a batch of 16; starting a run costs what 110 to 160 tokens of padding do.
"""


@dataclass(frozen=True, slots=True)
class TranslationOptions:
    """How translations are searched for, and how long they may be."""

    decoding: Decoding = GREEDY
    max_new_tokens: int | None = None
    """None: by the length of the source."""


class Translator:
    """Texts to their translations."""

    def __init__(
        self, network: OnnxEncoderDecoder, *, source_tokenizer: TextTokenizer, target_tokenizer: TextTokenizer
    ) -> None:
        self._network = network
        self._source_tokenizer = source_tokenizer
        self._target_tokenizer = target_tokenizer

    def run_options(self, _inputs: Sequence[str], options: TranslationOptions) -> TranslationOptions:
        bound, most = options.max_new_tokens, self._network.max_tokens
        if bound is not None and bound > most:
            raise InvalidArgument(
                "max_new_tokens_too_large",
                f"max_new_tokens is {bound:,}; this model supports at most {most:,}.",
                argument="max_new_tokens",
                max_new_tokens=bound,
                most=most,
            )
        # A greedy search has no penalty, and texts that differ in nothing else may run together.
        return options if options.decoding.beams > 1 else TranslationOptions(GREEDY, bound)

    def limits(self, options: TranslationOptions) -> RunLimits:
        return _LIMITS._replace(most=_LIMITS.most // options.decoding.beams)

    def encode(self, texts: Sequence[str], _options: TranslationOptions) -> list[TokenizedText]:
        return self._source_tokenizer.encode(texts)

    def run(self, run: Run[TokenizedText, TranslationOptions]) -> list[str]:
        bound = run.options.max_new_tokens
        limits = [bound or length_limit(len(text), self._network.max_tokens) for text in run.texts]
        inputs = self._source_tokenizer.pad(run.texts)
        written = generate(self._network, inputs, limits, run.options.decoding, is_wanted=run.is_wanted)
        return [text.strip() for text in self._target_tokenizer.decode(written)]

    def result(self, row: str, _options: TranslationOptions) -> TranslatedText:
        return TranslatedText(row)
