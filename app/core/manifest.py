"""What a stored model or data set consists of: the contract between intake, worker and inference."""

import hashlib
import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.core.shapes import EncoderCard

Task = Literal["text_classification"]
Split = Literal["train", "dev", "test", "unlabeled"]


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

    @property
    def digest(self) -> str:
        """One sha256 for the content, whatever the prefix."""
        names = {name: entry.sha256 for name, entry in sorted(self.entries.items())}
        return hashlib.sha256(json.dumps(names).encode()).hexdigest()

    @property
    def size_bytes(self) -> int:
        return sum(entry.size_bytes for entry in self.entries.values())


class OnnxExport(BaseModel):
    """One ONNX file of a model, and how far it was found from the torch network."""

    file: str
    size_bytes: int
    max_logit_difference: float = Field(description="Largest |torch - ONNX| over the dev texts compared.")
    label_agreement: float = Field(description="Share of dev texts that get the same label, in [0, 1].")
    metric: float | None = Field(default=None, description="The task's metric of this file on dev.")
    latency_ms: dict[str, float] = Field(
        default_factory=dict, description="Median over dev texts, by batch size ('1', '32')."
    )


class HubSource(BaseModel):
    """Where a model was taken from."""

    hub: str
    revision: str = Field(description="The commit, whatever name was asked for.")


class ModelManifest(BaseModel):
    """A model folder: ``config.json``, ``model.safetensors``, ``tokenizer.json`` and its exports."""

    model_config = ConfigDict(protected_namespaces=())

    files: Files
    card: EncoderCard
    task: Task | None = Field(description="None for an encoder without a task head.")
    labels: list[str] | None
    parameters: int
    lowercase: bool | None = None
    max_length: int = Field(description="Tokens that the model takes at most.")
    source: HubSource | None = None
    exports: dict[str, OnnxExport] = Field(default_factory=dict, description="By precision: fp32, int8.")


class SplitCard(BaseModel):
    """One split of a data set: ``<split>.parquet`` with the columns text, text_pair?, label?."""

    rows: int
    labels: dict[str, int] | None
    words: dict[str, int] = Field(description="Quantiles of words and punctuation marks: p50, p95, p99, max.")


class DatasetManifest(BaseModel):
    """A data set in canonical form. ``label`` columns hold the index into ``labels``."""

    files: Files
    task: Task
    labels: list[str]
    is_pair: bool
    splits: dict[Split, SplitCard]
