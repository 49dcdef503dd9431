"""Teachers and their data, each made when it is first needed."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from app.domain.architectures import EncoderDecoderShape, EncoderShape
from app.domain.documents import Target, TrainingSpec
from app.domain.methods import ScratchSpec
from app.domain.tasks import TASKS
from app.engine.tokenizing import pad_id
from benchmarks.methods.entry import TEACHER_TRAINING, TRANSFER_ROWS
from benchmarks.sets import SETS, labels_of, read_set, read_test
from benchmarks.students import (
    WORK,
    asked_teacher,
    compress,
    fine_tuned_minilm,
    first_translator,
    load_minilm,
    sentence_minilm,
    trained_translator,
)
from worker.contracts import TaskData, Teacher, TokenizedSplit
from worker.networks.loading import save_network

TRANSLATOR = EncoderDecoderShape(encoder_layers=6, decoder_layers=6, hidden=128, heads=4, ffn=256)
TRANSLATOR_WORDS = 4000
SMALL = EncoderShape(layers=3, hidden=192, heads=6, ffn=768)


@dataclass(frozen=True)
class Place:
    """A set, and the seed that drew it where it is a sample."""

    name: str
    seed: int
    rows: int | None = None
    """The first of train and of dev; default: all."""

    @classmethod
    def of(cls, name: str, seed: int) -> "Place":
        """Only what is drawn depends on the seed: any other set has one teacher for all."""
        return cls(name, seed if SETS[name].per_label is not None else 0)

    @property
    def folder(self) -> Path:
        return WORK / "teachers" / self._label

    @property
    def weights(self) -> Path:
        """There once it is trained."""
        return self.folder / "model.safetensors"

    @property
    def exports(self) -> Path:
        return WORK / "exports" / self._label

    @property
    def _label(self) -> str:
        seeded = f"{self.name}-{self.seed}" if self.seed else self.name
        return seeded if self.rows is None else f"{seeded}-{self.rows}-rows"


class Workbench:
    """Every teacher that was asked for so far."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._known: dict[Place, tuple[Teacher, TaskData]] = {}

    def teacher(self, place: Place) -> tuple[Teacher, TaskData]:
        """The teacher of a set, trained if need be, and the set in its tokens."""
        if place not in self._known:
            self._known[place] = self._make(place)
        return self._known[place]

    def small_model(self, place: Place) -> Teacher:
        """An encoder of 3 x 192 pretrained on masked words, with a new head for a set's task."""
        chosen, folder = SETS["movie_words"], WORK / "teachers" / "small"
        if not (folder / "model.safetensors").exists():
            whole = load_minilm(chosen.task, [], seed=0)
            training = TrainingSpec(**TEACHER_TRAINING["movie_words"], max_length=chosen.max_length)
            data = read_set("movie_words", self._data, whole)
            scratch, target = ScratchSpec(name="scratch"), Target(shape=SMALL)
            small = compress(whole, data, scratch, training, target=target)
            save_network(small.network, folder)
        _, data = self.teacher(place)
        return load_minilm(data.task, data.labels, seed=place.seed, folder=folder)

    def read(self, place: Place, reader: Teacher) -> TaskData:
        data = read_set(
            place.name,
            self._data,
            reader,
            seed=place.seed,
            rows=place.rows,
            dev_rows=place.rows,
            transfer_rows=TRANSFER_ROWS.get(place.name, 0),
        )
        if not TASKS[data.task].answers_in_vectors:
            return data
        return replace(data, dev=asked_teacher(data.dev, reader, pad_id=data.pad_id))

    def test(self, place: Place, reader: Teacher) -> TokenizedSplit:
        """The test split of a set whose students answer with vectors."""
        split = read_test(place.name, self._data, reader)
        return asked_teacher(split, reader, pad_id=pad_id(reader.tokenizer))

    def _make(self, place: Place) -> tuple[Teacher, TaskData]:
        chosen = SETS[place.name]
        if TASKS[chosen.task].answers_in_vectors:
            teacher = sentence_minilm()
            return teacher, self.read(place, teacher)
        training = TrainingSpec(
            **TEACHER_TRAINING[place.name],
            metric=None if TASKS[chosen.task].selects_by_loss else chosen.metric,
            max_length=chosen.max_length,
        )
        read = partial(
            read_set, place.name, self._data, seed=place.seed, rows=place.rows, dev_rows=place.rows
        )
        if TASKS[chosen.task].writes:
            untrained = first_translator(self._data, shape=TRANSLATOR, vocabulary=TRANSLATOR_WORDS)
            teacher = trained_translator(place.folder, untrained, read(untrained), training)
        else:
            bare = load_minilm(chosen.task, labels_of(chosen, self._data), seed=0)
            teacher, _ = fine_tuned_minilm(place.folder, read(bare), training)
        return teacher, self.read(place, teacher)
