"""Writing translations, with a torch network or with ONNX files, and what they are worth.

Shapes: R rows being written, T tokens of the longest source, V vocabulary.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
import torch
from sacrebleu.metrics import BLEU, CHRF
from tokenizers import Tokenizer
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel

from app.engine.generation import (
    FloatArray,
    IntArray,
    SpecialTokens,
    Step,
    beam_search,
    greedy_search,
    length_limit,
)
from worker.contracts import TokenizedSplit
from worker.data.batches import collate, ordered_rows
from worker.evaluation.evaluate import by_length
from worker.networks.decoding import SourceReader, WritingStep

_BATCH_TOKENS = 4096
"""Rows being written, times the tokens of their longest source."""

_UNSPACED = re.compile("[\u0e00-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
"""Thai, Lao, Tibetan, Burmese, Khmer, Japanese and Chinese letters."""
_NOT_SPACE = re.compile(r"\S")


@dataclass(frozen=True)
class Decoding:
    """How a translation is searched for."""

    beams: int = 1
    length_penalty: float = 1.0

    def __str__(self) -> str:
        return f"beams {self.beams}, length penalty {self.length_penalty}"


GREEDY = Decoding()


class Translator(Protocol):
    """A network that writes."""

    special: SpecialTokens
    most_tokens: int
    """That its positions reach."""

    def begin(self, inputs: Mapping[str, Tensor]) -> Step:
        """Read padded sources: input_ids and attention_mask, (B, T) each, on the CPU."""


def translate(
    translator: Translator, split: TokenizedSplit, *, pad_id: int, decoding: Decoding = GREEDY
) -> list[list[int]]:
    """What a network writes for each row, in the split's order, ends of sentence left out."""
    written: list[list[int]] = [[]] * len(split)
    longest = int(split.lengths.max(initial=1))
    for rows in ordered_rows(split.lengths, batch_size=max(1, _BATCH_TOKENS // (longest * decoding.beams))):
        texts = translate_rows(translator, split, rows, pad_id=pad_id, decoding=decoding)
        for row, text in zip(rows, texts, strict=True):
            written[row] = text
    return written


def translate_rows(
    translator: Translator,
    split: TokenizedSplit,
    rows: IntArray,
    *,
    pad_id: int,
    decoding: Decoding = GREEDY,
) -> list[list[int]]:
    """The same for one batch."""
    inputs = collate(split, rows, pad_id=pad_id, device=torch.device("cpu")).inputs
    limits = [length_limit(tokens, translator.most_tokens) for tokens in split.lengths[rows].tolist()]
    search = (
        greedy_search
        if decoding.beams == 1
        else partial(beam_search, beams=decoding.beams, length_penalty=decoding.length_penalty)
    )
    return search(translator.begin(inputs), limits, translator.special, is_wanted=lambda _: True)


class TorchTranslator:
    """A torch network, on its own device."""

    def __init__(self, network: PreTrainedModel) -> None:
        self.special = special_tokens(network.config)
        self.most_tokens = int(network.config.max_position_embeddings)
        self._reader = SourceReader(network)
        self._step = WritingStep(network)
        self._device = network.device

    @torch.inference_mode()
    def begin(self, inputs: Mapping[str, Tensor]) -> Step:
        mask = inputs["attention_mask"].to(self._device)
        cross = self._reader(inputs["input_ids"].to(self._device), mask)
        state = {"mask": mask, "cross": cross, "past": cross[:, :, :, :, :0]}

        @torch.inference_mode()
        def step(tokens: IntArray, parents: IntArray) -> FloatArray:
            if not np.array_equal(parents, np.arange(len(state["mask"]))):
                rows = torch.from_numpy(parents).to(self._device)
                state["mask"] = state["mask"][rows]
                state["cross"], state["past"] = (
                    state[name].index_select(2, rows) for name in ("cross", "past")
                )
            ids = torch.from_numpy(tokens).to(self._device)[:, None]
            logits, state["past"] = self._step(ids, state["mask"], state["cross"], state["past"])
            values: FloatArray = logits.float().cpu().numpy()
            return values

        return step


def decoder_beside(encoder: Path) -> Path:
    """The file that holds the decoder to an encoder's."""
    return encoder.with_name(encoder.name.replace("encoder", "decoder", 1))


class OnnxTranslator:
    """An encoder's ONNX file and the decoder's beside it, on the CPU, all cores."""

    def __init__(self, encoder: Path, config: PretrainedConfig) -> None:
        self.special = special_tokens(config)
        self.most_tokens = int(config.max_position_embeddings)
        self._encoder, self._decoder = (
            onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            for path in (encoder, decoder_beside(encoder))
        )

    def begin(self, inputs: Mapping[str, Tensor]) -> Step:
        mask = inputs["attention_mask"].numpy()
        (cross,) = self._encoder.run(
            ["cross"], {"input_ids": inputs["input_ids"].numpy(), "attention_mask": mask}
        )
        state: dict[str, Any] = {"attention_mask": mask, "cross": cross, "past": cross[:, :, :, :, :0]}

        def step(tokens: IntArray, parents: IntArray) -> FloatArray:
            if not np.array_equal(parents, np.arange(len(state["attention_mask"]))):
                state["attention_mask"] = state["attention_mask"][parents]
                for name in ("cross", "past"):
                    state[name] = state[name].take(parents, axis=2)
            logits: FloatArray
            logits, state["past"] = self._decoder.run(
                ["logits", "present"], {"input_ids": tokens[:, None], **state}
            )
            return logits

        return step

    def logits(self, split: TokenizedSplit, *, pad_id: int, batch_size: int = 64) -> FloatArray:
        """Of each word of the targets when those before it are given, in the split's order, (P, V)."""

        def run(rows: IntArray) -> FloatArray:
            batch = collate(split, rows, pad_id=pad_id, device=torch.device("cpu"))
            assert batch.positions is not None
            step = self.begin(batch.inputs)
            read = batch.inputs["decoder_input_ids"].numpy()
            steps = [step(tokens, np.arange(len(rows))) for tokens in read.T]
            asked: FloatArray = np.stack(steps, axis=1)[batch.positions.numpy()]
            return asked

        return by_length(run, split, batch_size=batch_size)

    def feed(self, split: TokenizedSplit, rows: IntArray, *, pad_id: int) -> dict[str, Any]:
        """What ``run`` takes for some rows."""
        assert split.targets is not None
        inputs = collate(split, rows, pad_id=pad_id, device=torch.device("cpu")).inputs
        return {**inputs, "limits": split.targets.lengths[rows].tolist()}

    def run(self, feed: dict[str, Any]) -> None:
        """Write as many words as the targets have, whatever they are: time is to depend on no weights."""
        step = self.begin(feed)

        def endless(tokens: IntArray, parents: IntArray) -> FloatArray:
            logits = step(tokens, parents)
            logits[:, self.special.end] = -np.inf
            return logits

        greedy_search(endless, feed["limits"], self.special, is_wanted=lambda _: True)


def special_tokens(config: PretrainedConfig) -> SpecialTokens:
    return SpecialTokens(
        start=config.decoder_start_token_id, end=config.eos_token_id, pad=config.pad_token_id
    )


def translation_metrics(hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """BLEU and chrF of a corpus with one reference each, in [0, 100].

    By sacreBLEU's defaults; BLEU of characters where references are written without spaces, and of no longer
    n-grams than there are where all are short.
    """
    bleu = BLEU(tokenize="char" if _is_unspaced(references) else "13a", effective_order=True)
    return {
        "bleu": float(bleu.corpus_score(hypotheses, [references]).score),
        "chrf": float(CHRF().corpus_score(hypotheses, [references]).score),
    }


def _is_unspaced(texts: Sequence[str]) -> bool:
    """Whether texts are mostly of scripts that put no spaces between words."""
    letters = sum(len(_NOT_SPACE.findall(text)) for text in texts)
    return 2 * sum(len(_UNSPACED.findall(text)) for text in texts) > letters


def texts_of(written: Sequence[Sequence[int]], writer: Tokenizer) -> list[str]:
    return [text.strip() for text in writer.decode_batch(written)]
