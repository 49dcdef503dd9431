"""Writing translations of a whole split, and what they are worth.

Shapes: R rows being written, T tokens of the longest source, V vocabulary.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from sacrebleu.metrics import BLEU, CHRF
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from app.engine.generation import (
    GREEDY,
    Decoding,
    EncoderDecoder,
    FloatArray,
    SpecialTokens,
    Step,
    generate,
    length_limit,
)
from worker.contracts import IntArray, TokenizedSplit
from worker.data.batches import ordered_rows, padded_inputs
from worker.evaluation.bootstrap import Floats, MetricOfSums
from worker.networks.decoding import SourceReader, WritingStep

_BATCH_TOKENS = 4096
"""Rows being written, times the tokens of their longest source."""

_UNSPACED = re.compile("[\u0e00-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
"""Thai, Lao, Tibetan, Burmese, Khmer, Japanese and Chinese letters."""
_NOT_SPACE = re.compile(r"\S")


def translate(
    network: EncoderDecoder, split: TokenizedSplit, *, pad_id: int, decoding: Decoding = GREEDY
) -> list[list[int]]:
    """What a network writes for each row, in the split's order, ends of sentence left out."""
    written: list[list[int]] = [[]] * len(split)
    longest = int(split.lengths.max(initial=1))
    for rows in ordered_rows(split.lengths, batch_size=max(1, _BATCH_TOKENS // (longest * decoding.beams))):
        texts = translate_rows(network, split, rows, pad_id=pad_id, decoding=decoding)
        for row, text in zip(rows, texts, strict=True):
            written[row] = text
    return written


def translate_rows(
    network: EncoderDecoder,
    split: TokenizedSplit,
    rows: IntArray,
    *,
    pad_id: int,
    decoding: Decoding = GREEDY,
) -> list[list[int]]:
    """The same for one batch."""
    limits = [length_limit(tokens, network.max_tokens) for tokens in split.lengths[rows].tolist()]
    return generate(network, padded_inputs(split, rows, pad_id=pad_id), limits, decoding)


class TorchTranslator:
    """A torch network, on its own device."""

    def __init__(self, network: PreTrainedModel) -> None:
        self.special = SpecialTokens.of_config(network.config.to_dict())
        self.max_tokens = int(network.config.max_position_embeddings)
        self._reader = SourceReader(network)
        self._step = WritingStep(network)
        self._device = network.device

    @torch.inference_mode()
    def begin(self, inputs: Mapping[str, IntArray]) -> Step:
        ids, mask = (
            torch.from_numpy(inputs[name]).to(self._device) for name in ("input_ids", "attention_mask")
        )
        cross = self._reader(ids, mask)
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


def translation_metrics(hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """BLEU and chrF of a corpus with one reference each, in [0, 100].

    By sacreBLEU's defaults; BLEU of characters where references are written without spaces, and of no longer
    n-grams than there are where all are short.
    """
    return {
        "bleu": float(_bleu(references).corpus_score(hypotheses, [references]).score),
        "chrf": float(CHRF().corpus_score(hypotheses, [references]).score),
    }


def bleu_of(hypotheses: Sequence[str], references: Sequence[str]) -> MetricOfSums:
    """The same BLEU as a function of the rows: of n-grams that are counted row by row."""
    bleu = _bleu(references)
    scores = [
        bleu.sentence_score(hypothesis, [reference])
        for hypothesis, reference in zip(hypotheses, references, strict=True)
    ]
    terms = [[*score.counts, *score.totals, score.sys_len, score.ref_len] for score in scores]
    return MetricOfSums(np.asarray(terms, np.float64), _bleu_of_sums)


def _bleu_of_sums(sums: Floats) -> Floats:
    """Of n-grams up to some length those that are right and all, and words written and wanted."""
    orders = (sums.shape[1] - 2) // 2
    return np.array(
        [
            BLEU.compute_bleu(
                correct=line[:orders].tolist(),
                total=line[orders:-2].tolist(),
                sys_len=int(line[-2]),
                ref_len=int(line[-1]),
                effective_order=True,
            ).score
            for line in sums
        ]
    )


def _bleu(references: Sequence[str]) -> BLEU:
    return BLEU(tokenize="char" if _is_unspaced(references) else "13a", effective_order=True)


def _is_unspaced(texts: Sequence[str]) -> bool:
    """Whether texts are mostly of scripts that put no spaces between words."""
    letters = sum(len(_NOT_SPACE.findall(text)) for text in texts)
    return 2 * sum(len(_UNSPACED.findall(text)) for text in texts) > letters


def texts_of(written: Sequence[Sequence[int]], writer: Tokenizer) -> list[str]:
    return [text.strip() for text in writer.decode_batch(written)]
