"""From the files of a model to what answers its task."""

from collections.abc import Callable
from pathlib import Path

from app.domain.documents.manifest import ModelManifest
from app.engine.network import OnnxNetwork
from app.engine.tokenizing import TextTokenizer
from app.inference.predictors.classifier import Classifier, Regressor
from app.inference.predictors.fill_mask import FillMask
from app.inference.predictors.predictor import Predictor
from app.inference.predictors.tagger import Tagger
from app.inference.predictors.translator import Translator

Fetch = Callable[[str], Path]
"""A local copy of a file of the model, by its name."""


def open_predictor(manifest: ModelManifest, precision: str, *, fetch: Fetch, threads: int) -> Predictor:
    """Load the export of one precision and what belongs to it."""
    if manifest.task == "translation":
        return _open_translator(manifest, precision, fetch=fetch, threads=threads)
    network = OnnxNetwork(
        fetch(manifest.exports[precision].file),
        TextTokenizer(fetch("tokenizer.json"), max_length=manifest.max_length),
        threads=threads,
    )
    match manifest.task:
        case "text_classification":
            return Classifier(network, manifest.labels or ())
        case "text_regression":
            return Regressor(network)
        case "token_classification":
            return Tagger(network, manifest.labels or ())
        case "masked_language_modeling":
            return FillMask(network, vocabulary=manifest.architecture.vocabulary)
    raise ValueError("a model without a task answers nothing")


def _open_translator(manifest: ModelManifest, precision: str, *, fetch: Fetch, threads: int) -> Translator:
    export = manifest.exports[precision]
    assert export.decoder_file is not None
    reader = TextTokenizer(fetch("tokenizer.json"), max_length=manifest.max_length)
    writer = reader
    if "target_tokenizer.json" in manifest.files.entries:
        writer = TextTokenizer(fetch("target_tokenizer.json"), max_length=manifest.max_length)
    return Translator(
        fetch(export.file),
        fetch(export.decoder_file),
        config=fetch("config.json"),
        reader=reader,
        writer=writer,
        threads=threads,
    )
