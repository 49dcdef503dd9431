"""The ONNX files of one network: made, then compared with it on dev texts."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from transformers import PreTrainedModel

from app.domain.documents import Precision
from app.domain.documents.manifest import OnnxExport
from app.domain.tasks import TASKS
from app.domain.tasks.record import TaskRecord
from app.engine.encoder_decoder import OnnxEncoderDecoder
from app.engine.generation import SpecialTokens
from worker.contracts import FloatArray, IntArray, TaskData, TokenizedSplit
from worker.data.batches import subset
from worker.evaluation.evaluate import predict_logits
from worker.evaluation.exported import ExportedEncoder, ExportedModel, ExportedTranslator
from worker.evaluation.quality import chosen_thresholds, main_metric, written_quality
from worker.evaluation.translation import translate
from worker.export.onnx_export import export_onnx, export_translator
from worker.export.parity import (
    Parity,
    check_fp32,
    check_int8,
    check_int8_metric,
    compare_logits,
    probe,
    probed_counts,
)
from worker.export.per_token import activation_scales
from worker.export.quantisation import quantise_onnx
from worker.networks.forward import is_translator
from worker.tasks import IMPLEMENTATIONS
from worker.tasks.implementation import Thresholds

_MOST_TEXTS = 1_000
"""Dev texts compared at most: a share of 0.9 is then known within two points."""

_MOST_MASKED_TEXTS: Final = 64
_MOST_TRANSLATIONS: Final = 16
"""Fewer where each prediction is a distribution over the vocabulary."""


def onnx_name(precision: Precision, network: PreTrainedModel) -> str:
    """Of the whole network, or of a translation model's encoder: the decoder's file lies beside it."""
    return f"{'encoder' if is_translator(network) else 'model'}.{precision}.onnx"


def decoder_beside(encoder: Path) -> Path:
    """The file that holds the decoder to an encoder's."""
    return encoder.with_name(encoder.name.replace("encoder", "decoder", 1))


def files_of(path: Path) -> list[Path]:
    """All files of an export: one, or an encoder's and a decoder's."""
    decoder = decoder_beside(path)
    return [path] if decoder == path else [path, decoder]


def open_export(path: Path, network: PreTrainedModel, *, threads: int = 1) -> ExportedModel:
    """An export of a network in the session that would serve it with so many threads a run."""
    if not is_translator(network):
        return ExportedEncoder(path, threads=threads)
    config = network.config
    files = OnnxEncoderDecoder(
        path,
        decoder_beside(path),
        special=SpecialTokens.of_config(config.to_dict()),
        max_tokens=config.max_position_embeddings,
        threads=threads,
    )
    return ExportedTranslator(files)


def make_exports(
    network: PreTrainedModel, precisions: Iterable[Precision], folder: Path
) -> dict[Precision, Path]:
    """Write the ONNX files asked for into a folder; the network has to lie on the CPU."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {precision: folder / onnx_name(precision, network) for precision in precisions}
    fp32 = folder / onnx_name("fp32", network)
    if is_translator(network):
        export_translator(network, fp32, decoder_beside(fp32))
    else:
        export_onnx(network, fp32)
    if "int8" in paths:
        for source, target in zip(files_of(fp32), files_of(paths["int8"]), strict=True):
            quantise_onnx(source, target)
    if "fp32" not in paths:
        for path in files_of(fp32):
            path.unlink()
    return paths


def compare_exports(
    network: PreTrainedModel,
    paths: Mapping[Precision, Path],
    data: TaskData,
    *,
    opened: Mapping[Precision, ExportedModel] | None = None,
    thresholds: Thresholds | None = None,
    on_logits: Callable[[Precision, FloatArray], None] = lambda *_: None,
) -> dict[Precision, OnnxExport]:
    """Measure each file against the torch network, both on the CPU, on the dev texts.

    Args:
        network: on the CPU.
        paths: its files.
        data: whose dev texts are compared.
        opened: the files, where they are open already.
        thresholds: of the labels; None: those that are best on the texts compared.
        on_logits: is given the logits (P, C) of each file on these texts.
    """
    pad_id = data.pad_id
    agreement = IMPLEMENTATIONS[data.task].agreement
    dev = _some(data.dev, sampled_rows(data.dev, TASKS[data.task]))
    asked = dev.position_offsets[-1]
    reference = probe(partial(predict_logits, network, pad_id=pad_id, device=network.device), dev)
    counts = probed_counts(dev)
    if thresholds is None:
        thresholds = chosen_thresholds(data.task, dev, reference[:asked])
    # How a translation model itself would write takes too long to find out again.
    of_network = (
        None if is_translator(network) else main_metric(dev, reference[:asked], data, thresholds=thresholds)
    )
    found = {}
    for precision, path in paths.items():
        model = open_export(path, network) if opened is None else opened[precision]
        exported = probe(partial(model.logits, pad_id=pad_id), dev)
        on_logits(precision, exported[:asked])
        parity = compare_logits(
            reference, exported, agreement=lambda ours, theirs: agreement(ours, theirs, thresholds, counts)
        )
        files = files_of(path)
        found[precision] = OnnxExport(
            file=path.name,
            decoder_file=files[1].name if len(files) > 1 else None,
            activation_scales=activation_scales(files) if precision == "int8" else None,
            size_bytes=sum(file.stat().st_size for file in files),
            max_logit_difference=parity.max_logit_difference,
            label_agreement=parity.label_agreement,
            metric=written_metric(model, data.dev, data)
            if isinstance(model, ExportedTranslator)
            else main_metric(dev, exported[:asked], data, thresholds=thresholds),
            network_metric=of_network,
        )
    return found


def sampled_rows(split: TokenizedSplit, record: TaskRecord) -> IntArray:
    """The rows of a split that files are asked of: all of a small one, the same of any model's tokens."""
    return _sampled_rows(split, _most_texts(record))


def _sampled_rows(split: TokenizedSplit, most: int) -> IntArray:
    if len(split) <= most:
        return np.arange(len(split))
    if split.groups is not None:  # pairs stay whole
        some = np.random.default_rng(0).permutation(np.unique(split.groups))[: most // 2]
        return np.flatnonzero(np.isin(split.groups, some))
    return np.random.default_rng(0).choice(len(split), most, replace=False)


def _most_texts(record: TaskRecord) -> int:
    if record.writes:
        return _MOST_TRANSLATIONS
    return _MOST_MASKED_TEXTS if record.answers_in_tokens else _MOST_TEXTS


def written_metric(translator: ExportedTranslator, split: TokenizedSplit, data: TaskData) -> float:
    """BLEU of what the files write themselves, word after word, on a split or a sample of a large one."""
    some = _some(split, _sampled_rows(split, _MOST_TEXTS))
    return written_quality(translate(translator.network, some, pad_id=data.pad_id), some, data)["bleu"]


def _some(split: TokenizedSplit, rows: IntArray) -> TokenizedSplit:
    return split if len(rows) == len(split) else subset(split, rows)


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
            check_int8_metric(export.metric, export.network_metric, min_kept=int8_min_agreement)
