"""What a teacher makes of a data set's sources, written once and kept: sequence-level distillation.

The student learns the teacher's translations as if they were the data's (Kim & Rush, 2016).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final
from uuid import uuid4

import numpy as np

from app.domain.methods import DistillationTerms
from app.engine.generation import Decoding
from worker.contracts import RunContext, TaskData, Teacher, TokenizedSplit
from worker.data.batches import concatenate, ordered_rows, subset
from worker.data.cached_files import is_cached
from worker.evaluation.translation import TorchTranslator, translate_rows

DECODING: Final = Decoding(beams=4)

_FORMAT = 2
_BATCH_SIZE = 64


def bitext_and_translations(
    terms: DistillationTerms, teacher: Teacher, data: TaskData, context: RunContext
) -> TokenizedSplit:
    """The training split, and its sources and unlabelled ones once more with the teacher's translations.

    A weight of 1 leaves the data's own translations out, a weight of 0 the teacher's. Translations that came
    with the data as those of a teacher take the place of this one's.
    """
    sources = [data.train] if data.unlabeled is None else [data.train, data.unlabeled]
    parts = [data.train] if terms.logits_weight < 1 else []
    if terms.logits_weight > 0:
        for split in sources:
            given, others = _already_written(split)
            parts += [given] if given is not None else []
            if others is not None and not teacher.has_new_head:
                parts.append(translated(teacher, others, pad_id=data.pad_id, context=context))
    whole = parts[0]
    for part in parts[1:]:
        whole = concatenate(whole, part)
    return whole


def _already_written(split: TokenizedSplit) -> tuple[TokenizedSplit | None, TokenizedSplit | None]:
    """The rows that came with a teacher's translation, which is their target, and those without."""
    written = split.written
    if written is None:
        return None, split
    is_written = written.lengths > 0
    rows, others = np.flatnonzero(is_written), np.flatnonzero(~is_written)
    given = None
    if len(rows):
        given = subset(split, rows)
        given = replace(given, targets=given.written, references=None)
    return given, subset(split, others) if len(others) else None


def translated(
    teacher: Teacher,
    split: TokenizedSplit,
    *,
    pad_id: int,
    context: RunContext,
    decoding: Decoding = DECODING,
) -> TokenizedSplit:
    """The split's sources with what the teacher writes for them, from a file that the first job fills."""
    key = hashlib.sha256(f"{_FORMAT}:{teacher.digest}:{split.digest}:{decoding}".encode()).hexdigest()
    path = context.cache_dir / f"translations-{key[:32]}.npz"
    if not is_cached(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        texts = _translate(teacher, split, decoding=decoding, pad_id=pad_id, context=context)
        _keep(path, texts)
    with np.load(path) as kept:
        ids, offsets = kept["ids"], kept["offsets"]
    digest = hashlib.sha256(offsets.tobytes() + ids.tobytes()).hexdigest()
    written = TokenizedSplit(ids=ids, type_ids=None, offsets=offsets, labels=None, digest=digest)
    return replace(split, targets=written, references=None, digest=f"{split.digest}{digest}")


def _translate(
    teacher: Teacher, split: TokenizedSplit, *, decoding: Decoding, pad_id: int, context: RunContext
) -> list[list[int]]:
    """Each row's translation, end of sentence included."""
    translator = TorchTranslator(teacher.network.to(context.device).eval())
    written: list[list[int]] = [[]] * len(split)
    batches = ordered_rows(split.lengths, batch_size=_BATCH_SIZE)
    for done, rows in enumerate(batches):
        context.check_cancelled()
        texts = translate_rows(translator, split, rows, pad_id=pad_id, decoding=decoding)
        for row, text in zip(rows, texts, strict=True):
            written[row] = [*text[: translator.max_tokens - 1], translator.special.end]
        context.report("teacher_outputs", done + 1, len(batches))
    return written


def _keep(path: Path, texts: Sequence[Sequence[int]]) -> None:
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
    ids = np.fromiter((id_ for text in texts for id_ in text), dtype=np.int32, count=offsets[-1])
    partial = path.with_suffix(f".{uuid4().hex}.partial")
    try:
        with partial.open("wb") as file:
            np.savez(file, ids=ids, offsets=offsets)
        partial.replace(path)  # two jobs may race: both write the same
    finally:
        partial.unlink(missing_ok=True)
