"""Whether a teacher comes with a head for what a job asks."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.domain.documents.manifest import Files, ModelManifest
from app.domain.tasks import Task
from tests.tiny import tiny_tokenizer
from tests.worker.compression import TASK_LABELS, make_teacher
from tests.worker.translations import TEACHER, translation_card
from worker.networks.loading import TOKENIZER, load_teacher, save_network
from worker.networks.new_translator import untrained_translator


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
    teacher = make_teacher(tmp_path / "made")
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


def test_a_bare_encoder_has_no_head(tmp_path: Path) -> None:
    teacher = make_teacher(tmp_path / "made")
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
