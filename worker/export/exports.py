"""The ONNX files of one network: made, then compared with it on dev texts."""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from transformers import PreTrainedModel

from app.core.manifest import OnnxExport
from app.core.specs import Precision
from worker.contracts import TaskData
from worker.data import subset
from worker.evaluation.evaluate import OnnxNetwork, predict_logits
from worker.evaluation.quality import main_metric
from worker.export.onnx_export import export_onnx
from worker.export.parity import Parity, check_fp32, check_int8, compare_logits, probe
from worker.export.quantisation import quantise_onnx

_MOST_TEXTS = 1_000
"""Dev texts compared at most: a share of 0.9 is then known within two points."""

_MOST_TEXTS_OF_WORDS = 64
"""Where each answer is as wide as the vocabulary."""


def onnx_name(precision: Precision) -> str:
    return f"model.{precision}.onnx"


def make_exports(
    network: PreTrainedModel, precisions: Iterable[Precision], folder: Path
) -> dict[Precision, Path]:
    """Write the ONNX files asked for into a folder; the network has to lie on the CPU."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {precision: folder / onnx_name(precision) for precision in precisions}
    fp32 = folder / onnx_name("fp32")
    export_onnx(network, fp32)
    if "int8" in paths:
        quantise_onnx(fp32, paths["int8"])
    if "fp32" not in paths:
        fp32.unlink()
    return paths


def compare_exports(
    network: PreTrainedModel, paths: Mapping[Precision, Path], data: TaskData
) -> dict[Precision, OnnxExport]:
    """Measure each file against the torch network, both on the CPU, on the dev texts."""
    dev, pad_id = data.dev, data.pad_id
    most = _MOST_TEXTS_OF_WORDS if data.task == "masked_language_modeling" else _MOST_TEXTS
    if len(dev) > most:
        dev = subset(dev, np.random.default_rng(0).choice(len(dev), most, replace=False))
    asked = dev.position_offsets[-1]
    reference = probe(partial(predict_logits, network, pad_id=pad_id, device=network.device), dev)
    found = {}
    for precision, path in paths.items():
        exported = probe(partial(OnnxNetwork(path).logits, pad_id=pad_id), dev)
        parity = compare_logits(reference, exported)
        found[precision] = OnnxExport(
            file=path.name,
            size_bytes=path.stat().st_size,
            max_logit_difference=parity.max_logit_difference,
            label_agreement=parity.label_agreement,
            metric=main_metric(dev, exported[:asked], data),
        )
    return found


def check_exports(
    exports: Mapping[Precision, OnnxExport], *, onnx_tolerance: float, int8_min_agreement: float
) -> None:
    """Raises ``JobError`` for a file too far from the network it was made from."""
    for precision, export in exports.items():
        parity = Parity(export.max_logit_difference, export.label_agreement)
        if precision == "fp32":
            check_fp32(parity, tolerance=onnx_tolerance)
        else:
            check_int8(parity, min_agreement=int8_min_agreement)
