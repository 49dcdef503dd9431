"""A BiLSTM or TF-IDF without a teacher: its vocabulary, made from a data set alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers import PretrainedConfig

from app.domain.architectures import BiLstmArchitecture, TfidfArchitecture
from app.domain.documents.manifest import DatasetManifest
from app.domain.tasks import TASKS, Head
from app.engine.tokenizing import pad_id
from worker.contracts import Teacher
from worker.data.tables import read_split
from worker.networks.loading import build_network, with_labels
from worker.networks.new_tokenizer import train_tokenizer


def untrained_classifier(
    dataset: Path, manifest: DatasetManifest, architecture: BiLstmArchitecture | TfidfArchitecture
) -> Teacher:
    """A model of random weights that says what is to be trained.

    Args:
        dataset: the canonical folder, whose train and unlabeled splits the vocabulary is made of.
        manifest: of the data set.
        architecture: as planned; where the splits have fewer pieces than that, the model has fewer.
    """
    tokenizer = train_tokenizer(_texts(dataset, manifest), vocabulary=architecture.vocabulary)
    architecture = architecture.model_copy(update={"vocabulary": tokenizer.get_vocab_size()})
    head = Head.of(manifest.task, labels=len(manifest.labels), vocabulary=architecture.vocabulary)
    config = PretrainedConfig(pad_token_id=pad_id(tokenizer))
    return Teacher(
        network=build_network(with_labels(config, head, manifest.labels), architecture, head),
        tokenizer=tokenizer,
        architecture=architecture,
        digest="untrained",
        has_new_head=True,
        is_untrained=True,
    )


def _texts(dataset: Path, manifest: DatasetManifest) -> Iterator[str]:
    """Those of the splits that are learnt from; words with spaces between them."""
    known = TASKS[manifest.task].columns
    names = [*known.inputs, *([known.pair] if manifest.is_pair and known.pair else [])]
    for split in ("train", "unlabeled"):
        if split in manifest.splits:
            for column in read_split(dataset, split, names).columns:
                texts: list[Any] = column.to_pylist()
                yield from (text if isinstance(text, str) else " ".join(text) for text in texts)
