"""A data set in a model's tokens."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from app.domain.documents.manifest import DatasetManifest, Split
from app.domain.errors import JobError
from app.domain.score_scale import score_scale
from app.domain.tasks import TASKS, Task
from app.domain.tasks.record import TEACHER_SCORES, Activation
from app.engine.tokenizing import pad_id, special_id
from worker.contracts import ModelTokenizers, TaskData, TokenizedSplit
from worker.data.tables import read_split
from worker.data.tokenization import masked
from worker.tasks import IMPLEMENTATIONS
from worker.tasks.relabelling import relabelled
from worker.tasks.teacher_scores import RowScores, Weights, chosen, is_complete, row_scores
from worker.tasks.unit_scores import on_unit_scale


def load_task_data(
    folder: Path,
    manifest: DatasetManifest,
    *,
    tokenizers: ModelTokenizers,
    max_length: int,
    labels: list[str] | None = None,
    activation: Activation | None = None,
    dimensions: int = 0,
    untrimmed: Mapping[str, TokenizedSplit] | None = None,
    teacher_weights: Weights | None = None,
    keeps_unscored: bool = True,
) -> tuple[TaskData, TokenizedSplit | None]:
    """The data that a method sees, and the test split, which it does not.

    Args:
        folder: of a Parquet file for each split.
        manifest: says which there are.
        tokenizers: of the model that is to read them.
        max_length: tokens at which rows are cut.
        labels: of the network's outputs, which know all of the data set's by name; None: just these.
        activation: that the network's one output goes through; scores are then from 0 to 1.
        dimensions: of its vectors, where it answers with such.
        untrimmed: the same splits, by name, in the tokens of the model before its vocabulary was trimmed;
            None: it was not.
        teacher_weights: of the teachers whose scores the data set has; None: all count the same.
        keeps_unscored: whether unlabeled rows of which no teacher says anything are of use.

    Raises:
        JobError: ``missing_mask_token``; ``no_trainable_tokens``, when no text of a split has a word left; or
            ``missing_target``, when rows without labels have no scores of these teachers either.
    """
    record = TASKS[manifest.task]
    labels = manifest.labels if labels is None else labels
    for_outputs = partial(_for_outputs, manifest=manifest, labels=labels, activation=activation)
    mask_id = special_id(tokenizers.source_tokenizer, "[MASK]", "<mask>")
    if record.masks_inputs and mask_id is None:
        raise JobError(
            "missing_mask_token",
            "The teacher's tokenizer has no mask token ([MASK] or <mask>). Use a model trained with "
            "masked-language modelling.",
        )

    def read(name: Split) -> TokenizedSplit | None:
        if name not in manifest.splits:
            return None
        table = read_split(folder, name)
        scores = row_scores(table, manifest, teacher_weights)
        needs_scores = name == "unlabeled" or (name == "train" and record.answers_in_vectors)
        if needs_scores and not keeps_unscored:
            if scores is None:
                return None
            table, scores = _scored(table, scores)
        by_teacher = bool(manifest.splits[name].labelled_by_teacher)
        if by_teacher:
            _require_scores(name, scores)
        columns = for_outputs(_columns(table, manifest.task, scores, by_teacher=by_teacher))
        split = encode_columns(
            manifest.task,
            columns,
            tokenizers=tokenizers,
            max_length=max_length,
            is_pair=manifest.is_pair,
            labels=len(labels),
            untrimmed=None if untrimmed is None else untrimmed[name],
        )
        _require_tokens(name, split)
        if record.masks_inputs and name in ("dev", "test"):
            assert mask_id is not None
            split = masked(split, mask_id=mask_id, vocabulary=tokenizers.vocabulary, seed=0)
        if by_teacher and split.scores is not None:
            split = replace(split, labels=chosen(split.scores, manifest.task, activation))
        if record.answers_in_vectors:
            split = _of_vectors(split, is_learnt=name in ("train", "unlabeled"))
        return replace(split, languages=_languages(columns.get("language"), split))

    train, dev = read("train"), read("dev")
    assert train is not None
    assert dev is not None
    data = TaskData(
        task=manifest.task,
        train=train,
        dev=dev,
        unlabeled=read("unlabeled"),
        labels=labels,
        pad_id=pad_id(tokenizers.source_tokenizer),
        vocabulary=tokenizers.vocabulary,
        mask_id=mask_id,
        target_tokenizer=tokenizers.target_tokenizer,
        activation=activation,
        dimensions=dimensions,
    )
    return data, read("test")


def _scored(table: pa.Table, scores: RowScores) -> tuple[pa.Table, RowScores]:
    """The rows of which teachers say something."""
    is_scored = np.array([score is not None for score in scores], np.bool_)
    return table.filter(is_scored), [score for score in scores if score is not None]


def _require_tokens(name: Split, split: TokenizedSplit) -> None:
    """Raises ``JobError`` where there is nothing to predict."""
    if split.position_offsets[-1] == 0:
        raise JobError(
            "no_trainable_tokens",
            f"No text of {name} has a token that the teacher's tokenizer knows, so there is nothing to "
            "train on or to measure. Fix the texts or use another teacher.",
            split=name,
        )


def _of_vectors(split: TokenizedSplit, *, is_learnt: bool) -> TokenizedSplit:
    """Texts to learn from one by one, or to measure by, beside the vectors that came with them."""
    if is_learnt:
        return replace(split, labels=None, groups=None)
    if split.scores is not None and is_complete(split.scores):
        return replace(split, teacher_vectors=split.scores)
    return split


def _columns(
    table: pa.Table, task: Task, scores: RowScores | None, *, by_teacher: bool
) -> dict[str, list[Any]]:
    """The columns of a split by name, teachers' scores as averaged; translations by a teacher are targets."""
    columns: dict[str, list[Any]] = {
        name: table[name].to_pylist() for name in table.column_names if name != TEACHER_SCORES
    }
    if scores is not None:
        columns[TEACHER_SCORES] = list(scores)
        target = TASKS[task].columns.target
        if by_teacher and TASKS[task].writes and target is not None:
            columns[target] = columns[TEACHER_SCORES]
    return columns


def _for_outputs(
    columns: dict[str, list[Any]],
    *,
    manifest: DatasetManifest,
    labels: list[str],
    activation: Activation | None,
) -> dict[str, list[Any]]:
    """The same columns for a network with these labels, or whose one output goes through an activation."""
    if activation is not None:
        return on_unit_scale(columns, score_scale(manifest))
    return relabelled(columns, manifest.task, given=manifest.labels, wanted=labels)


def _languages(languages: list[str] | None, split: TokenizedSplit) -> list[str] | None:
    """Of each row, which may be one of several windows, or one text of a pair."""
    if not languages:
        return languages
    if split.questions is None:
        texts = len(split) // len(languages)
        return [language for language in languages for _ in range(texts)]
    return [languages[row] for row in split.questions.rows]


def _require_scores(name: Split, scores: RowScores | None) -> None:
    """Raises ``JobError`` where rows have neither labels nor scores of the teachers that count."""
    missing = None if scores is None else sum(score is None for score in scores)
    if missing != 0:
        rows = "All rows" if missing is None else f"{missing:,} rows"
        raise JobError(
            "missing_target",
            f"{rows} of {name} have no label, and no scores of the teachers in teacher_weights. Add teachers "
            "to teacher_weights, or upload labels.",
            split=name,
        )


def encode_columns(
    task: Task,
    columns: Mapping[str, list[Any]],
    *,
    tokenizers: ModelTokenizers,
    max_length: int,
    is_pair: bool = False,
    labels: int = 0,
    untrimmed: TokenizedSplit | None = None,
) -> TokenizedSplit:
    """One split from the columns of its canonical form; there are so many labels.

    ``untrimmed`` is the same one in the tokens of the model before its vocabulary was trimmed.
    """
    split = IMPLEMENTATIONS[task].encode(
        columns,
        tokenizers,
        max_length=max_length,
        token_types=is_pair and tokenizers.token_types > 1,
        labels=labels,
    )
    if untrimmed is None or TASKS[task].answers_in_tokens or split.questions is not None:
        return split  # whose answers or windows are others once words are trimmed
    vectors = untrimmed.teacher_vectors
    return replace(split, untrimmed=_asked_as(split, untrimmed), teacher_vectors=vectors)


def _asked_as(split: TokenizedSplit, whole: TokenizedSplit) -> TokenizedSplit:
    """The same rows, asked of the same words: shorter pieces fill it up, and cut later words off."""
    positions = whole.positions
    if positions is not None:
        before = np.repeat(whole.position_offsets[:-1], whole.lengths)
        asked = np.repeat(np.diff(split.position_offsets), whole.lengths)
        positions = positions & (np.cumsum(positions) - before <= asked)
    return replace(whole, positions=positions, labels=None)
