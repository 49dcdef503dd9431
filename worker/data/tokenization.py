"""Texts to tokens, task by task."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from tokenizers import Encoding, Tokenizer

from app.domain.documents.manifest import DatasetManifest, Split
from app.domain.errors import JobError
from app.domain.tasks import Task
from app.engine.tokenizing import TextTokenizer, first_pieces, pad_id, special_id
from worker.contracts import LabelArray, ModelTokenizers, TaskData, TokenizedSplit

MASKED_SHARE = 0.15
"""Of the words, in masked-language modelling (Devlin et al., 2019)."""


def tokenize(
    texts: Sequence[str],
    pairs: Sequence[str] | None = None,
    labels: Sequence[float] | None = None,
    *,
    tokenizer: Tokenizer,
    max_length: int,
    token_types: bool = False,
) -> TokenizedSplit:
    """Encode texts, or pairs of texts, cutting the longer part of what exceeds ``max_length``.

    Whole numbers for ``labels`` are indices, others are scores.
    """
    encodings = TextTokenizer(tokenizer, max_length=max_length).encodings(
        texts if pairs is None else list(zip(texts, pairs, strict=True))
    )
    return _split_of(encodings, labels=_label_array(labels), token_types=token_types)


def tokenize_words(
    sentences: Sequence[Sequence[str]],
    tags: Sequence[Sequence[int]] | None = None,
    *,
    tokenizer: Tokenizer,
    max_length: int,
) -> TokenizedSplit:
    """Encode sentences of words; the first token of each word that is not truncated is predicted."""
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
    return replace(split, positions=positions)


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
) -> TokenizedSplit:
    """Encode sources, and their translations with the tokenizer of what is written."""
    split = tokenize(sources, tokenizer=source_tokenizer, max_length=max_length)
    if targets is None:
        return split
    written = tokenize(targets, tokenizer=target_tokenizer, max_length=max_length)
    return replace(split, targets=written, references=list(targets))


def load_task_data(
    folder: Path,
    manifest: DatasetManifest,
    *,
    tokenizers: ModelTokenizers,
    max_length: int,
    untrimmed: Mapping[str, TokenizedSplit] | None = None,
) -> tuple[TaskData, TokenizedSplit | None]:
    """The data that a method sees, and the test split, which it does not.

    Args:
        folder: of a Parquet file for each split.
        manifest: says which there are.
        tokenizers: of the model that is to read them.
        max_length: tokens at which rows are cut.
        untrimmed: the same splits, by name, in the tokens of the model before its vocabulary was trimmed;
            None: it was not.

    Raises:
        JobError: ``missing_mask_token``, or ``no_trainable_tokens``, when no text of a split has a word left.
    """
    mask_id = special_id(tokenizers.source_tokenizer, "[MASK]", "<mask>")
    if manifest.task == "masked_language_modeling" and mask_id is None:
        raise JobError(
            "missing_mask_token",
            "The teacher's tokenizer has no mask token ([MASK] or <mask>). Use a model trained with "
            "masked-language modelling.",
        )

    def read(name: Split) -> TokenizedSplit | None:
        if name not in manifest.splits:
            return None
        columns = pq.read_table(folder / f"{name}.parquet").to_pydict()
        split = encode_columns(
            manifest.task,
            columns,
            tokenizers=tokenizers,
            max_length=max_length,
            is_pair=manifest.is_pair,
            untrimmed=None if untrimmed is None else untrimmed[name],
        )
        if split.position_offsets[-1] == 0:
            raise JobError(
                "no_trainable_tokens",
                f"No text of {name} has a token that the teacher's tokenizer knows, so there is nothing to "
                "train on or to measure. Fix the texts or use another teacher.",
                split=name,
            )
        if manifest.task == "masked_language_modeling" and name in ("dev", "test"):
            assert mask_id is not None
            split = masked(split, mask_id=mask_id, vocabulary=tokenizers.vocabulary, seed=0)
        return replace(split, languages=columns.get("language"))

    train, dev = read("train"), read("dev")
    assert train is not None
    assert dev is not None
    data = TaskData(
        task=manifest.task,
        train=train,
        dev=dev,
        unlabeled=read("unlabeled"),
        labels=manifest.labels,
        pad_id=pad_id(tokenizers.source_tokenizer),
        vocabulary=tokenizers.vocabulary,
        mask_id=mask_id,
        target_tokenizer=tokenizers.target_tokenizer,
    )
    return data, read("test")


def encode_columns(
    task: Task,
    columns: dict[str, list[Any]],
    *,
    tokenizers: ModelTokenizers,
    max_length: int,
    is_pair: bool = False,
    untrimmed: TokenizedSplit | None = None,
) -> TokenizedSplit:
    """One split from the columns of its canonical form.

    ``untrimmed`` is the same one in the tokens of the model before its vocabulary was trimmed.
    """
    split = _encoded(task, columns, tokenizers=tokenizers, max_length=max_length, is_pair=is_pair)
    if untrimmed is None or task in ("masked_language_modeling", "translation"):
        return split  # whose answers are words, and others once these are trimmed
    return replace(split, untrimmed=_asked_as(split, untrimmed))


def _asked_as(split: TokenizedSplit, whole: TokenizedSplit) -> TokenizedSplit:
    """The same rows, asked of the same words: shorter pieces fill it up, and cut later words off."""
    positions = whole.positions
    if positions is not None:
        before = np.repeat(whole.position_offsets[:-1], whole.lengths)
        asked = np.repeat(np.diff(split.position_offsets), whole.lengths)
        positions = positions & (np.cumsum(positions) - before <= asked)
    return replace(whole, positions=positions, labels=None)


def _encoded(
    task: Task,
    columns: dict[str, list[Any]],
    *,
    tokenizers: ModelTokenizers,
    max_length: int,
    is_pair: bool,
) -> TokenizedSplit:
    tokenizer = tokenizers.source_tokenizer
    match task:
        case "text_classification" | "text_regression":
            answers = columns.get("label" if task == "text_classification" else "score")
            return tokenize(
                columns["text"],
                columns.get("text_pair"),
                answers,
                tokenizer=tokenizer,
                max_length=max_length,
                token_types=is_pair and tokenizers.token_types > 1,
            )
        case "token_classification":
            return tokenize_words(
                columns["tokens"], columns.get("tags"), tokenizer=tokenizer, max_length=max_length
            )
        case "masked_language_modeling":
            return tokenize_maskable(columns["text"], tokenizer=tokenizer, max_length=max_length)
        case "translation":
            return tokenize_translations(
                columns["source"],
                columns.get("target"),
                source_tokenizer=tokenizer,
                target_tokenizer=tokenizers.target_tokenizer,
                max_length=max_length,
            )


def unknown_shares(split: TokenizedSplit, tokenizer: Tokenizer) -> dict[str, float]:
    """The share of pieces that the tokenizer does not know, by language; "" where none is named.

    What frames a text does not count: a text of one unknown word is wholly unknown.
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
        for language in np.unique(languages)
    }


def _label_array(labels: Sequence[float] | None) -> LabelArray | None:
    if labels is None:
        return None
    array = np.asarray(labels)
    if np.issubdtype(array.dtype, np.integer):
        return array.astype(np.int64)
    return array.astype(np.float32)


def _split_of(
    encodings: Sequence[Encoding], *, labels: LabelArray | None, token_types: bool = False
) -> TokenizedSplit:
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
        cut=sum(bool(encoding.overflowing) for encoding in encodings),
    )
