"""Registered models and data sets of every task: the rows alone, which is all that planning looks at."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.core.db.datasets import Dataset
from app.core.db.models import Model
from app.domain.architectures import (
    Architecture,
    BiLstmArchitecture,
    BiLstmShape,
    EncoderArchitecture,
    EncoderDecoderArchitecture,
    EncoderDecoderShape,
    EncoderShape,
    TfidfArchitecture,
    TfidfShape,
)
from app.domain.documents import Precision
from app.domain.documents.manifest import (
    DatasetManifest,
    Files,
    ModelManifest,
    OnnxExport,
    ScoredRows,
    Split,
    SplitSummary,
)
from app.domain.tasks import TASKS, Task
from tests.app.conftest import Api

ENCODER = EncoderArchitecture(
    family="bert",
    shape=EncoderShape(layers=6, hidden=384, heads=12, ffn=1536),
    vocabulary=30_522,
    positions=512,
    token_types=2,
)
TRANSLATOR = EncoderDecoderArchitecture(
    shape=EncoderDecoderShape(encoder_layers=6, decoder_layers=6, hidden=512, heads=8, ffn=2048),
    vocabulary=8_000,
    positions=512,
)
BILSTM = BiLstmArchitecture(
    shape=BiLstmShape(embedding=50, hidden=200, projection=384), vocabulary=30_522, positions=512
)
TFIDF = TfidfArchitecture(shape=TfidfShape(terms=20_000), vocabulary=30_522, positions=512)
LABELS = ["no", "yes"]
TAGS = ["O", "B-LOC", "I-LOC"]
_NO_FILES = Files(prefix="none", entries={})


def labels_of(task: Task | None) -> list[str]:
    if task is None or not TASKS[task].has_labels:
        return []
    return TAGS if TASKS[task].answering == "token" else LABELS


def add_model(
    api: Api,
    architecture: Architecture,
    task: Task | None,
    *,
    labels: Sequence[str] | None = None,
    max_length: int = 512,
    exports: Sequence[Precision] = (),
) -> str:
    """A model that knows a task, or none."""
    manifest = ModelManifest(
        files=_NO_FILES,
        architecture=architecture,
        task=task,
        labels=list(labels or labels_of(task)) or None,
        parameters=0,
        max_length=max_length,
        exports={
            precision: OnnxExport(
                file=f"model.{precision}.onnx", size_bytes=1, max_logit_difference=0, label_agreement=1
            )
            for precision in exports
        },
    )
    with api.database.transaction() as session:
        model = Model(name="model", origin="upload", manifest_json=manifest.to_stored())
        session.add(model)
        session.flush()
        return model.id


def add_dataset(
    api: Api,
    task: Task,
    *,
    splits: Sequence[Split] = ("train", "dev"),
    rows: int = 1000,
    words: int = 20,
    labels: list[str] | None = None,
    scored: Mapping[Split, Mapping[str, int]] | None = None,
    summary: Mapping[str, Any] | None = None,
) -> str:
    """A data set whose splits are all alike, but for rows with scores, by split and teacher."""
    quantiles = {"p50": words, "p95": words, "p99": words, "max": words}
    common = SplitSummary(
        rows=rows,
        words=quantiles,
        target_words=quantiles if task == "translation" else None,
        **(summary or {}),
    )

    def summary_of(split: Split) -> SplitSummary:
        counts = (scored or {}).get(split, {})
        said = {name: ScoredRows(rows=count, agreement=0.4) for name, count in counts.items()}
        return common.model_copy(update={"teacher_scores": said or None})

    manifest = DatasetManifest(
        files=_NO_FILES,
        task=task,
        labels=labels_of(task) if labels is None else labels,
        is_pair=False,
        splits={split: summary_of(split) for split in splits},
    )
    with api.database.transaction() as session:
        dataset = Dataset(name="data", manifest_json=manifest.to_stored())
        session.add(dataset)
        session.flush()
        return dataset.id
