"""Every task is whole: each of its parts has an implementation, in every layer and for every family."""

import re
from itertools import product
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from app.domain.tasks import TASKS, Head, Task
from app.inference.predictors.opening import PREDICTORS
from app.inference.protocols.parameters import PARAMETERS
from app.intake.datasets.columns import ColumnNames
from app.intake.datasets.target_columns import TARGETS
from app.intake.models.folder import prepare
from tests.families import layout_of, one_for_each
from tests.tiny import save_tokenizer, tiny_tokenizer
from tests.worker.compression import TEACHER_SHAPE, encoder_card, make_data, make_teacher
from worker.data.batches import collate
from worker.distillation.objectives import LabelLoss
from worker.evaluation.quality import measure, trivial_baseline
from worker.export.exports import compare_exports, make_exports
from worker.networks.forward import forward
from worker.networks.loading import save_network
from worker.tasks import IMPLEMENTATIONS

README = Path(__file__).parent.parent / "README.md"
CPU = torch.device("cpu")
FAMILIES = one_for_each(layout_of)
"""One of those that differ in their names alone."""
SHALLOW = TEACHER_SHAPE.model_copy(update={"layers": 2})
ENCODER_TASKS = [task for task, record in TASKS.items() if "encoder" in record.networks]


def test_the_tables_of_all_layers_have_the_same_tasks() -> None:
    names = set(get_args(Task))
    with_target = {task for task, record in TASKS.items() if record.columns.target is not None}
    assert names == set(TASKS), "app.domain.tasks.TASKS"
    assert with_target == set(TARGETS), "app.intake.datasets.target_columns.TARGETS"
    predictors = {record.predictor for record in TASKS.values()}
    assert predictors == set(PREDICTORS), "app.inference.predictors.opening.PREDICTORS"
    assert names == set(PARAMETERS), "app.inference.protocols.parameters.PARAMETERS"
    assert names == set(IMPLEMENTATIONS), "worker.tasks.IMPLEMENTATIONS"


@pytest.mark.parametrize("task", TASKS)
class TestRecord:
    def test_metrics_and_their_choice(self, task: Task) -> None:
        record = TASKS[task]
        names = [metric.name for metric in record.metrics]
        assert len(set(names)) == len(names)
        assert record.selects_by_loss or record.main_metric in record.selecting_metrics
        assert record.metrics[0].higher_is_better

    def test_columns_can_be_named(self, task: Task) -> None:
        columns = TASKS[task].columns
        fields = columns.required + columns.optional
        named = ColumnNames.model_validate({field: f"my {field}" for field in columns.required})
        assert named.of(task).names[: len(columns.required)] == [f"my {field}" for field in columns.required]
        assert set(fields) <= set(ColumnNames.model_fields)
        assert all(f"`{field}`" in TASKS[task].columns_help for field in columns.required)

    def test_outputs(self, task: Task) -> None:
        outputs = Head.of(task, labels=3, vocabulary=100, dimensions=50).outputs
        counts = {"labels": 3, "number": 1, "span": 2, "vocabulary": 100, "vector": 50}
        assert outputs == counts[TASKS[task].outputs]

    def test_the_readme_has_its_row(self, task: Task) -> None:
        record = TASKS[task]
        columns = ", ".join(
            [
                *record.columns.inputs,
                *([f"{record.columns.pair}?"] if record.columns.pair else []),
                *([record.columns.target] if record.columns.target else []),
                *([f"{record.columns.measure}?"] if record.columns.measure else []),
            ]
        )
        row = f"| `{task}` | {columns} | {record.judged_by} | `{record.answer_example}` |"
        assert row in README.read_text().splitlines()


def test_the_readme_has_no_other_row() -> None:
    table = re.findall(r"^\| `(\w+)` \| .* \| .* \| `.*` \|$", README.read_text(), re.MULTILINE)
    assert sorted(table) == sorted(TASKS)


@pytest.mark.parametrize(("task", "family"), list(product(ENCODER_TASKS, FAMILIES)))
def test_every_family_has_every_part(task: Task, family: str, tmp_path: Path) -> None:
    """Head, objectives, metrics, exports, and an upload that is read as what was written."""
    record, data, source = TASKS[task], make_data(task), tmp_path / "model"
    network = make_teacher(family, SHALLOW, task).network
    assert network.num_parameters() == encoder_card(family, shape=SHALLOW).count(head=data.head).total

    batch = collate(data.dev, np.arange(8), pad_id=data.pad_id, device=CPU)
    logits = forward(network, batch).logits
    assert logits.shape[-1] == data.head.outputs
    assert torch.isfinite(LabelLoss(task)(network, batch))
    assert float(IMPLEMENTATIONS[task].soft_loss(logits, logits, None).detach().abs()) < 1e-5

    found = measure(network, data.dev, data, device=CPU)
    assert {metric.name for metric in record.metrics} <= set(found)
    assert 0 <= trivial_baseline(task, data.dev) < 1

    export = compare_exports(network, make_exports(network, ["fp32"], tmp_path), data)["fp32"]
    assert export.label_agreement > 0.95
    assert export.metric == pytest.approx(export.network_metric, abs=1e-6)

    save_network(network, source)
    save_tokenizer(tiny_tokenizer(), source)
    (tmp_path / "stored").mkdir()
    manifest = prepare(source, tmp_path / "stored")
    assert (manifest.task, manifest.labels) == (task, data.labels or None)
