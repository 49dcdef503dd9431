"""Whether a teacher comes with a head for what a job asks."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from app.domain.architectures import EncoderArchitecture, LayerUse
from app.domain.documents.manifest import Files, ModelManifest
from app.domain.tasks import Task
from app.engine.tokenizer_config import TOKENIZER
from tests.tiny import tiny_tokenizer
from tests.worker.compression import TASK_LABELS, make_teacher
from tests.worker.translations import TEACHER, translation_card
from worker.networks.loading import load_network, load_teacher, save_network
from worker.networks.new_translator import untrained_translator
from worker.networks.structure import restructure


@pytest.mark.parametrize(
    ("task", "labels", "expected"),
    [
        ("text_classification", TASK_LABELS["text_classification"], False),
        ("text_classification", ["other", "labels"], True),
        ("token_classification", ["O", "B-x"], True),
        ("text_regression", [], True),
    ],
)
def test_a_head_for_other_answers_is_a_new_one(
    task: Task, labels: list[str], expected: bool, tmp_path: Path
) -> None:
    teacher = make_teacher()
    save_network(teacher.network, tmp_path)
    tiny_tokenizer().save(str(tmp_path / TOKENIZER))
    manifest = ModelManifest(
        files=Files(prefix="", entries={}),
        architecture=teacher.architecture,
        task="text_classification",
        labels=TASK_LABELS["text_classification"],
        parameters=1,
        max_length=32,
    )
    assert load_teacher(tmp_path, manifest, task=task, labels=labels).has_new_head is expected


@pytest.mark.parametrize("shares_layers", [False, True])
def test_outputs_are_in_the_order_of_the_labels_or_drawn_anew(tmp_path: Path, shares_layers: bool) -> None:
    teacher = make_teacher()
    architecture = teacher.architecture
    if shares_layers:  # which from_pretrained does not know
        assert isinstance(architecture, EncoderArchitecture)
        layers = range(architecture.shape.layers)
        schedule = tuple(LayerUse(layer=0, swapped=layer % 2 == 1) for layer in layers)
        architecture = architecture.model_copy(update={"schedule": schedule})
        restructure(teacher.network, architecture)
    labels = TASK_LABELS["text_classification"]
    save_network(teacher.network, tmp_path)
    manifest = ModelManifest(
        files=Files(prefix="", entries={}),
        architecture=architecture,
        task="text_classification",
        labels=labels,
        parameters=1,
        max_length=32,
    )
    weight = teacher.network.classifier.weight
    turned, other = (
        load_network(tmp_path, manifest, task="text_classification", labels=others)
        for others in (labels[::-1], [f"other {label}" for label in labels])
    )
    assert torch.equal(turned.classifier.weight, weight.flip(0))
    assert turned.config.id2label == dict(enumerate(labels[::-1]))
    assert other.classifier.weight.shape == weight.shape
    assert (other.classifier.weight - weight).abs().min() > 0
    assert torch.equal(other.bert.pooler.dense.weight, teacher.network.bert.pooler.dense.weight)


def test_a_bare_encoder_has_no_head(tmp_path: Path) -> None:
    teacher = make_teacher()
    save_network(teacher.network.bert, tmp_path)
    tiny_tokenizer().save(str(tmp_path / TOKENIZER))
    manifest = ModelManifest(
        files=Files(prefix="", entries={}),
        architecture=teacher.architecture,
        task=None,
        labels=None,
        parameters=1,
        max_length=32,
    )
    labels = TASK_LABELS["text_classification"]
    loaded = load_teacher(tmp_path, manifest, task="text_classification", labels=labels)
    assert loaded.has_new_head


def test_a_model_made_for_a_data_set_has_a_new_head(tmp_path: Path) -> None:
    table = pa.table({"source": ["one two"], "target": ["un deux"]})
    pq.write_table(table, tmp_path / "train.parquet")
    architecture = translation_card(TEACHER)
    assert untrained_translator(tmp_path, architecture).has_new_head
