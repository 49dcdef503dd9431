"""What a stored model or data set consists of: the contract between intake, worker and inference."""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from app.domain.architectures import Architecture, EncoderArchitecture
from app.domain.documents.cascade import Cascade
from app.domain.documents.gate import GateResult
from app.domain.documents.table_reading import DatasetReading
from app.domain.documents.versions import Json, StoredDocument
from app.domain.pooling import MEAN, Pooling
from app.domain.tasks import TASKS, Head, Task
from app.domain.tasks.record import Activation

Split = Literal["train", "dev", "test", "unlabeled"]

ONE_TEACHER: Final = "teacher"
"""The name of a teacher whose scores are given without one."""

_OTHER_NAMES: Final = {"fp32": "onnx/model.onnx", "int8": "onnx/model_quantized.onnx"}
"""Of exports, by precision: where Text Embeddings Inference, transformers.js and optimum look for them."""

_PREFIX = re.compile(r"(projects/\w+/)?(models|datasets)/[\w-]+")


class FileEntry(BaseModel):
    """One stored file."""

    model_config = ConfigDict(frozen=True)

    sha256: str
    size_bytes: int

    @classmethod
    def of(cls, path: Path) -> "FileEntry":
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(sha256=digest, size_bytes=path.stat().st_size)


class Files(BaseModel):
    """Files under one storage prefix, by name."""

    prefix: str
    entries: dict[str, FileEntry]

    @classmethod
    def of(cls, folder: Path, *, prefix: str) -> "Files":
        """Those of a folder and of folders in it, but links, as they are to lie under a prefix."""
        paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
        entries = {path.relative_to(folder).as_posix(): FileEntry.of(path) for path in paths}
        return cls(prefix=prefix, entries=entries)

    @property
    def checksums(self) -> str:
        """A line for each file, as ``sha256sum`` writes them."""
        return "".join(f"{self.entries[name].sha256}  {name}\n" for name in sorted(self.entries))

    @property
    def digest(self) -> str:
        """One sha256 for the content, whatever the prefix."""
        names = {name: entry.sha256 for name, entry in sorted(self.entries.items())}
        return hashlib.sha256(json.dumps(names).encode()).hexdigest()

    @property
    def size_bytes(self) -> int:
        return sum(entry.size_bytes for entry in self.entries.values())


def stored_size(manifest: Json) -> int:
    """Total size of the files of a stored manifest of any version; 0 where it names none."""
    files = manifest.get("files")
    return 0 if files is None else Files.model_validate(files).size_bytes


class OnnxExport(BaseModel):
    """One ONNX file of a model, and how it compares with the torch network."""

    file: str = Field(description="The network; for translation models the encoder.")
    decoder_file: str | None = Field(
        default=None,
        description="One step of a translation model's decoder, with its key-value cache as input and "
        "output.",
    )
    size_bytes: int = Field(description="Total size of its files.")
    activation_scales: Literal["per_token", "per_batch"] | None = Field(
        default=None,
        description="Of an int8 file. per_token: an answer does not depend on the other texts of its batch. "
        "per_batch: it does a little, as in files of earlier versions; compress again for one that does not. "
        "Null: fp32.",
    )
    max_logit_difference: float = Field(
        description="Largest |torch - ONNX| logit difference over the compared dev texts."
    )
    label_agreement: float = Field(
        description="Share of equal predictions (of texts, tokens or masked words), in [0, 1]; words with "
        "nearly the same logits in the torch network count as equal."
    )
    metric: float | None = Field(
        default=None,
        description="The task's main metric of this file on dev, or on a sample of a large dev split; "
        "agreement with teacher_scores where dev has no labels.",
    )
    network_metric: float | None = Field(
        default=None,
        description="The torch network's metric on the same texts; null for translation models.",
    )
    test_metric: float | None = Field(
        default=None, description="Likewise of this file on test, where the data set has that split."
    )
    cascade: Cascade | None = Field(
        default=None,
        description="How this file and the teacher answer together, by how sure the student has to be; null "
        "where no teacher was measured beside it.",
    )
    latency_ms: dict[str, float] = Field(
        default_factory=dict, description="Median latency on dev texts by batch size ('1', '32')."
    )
    calm: bool | None = Field(
        default=None,
        description="Whether nothing else kept the processor busy while latency was measured; null where "
        "that was not looked at.",
    )
    calm_reason: str | None = Field(default=None, description="If it was not calm: how that shows.")


class HubSource(BaseModel):
    """Where a model was taken from."""

    hub: str
    revision: str = Field(description="The resolved commit.")


def _name_architecture(manifest: Json) -> Json:
    """Version 2: ``card`` is ``architecture``, and its ``architecture`` is ``family``."""
    card = dict(manifest["card"])
    others = {name: value for name, value in manifest.items() if name != "card"}
    return {**others, "architecture": {"family": card.pop("architecture"), **card}}


class ModelManifest(StoredDocument):
    """A model folder: ``config.json``, ``model.safetensors``, ``tokenizer.json`` and its exports."""

    model_config = ConfigDict(protected_namespaces=())

    document_name: ClassVar = "model manifest"
    upgraders: ClassVar = (_name_architecture,)

    files: Files
    architecture: Architecture
    task: Task | None = Field(description="Null for an encoder without a task head.")
    labels: list[str] | None = Field(
        description="Labels of a text classifier or tags of a token classifier, in order; null for "
        "other models."
    )
    activation: Activation | None = Field(
        default=None,
        description="What the one output of a text_regression model goes through: sigmoid, for answers from "
        "0 to 1; null where it is the answer itself.",
    )
    thresholds: list[float] | None = Field(
        default=None,
        description="Score from which on each label passes, in the order of labels, where each is decided by "
        "itself; of question_answering the log-odds from which on there is no answer, or null where all "
        "contexts have one; chosen on dev.",
    )
    is_pair: bool | None = Field(
        default=None,
        description="Whether it was trained on pairs of texts; null where that is unknown, of uploads.",
    )
    pooling: Pooling | None = Field(
        default=None,
        description="How states become the vector of a text (sentence_embedding); null where the folder does "
        "not say it: vectors are then the mean of the states.",
    )
    parameters: int
    lowercase: bool | None = None
    max_length: int = Field(description="Maximum input length in tokens.")
    source: HubSource | None = None
    notes: list[str] = Field(
        default_factory=list, description="What was assumed when the model was read, a sentence each."
    )
    exports: dict[str, OnnxExport] = Field(
        default_factory=dict, description="Exports by precision: fp32, int8."
    )
    gate: GateResult | None = Field(
        default=None,
        exclude_if=lambda gate: gate is None,
        description="What the publish gate of its job says; absent where there was none.",
    )

    @field_validator("exports")
    @classmethod
    def _name_earlier_scales(cls, exports: dict[str, OnnxExport]) -> dict[str, OnnxExport]:
        """Int8 files that say nothing of their scales are from before there were several kinds."""
        if "int8" in exports and exports["int8"].activation_scales is None:
            exports["int8"] = exports["int8"].model_copy(update={"activation_scales": "per_batch"})
        return exports

    @property
    def other_names(self) -> dict[str, str]:
        """Names under which other servers look for exports, and what these are called here.

        Of networks whose one output has the name that they read: ``logits`` or ``sentence_embedding``.
        """
        is_read = self.task is not None and TASKS[self.task].outputs != "span"
        if not is_read or not isinstance(self.architecture, EncoderArchitecture):
            return {}
        return {
            name: self.exports[precision].file
            for precision, name in _OTHER_NAMES.items()
            if precision in self.exports
        }

    @property
    def downloads(self) -> Files:
        """Its files by all their names; each is stored once."""
        entries = self.files.entries
        others = {name: entries[file] for name, file in self.other_names.items() if file in entries}
        return Files(prefix=self.files.prefix, entries={**entries, **others})

    @property
    def head(self) -> Head | None:
        if self.task is None:
            return None
        return Head.of(
            self.task,
            labels=len(self.labels or ()),
            vocabulary=self.architecture.vocabulary,
            dimensions=self.dimensions,
        )

    @property
    def dimensions(self) -> int:
        """Of the vectors that it answers with, or that its states, pooled, would be."""
        return (self.pooling or MEAN).projection or self.architecture.width

    @property
    def is_bare(self) -> bool:
        """Whether it has no head but what pools its states."""
        return self.task is None or TASKS[self.task].answers_in_vectors

    def has_head_for(self, task: Task, labels: Sequence[str]) -> bool:
        """Whether its head answers this task with just these labels; else a job draws a new one.

        Vectors any encoder has, whatever its head.
        """
        if TASKS[task].answers_in_vectors:
            return self.task == task or self.architecture.kind == "encoder"
        return self.task == task and set(self.labels or ()) == set(labels)


def stored_prefix(manifest: object) -> str | None:
    """Where the files of a stored manifest are, though this version may not be able to read the rest of it.

    All versions say it in the same place. None where a damaged one does not: nothing else may be taken for
    it, for whatever is stored under a prefix is deleted with its row.
    """
    match manifest:
        case {"files": {"prefix": str(prefix)}} if _PREFIX.fullmatch(prefix):
            return prefix
    return None


class ScoredRows(BaseModel):
    """What one teacher's scores say of a split."""

    rows: int = Field(description="Rows with scores of this teacher.")
    agreement: float | None = Field(
        default=None,
        description="Share of these rows (for token_classification words) whose own label is the teacher's "
        "first choice; null where rows have no labels, and for tasks that choose no single label.",
    )


class SplitSummary(BaseModel):
    """One split of a data set."""

    rows: int
    labels: dict[str, int] | None = Field(
        default=None, description="Rows by label; for token_classification entities by type."
    )
    repaired_tags: int | None = Field(
        default=None,
        description="For token_classification: I- tags that began an entity and were changed to B- tags.",
    )
    scores: dict[str, float] | None = Field(default=None, description="For text_regression: min, mean, max.")
    unanswerable: int | None = Field(
        default=None, description="For question_answering: rows whose context has no answer."
    )
    languages: dict[str, int] | None = Field(
        default=None, description="Rows by language, if the data has a language column."
    )
    words: dict[str, int] = Field(
        description="Quantiles of text length in words and punctuation marks: p50, p95, p99, max. For "
        "translation, of the source."
    )
    target_words: dict[str, int] | None = Field(default=None, description="For translation, of the target.")
    teacher_scores: dict[str, ScoredRows] | None = Field(
        default=None, description="What teachers say of its rows, by teacher, if the data has teacher_scores."
    )
    labelled_by_teacher: bool | None = Field(
        default=None,
        description="True where rows have no labels of their own and the teacher's choices stand for them.",
    )


def _same(manifest: Json) -> Json:
    """Version 2: ``teacher_scores``, which a worker of version 1 would not see."""
    return manifest


class DatasetManifest(StoredDocument):
    """A data set in canonical form: a ``<split>.parquet`` for each split.

    Its columns by task:

    ========================  ================================================================
    text_classification       text, text_pair?, label (int32, index into ``labels``)
    text_regression           text, text_pair?, score (float32)
    token_classification      tokens (list of strings), tags (list of int32, into ``labels``)
    masked_language_modeling  text
    question_answering        question, context, answers (struct of text, a list of strings, and
                              answer_start, a list of int64: characters of the context)
    sentence_embedding        text, text_pair?, score? (float32)
    translation               source, target
    ========================  ================================================================

    The unlabeled split has the same columns but what there is to predict. Any split may have a ``language``;
    every row of it then names one. Where ``teacher_scores`` of its summary are some, it has a struct of that
    name, with a field for each teacher, null in rows of which that one says nothing: logits (list of float32,
    the words of a row end to end), or text. A split that is ``labelled_by_teacher`` has nothing else to
    predict.
    """

    document_name: ClassVar = "data set manifest"
    upgraders: ClassVar = (_same,)

    files: Files
    task: Task
    labels: list[str] = Field(
        description="Empty for tasks without labels; for token_classification IOB2 tags, O first."
    )
    is_pair: bool
    dimensions: int | None = Field(
        default=None, description="Of the vectors in teacher_scores; null where there are none."
    )
    splits: dict[Split, SplitSummary]
    reading: DatasetReading | None = Field(
        default=None, description="How the tables were read; null for data sets of earlier versions."
    )

    @property
    def teachers(self) -> list[str]:
        """Names of those whose scores came with the rows of train or unlabeled."""
        summaries = [self.splits[name] for name in ("train", "unlabeled") if name in self.splits]
        return sorted({name for summary in summaries for name in summary.teacher_scores or ()})
