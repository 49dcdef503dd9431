"""From the files of a model to what answers its task."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from app.domain.documents.manifest import ModelManifest
from app.domain.tasks import TASKS
from app.domain.word_splitting import RECORD, WordSplitter
from app.engine.encoder import OnnxEncoder
from app.engine.encoder_decoder import OnnxEncoderDecoder
from app.engine.generation import SpecialTokens
from app.engine.question_windows import WindowTokenizer
from app.engine.tokenizer_config import TARGET_TOKENIZER, TOKENIZER
from app.engine.tokenizing import TextTokenizer
from app.inference.predictors.classifier import Classifier, Regressor
from app.inference.predictors.embedder import Embedder
from app.inference.predictors.fill_mask import FillMask
from app.inference.predictors.multi_label import MultiLabelClassifier
from app.inference.predictors.predictor import Predictor
from app.inference.predictors.question_answerer import QuestionAnswerer
from app.inference.predictors.tagger import Tagger
from app.inference.predictors.translator import Translator

Fetch: TypeAlias = Callable[[str], Path]
"""A local copy of a file of the model, by its name."""


@dataclass(frozen=True)
class ModelExport:
    """The files of one precision of a model, and how many threads a run of them has."""

    manifest: ModelManifest
    precision: str
    fetch: Fetch
    threads: int

    def encoder(self) -> OnnxEncoder:
        file = self.manifest.exports[self.precision].file
        return OnnxEncoder(self.fetch(file), threads=self.threads)

    def encoder_decoder(self) -> OnnxEncoderDecoder:
        export = self.manifest.exports[self.precision]
        assert export.decoder_file is not None
        return OnnxEncoderDecoder(
            self.fetch(export.file),
            self.fetch(export.decoder_file),
            special=SpecialTokens.of_config(json.loads(self.fetch("config.json").read_bytes())),
            max_tokens=self.manifest.max_length,
            threads=self.threads,
        )

    def tokenizer(self, file: str = TOKENIZER) -> TextTokenizer:
        return TextTokenizer.from_file(self.fetch(file), max_length=self.manifest.max_length)

    def word_splitter(self) -> WordSplitter:
        """That of the data the model was trained on; by rules alone where it is not known."""
        if RECORD not in self.manifest.files.entries:
            return WordSplitter()
        return WordSplitter.from_json(self.fetch(RECORD).read_bytes())

    def window_tokenizer(self) -> WindowTokenizer:
        return WindowTokenizer.from_file(self.fetch(TOKENIZER), max_length=self.manifest.max_length)

    @property
    def labels(self) -> list[str]:
        return self.manifest.labels or []


def _open_translator(export: ModelExport) -> Translator:
    network, source = export.encoder_decoder(), export.tokenizer()
    has_target = TARGET_TOKENIZER in export.manifest.files.entries
    target = export.tokenizer(TARGET_TOKENIZER) if has_target else source
    return Translator(network, source_tokenizer=source, target_tokenizer=target)


PREDICTORS: Final[Mapping[str, Callable[[ModelExport], Predictor]]] = {
    "classifier": lambda export: Classifier(export.encoder(), export.tokenizer(), export.labels),
    "multi_label_classifier": lambda export: MultiLabelClassifier(
        export.encoder(), export.tokenizer(), export.labels, export.manifest.thresholds
    ),
    "regressor": lambda export: Regressor(
        export.encoder(), export.tokenizer(), activation=export.manifest.activation
    ),
    "embedder": lambda export: Embedder(
        export.encoder(), export.tokenizer(), dimensions=export.manifest.dimensions
    ),
    "tagger": lambda export: Tagger(
        export.encoder(), export.tokenizer(), export.labels, export.word_splitter()
    ),
    "fill_mask": lambda export: FillMask(
        export.encoder(), export.tokenizer(), vocabulary=export.manifest.architecture.vocabulary
    ),
    "question_answerer": lambda export: QuestionAnswerer(
        export.encoder(),
        export.tokenizer(),
        export.window_tokenizer(),
        threshold=next(iter(export.manifest.thresholds or ()), None),
    ),
    "translator": _open_translator,
}
"""By the name that the records of tasks give."""


def open_predictor(manifest: ModelManifest, precision: str, *, fetch: Fetch, threads: int) -> Predictor:
    """Load the export of one precision and what belongs to it."""
    if manifest.task is None:
        raise ValueError("a model without a task head cannot predict")
    export = ModelExport(manifest, precision, fetch, threads)
    return PREDICTORS[TASKS[manifest.task].predictor](export)
