"""An answer of an exported file depends on its own text alone, whoever shares the batch, however padded."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from transformers import PreTrainedModel

from app.domain.architectures import BiLstmArchitecture, BiLstmShape
from app.domain.documents.manifest import ModelManifest, OnnxExport
from app.domain.tasks import Head, Task
from tests.families import EACH_TRAITS
from tests.worker.compression import encoder_card, make_teacher
from worker.contracts import FloatArray, IntArray
from worker.evaluation.exported import ExportedEncoder
from worker.export.exports import make_exports
from worker.export.per_token import activation_scales
from worker.networks.bilstm import BiLstmConfig
from worker.networks.loading import build_network

TEXTS = 12
"""Of lengths from 2 to 13, all of different tokens."""


def answers(export: ExportedEncoder, rows: Sequence[IntArray], *, length: int) -> list[FloatArray]:
    """Logits of texts in one batch that is padded to a length, those of padded tokens left out."""
    mask = (np.arange(length) < np.array([[len(row)] for row in rows])).astype(np.int64)
    ids = np.zeros_like(mask)
    ids[mask == 1] = np.concatenate(rows)
    logits = export.run({"input_ids": ids, "attention_mask": mask})
    return [one[: len(row)] if one.ndim == 2 else one for one, row in zip(logits, rows, strict=True)]


def check(network: PreTrainedModel, folder: Path) -> None:
    """Each text alone, and in batches with others."""
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if weight.ndim == 2 and "embed" not in name:
                weight.mul_(4.0)  # activations as far apart as those of a trained network
    draw = np.random.default_rng(0)
    rows = [draw.integers(5, 40, 2 + number) for number in range(TEXTS)]
    for precision, path in make_exports(network.eval(), ["fp32", "int8"], folder).items():
        export = ExportedEncoder(path, threads=1)
        alone = [answers(export, [row], length=len(row))[0] for row in rows]
        for companions in (range(TEXTS), range(0, TEXTS, 3), draw.permutation(TEXTS)[:5]):
            together = answers(export, [rows[number] for number in companions], length=TEXTS + 2)
            for number, found in zip(companions, together, strict=True):
                np.testing.assert_array_equal(found, alone[number], err_msg=f"{precision} {number}")


@pytest.mark.parametrize("family", EACH_TRAITS)
def test_of_encoders(family: str, tmp_path: Path) -> None:
    check(make_teacher(family, task="token_classification").network, tmp_path)


@pytest.mark.parametrize("task", ["text_classification", "token_classification"])
def test_of_heads_and_lstms(task: Task, tmp_path: Path) -> None:
    check(make_teacher(task=task).network, tmp_path)
    shape = BiLstmShape(embedding=8, hidden=6, projection=5)
    architecture = BiLstmArchitecture(shape=shape, vocabulary=40, positions=64)
    check(build_network(BiLstmConfig(pad_token_id=0), architecture, Head(task=task, outputs=3)), tmp_path)


def test_files_of_earlier_versions_say_what_they_are() -> None:
    export = OnnxExport(file="", size_bytes=1, max_logit_difference=0.1, label_agreement=1.0)
    manifest = ModelManifest.model_validate(
        {
            "files": {"prefix": "models/mdl_0", "entries": {}},
            "architecture": encoder_card(),
            "task": None,
            "labels": None,
            "parameters": 1,
            "max_length": 8,
            "exports": {"fp32": export, "int8": export},
        }
    )
    scales = {precision: export.activation_scales for precision, export in manifest.exports.items()}
    assert scales == {"fp32": None, "int8": "per_batch"}


def test_scales_are_read_from_the_file(tmp_path: Path) -> None:
    product = onnx.helper.make_node("DynamicQuantizeLinear", ["x"], ["levels", "scale", "zero"])
    graph = onnx.helper.make_graph([product], "earlier", [], [])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "earlier.onnx")
    assert activation_scales([tmp_path / "earlier.onnx"]) == "per_batch"
