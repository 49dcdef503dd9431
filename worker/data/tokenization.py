"""Texts to tokens."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer

from app.engine.tokenizing import TextTokenizer, TokenizedText, first_pieces, special_id
from worker.contracts import FloatArray, LabelArray, TokenizedSplit

MASKED_SHARE = 0.15
"""Of the words, in masked-language modelling (Devlin et al., 2019)."""


def tokenize(
    texts: Sequence[str],
    pairs: Sequence[str] | None = None,
    labels: Sequence[float] | LabelArray | None = None,
    *,
    tokenizer: Tokenizer,
    max_length: int,
    token_types: bool = False,
    scores: Sequence[FloatArray | None] | None = None,
) -> TokenizedSplit:
    """Encode texts, or pairs of texts, cutting the longer part of what exceeds ``max_length``.

    Whole numbers for ``labels`` are indices, others are scores. ``scores`` are teachers', (1, outputs) each.
    """
    encodings = TextTokenizer(tokenizer, max_length=max_length).encodings(
        texts if pairs is None else list(zip(texts, pairs, strict=True))
    )
    split = _split_of(encodings, labels=_label_array(labels), token_types=token_types)
    return replace(split, scores=_gathered_scores(scores, [[0]] * len(texts)))


def tokenize_words(
    sentences: Sequence[Sequence[str]],
    tags: Sequence[Sequence[int]] | None = None,
    *,
    tokenizer: Tokenizer,
    max_length: int,
    scores: Sequence[FloatArray | None] | None = None,
) -> TokenizedSplit:
    """Encode sentences of words; the first token of each word that is not truncated is predicted.

    ``scores`` are teachers', (words, outputs) of each sentence.
    """
    encodings = TextTokenizer(tokenizer, max_length=max_length).word_encodings(sentences)
    firsts = [first_pieces(encoding) for encoding in encodings]
    labels = None
    if tags is not None:
        asked = [tags[row][word] for row, words in enumerate(firsts) for word in words]
        labels = np.asarray(asked, dtype=np.int64)
    split = _split_of(encodings, labels=labels)
    positions = np.zeros(len(split.ids), dtype=np.bool_)
    for begin, words in zip(split.offsets[:-1], firsts, strict=True):
        positions[begin + np.fromiter(words.values(), dtype=np.int64)] = True
    asked_words = [list(words) for words in firsts]
    return replace(split, positions=positions, scores=_gathered_scores(scores, asked_words))


def tokenize_maskable(
    texts: Sequence[str], *, tokenizer: Tokenizer, max_length: int, token_types: bool = False
) -> TokenizedSplit:
    """Encode texts for masked-language modelling: positions are the tokens that may be masked."""
    encodings = TextTokenizer(tokenizer, max_length=max_length).encodings(texts)
    special = np.fromiter((flag for e in encodings for flag in e.special_tokens_mask), dtype=np.bool_)
    return replace(_split_of(encodings, labels=None, token_types=token_types), positions=~special)


def masked(split: TokenizedSplit, *, mask_id: int, vocabulary: int, seed: int) -> TokenizedSplit:
    """Some of the maskable words hidden once and for all; labels are the words themselves.

    Every text has at least one masked token, if it has any that may be masked.
    """
    assert split.positions is not None
    generator = np.random.default_rng(seed)
    chosen = split.positions & (generator.random(len(split.ids)) < MASKED_SHARE)
    for begin, end in zip(split.offsets[:-1], split.offsets[1:], strict=True):
        maskable = np.flatnonzero(split.positions[begin:end])
        if len(maskable) and not chosen[begin:end].any():
            chosen[begin + generator.choice(maskable)] = True
    fate = generator.random(len(split.ids))
    ids = np.where(chosen & (fate < 0.8), mask_id, split.ids)
    ids = np.where(
        chosen & (fate >= 0.9), generator.integers(vocabulary, size=len(ids)), ids
    )  # the rest stay as they are
    ids = ids.astype(np.int32)
    return replace(
        split,
        ids=ids,
        positions=chosen,
        labels=split.ids[chosen].astype(np.int64),
        digest=hashlib.sha256(split.offsets.tobytes() + ids.tobytes()).hexdigest(),
    )


def tokenize_translations(
    sources: Sequence[str],
    targets: Sequence[str] | None,
    *,
    source_tokenizer: Tokenizer,
    target_tokenizer: Tokenizer,
    max_length: int,
    written: Sequence[str | None] | None = None,
) -> TokenizedSplit:
    """Encode sources, and their translations and teachers' ones with the tokenizer of what is written."""
    encode = partial(tokenize, tokenizer=target_tokenizer, max_length=max_length)
    split = tokenize(sources, tokenizer=source_tokenizer, max_length=max_length)
    if written is not None:
        split = replace(split, written=_with_gaps(written, encode))
    if targets is None:
        return split
    return replace(split, targets=encode(targets), references=list(targets))


def _with_gaps(texts: Sequence[str | None], encode: Callable[[list[str]], TokenizedSplit]) -> TokenizedSplit:
    """Texts, and no token at all where there is none."""
    encoded = encode([text for text in texts if text is not None])
    lengths = np.zeros(len(texts), np.int64)
    lengths[[text is not None for text in texts]] = encoded.lengths
    return replace(encoded, offsets=np.concatenate([[0], np.cumsum(lengths)]))


def _gathered_scores(
    scores: Sequence[FloatArray | None] | None, asked: Sequence[Sequence[int]]
) -> FloatArray | None:
    """Of the words of each row that are asked, end to end; NaN in rows without any."""
    known = None if scores is None else next((row for row in scores if row is not None), None)
    if scores is None or known is None:
        return None
    unknown = np.full((max(map(len, asked), default=0), known.shape[1]), np.nan, np.float32)
    return np.concatenate(
        [
            unknown[: len(words)] if row is None else row[list(words)]
            for row, words in zip(scores, asked, strict=True)
        ]
    )


def unknown_shares(split: TokenizedSplit, tokenizer: Tokenizer) -> dict[str, float]:
    """The share of pieces that the tokenizer does not know, by language; "" where none is named.

    What frames a text does not count: a text of one unknown word is wholly unknown. A language of whose texts
    the tokenizer leaves nothing has no share.
    """
    unknown = special_id(tokenizer, "[UNK]", "<unk>")
    if unknown is None:
        return {}
    framing = [special_id(tokenizer, *names) for names in (("[CLS]", "<s>"), ("[SEP]", "</s>"))]
    counted = ~np.isin(split.ids, [id_ for id_ in framing if id_ is not None])
    rows = np.repeat(np.arange(len(split)), split.lengths)
    languages = np.array(split.languages or [""] * len(split))[rows]
    return {
        str(language): float(np.mean(split.ids[counted & (languages == language)] == unknown))
        for language in np.unique(languages[counted])
    }


def _label_array(labels: Sequence[float] | LabelArray | None) -> LabelArray | None:
    if labels is None:
        return None
    array = np.asarray(labels)
    if np.issubdtype(array.dtype, np.integer):
        return array.astype(np.int64)
    return array.astype(np.float32)


def _split_of(
    encodings: Sequence[Encoding], *, labels: LabelArray | None, token_types: bool = False
) -> TokenizedSplit:
    return split_of(
        encodings,
        labels=labels,
        token_types=token_types,
        cut=sum(bool(encoding.overflowing) for encoding in encodings),
    )


def split_of(
    encodings: Sequence[Encoding] | Sequence[TokenizedText],
    *,
    labels: LabelArray | None = None,
    token_types: bool = False,
    cut: int = 0,
) -> TokenizedSplit:
    """Tokenised rows laid end to end."""
    offsets = np.zeros(len(encodings) + 1, dtype=np.int64)
    np.cumsum([len(encoding) for encoding in encodings], out=offsets[1:])
    ids = np.fromiter((id_ for e in encodings for id_ in e.ids), dtype=np.int32, count=offsets[-1])
    type_ids: npt.NDArray[np.int8] | None = None
    if token_types:
        type_ids = np.fromiter((t for e in encodings for t in e.type_ids), dtype=np.int8, count=offsets[-1])
    digest = hashlib.sha256(offsets.tobytes() + ids.tobytes())
    digest.update(b"" if type_ids is None else type_ids.tobytes())
    return TokenizedSplit(
        ids=ids,
        type_ids=type_ids,
        offsets=offsets,
        labels=labels,
        digest=digest.hexdigest(),
        cut=cut,
    )
