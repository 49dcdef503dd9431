"""A tagger on running text, as its clients send it, beside the same on the words of the data."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from app.domain.entity_spans import Tagging
from app.domain.tasks import TASKS, Task
from app.domain.word_splitting import RECORD, WordSplitter, running_text
from app.engine.encoder import OnnxEncoder
from app.engine.tokenizer_config import TOKENIZER
from app.engine.tokenizing import TextTokenizer, WordsInput
from app.inference.predictors.predictor import Run
from app.inference.predictors.results import NamedEntities
from app.inference.predictors.tagger import Tagger, TaggingOptions
from worker.data.batches import announce_batch
from worker.data.tables import read_split

_MOST_ROWS: Final = 500
"""Of dev that are compared."""
_BATCH_SIZE: Final = 32
_NOTABLE: Final = 0.01

_Entity = tuple[str, int, int]


@dataclass(frozen=True)
class ServedQuality:
    """Span F1 on the same rows of dev."""

    running_text: float
    """Of the rows' words written one after the other, split as a text is when it is served."""
    given_words: float
    """Of the words themselves."""


def tags_words(task: Task) -> bool:
    """Whether models of this task give each word of a text a tag."""
    return TASKS[task].predictor == "tagger"


def learnt_words(dataset_folder: Path) -> WordSplitter:
    """How the words of a data set's training rows lie in running text."""
    return WordSplitter.learnt(_columns(dataset_folder, "train", "tokens")["tokens"])


def served_quality(
    path: Path,
    folder: Path,
    dataset_folder: Path,
    *,
    labels: Sequence[str],
    data_labels: Sequence[str],
    max_length: int,
    threads: int,
) -> ServedQuality:
    """Tag dev with an exported file twice.

    Args:
        path: the ONNX file.
        folder: the model's, with its tokenizer and the record of its words.
        dataset_folder: of a Parquet file for each split.
        labels: the model's tags in order.
        data_labels: those of the data set, which may be of another scheme and order.
        max_length: in tokens.
        threads: of a run.
    """
    tagger = Tagger(
        OnnxEncoder(path, threads=threads),
        TextTokenizer.from_file(folder / TOKENIZER, max_length=max_length),
        labels,
        WordSplitter.from_json((folder / RECORD).read_bytes()),
    )
    dev = _columns(dataset_folder, "dev", "tokens", "tags")
    rows = list(islice(_labelled(dev["tokens"], dev["tags"]), _MOST_ROWS))
    sentences = [words for words, _ in rows]
    tagging = Tagging(data_labels)
    truth = [list(tagging.spans(tags)) for _, tags in rows]
    written = [running_text(words) for words in sentences]
    in_text = [
        [(kind, places[first][0], places[after - 1][1]) for kind, first, after in entities]
        for entities, (_, places) in zip(truth, written, strict=True)
    ]
    return ServedQuality(
        running_text=_f1(in_text, _tagged(tagger, [text for text, _ in written])),
        given_words=_f1(truth, _tagged(tagger, sentences)),
    )


def served_warning(quality: ServedQuality) -> str | None:
    """A sentence for the client where running text is tagged clearly worse than given words."""
    if quality.given_words - quality.running_text <= _NOTABLE:
        return None
    return (
        f"Served on running text, the student's f1 on dev is {quality.running_text:.3f}; on the words of the "
        f"data it is {quality.given_words:.3f}: the data's words cannot all be told from the text. Send "
        'lists of words to predict: {"words": ["...", "..."]}.'
    )


def _labelled(
    sentences: Sequence[list[str]], tags: Sequence[list[int | None] | None]
) -> Iterator[tuple[list[str], list[int]]]:
    """Rows whose every word has a tag."""
    for words, given in zip(sentences, tags, strict=True):
        known = [tag for tag in given or () if tag is not None and tag >= 0]
        if len(known) == len(words):
            yield words, known


def _columns(folder: Path, split: str, *names: str) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = read_split(folder, split, names).to_pydict()
    return columns


def _tagged(tagger: Tagger, texts: Sequence[WordsInput]) -> list[list[_Entity]]:
    options = TaggingOptions()
    reading = tagger.run_options(texts, options)
    found: list[list[_Entity]] = []
    for begin in range(0, len(texts), _BATCH_SIZE):
        announce_batch()
        batch = tagger.encode(texts[begin : begin + _BATCH_SIZE], reading)
        for row in tagger.run(Run(batch, reading, is_wanted=lambda _: True)):
            result = tagger.result(row, options)
            assert isinstance(result, NamedEntities)
            found.append([(entity.kind, entity.start, entity.end) for entity in result.entities])
    return found


def _f1(truth: Sequence[Sequence[_Entity]], found: Sequence[Sequence[_Entity]]) -> float:
    right = sum(len(set(true) & set(given)) for true, given in zip(truth, found, strict=True))
    count = sum(map(len, truth)) + sum(map(len, found))
    return 2 * right / count if count else 0.0
