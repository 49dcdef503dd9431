"""Teachers' scores from their stored column to logits at the positions of a split."""

import numpy as np
import pyarrow as pa
import pytest

from app.domain.documents.manifest import DatasetManifest, Files
from app.domain.tasks import Task
from app.domain.tasks.record import TEACHER_SCORES
from tests.tiny import tiny_tokenizer
from worker.contracts import IGNORE_INDEX, ModelTokenizers
from worker.data.batches import concatenate, subset
from worker.tasks.reading import encode_columns
from worker.tasks.teacher_scores import average, certain, chosen, row_scores

TOKENIZER = tiny_tokenizer()
TOKENIZERS = ModelTokenizers(TOKENIZER, TOKENIZER, TOKENIZER.get_vocab_size(), 2)
TAGS = ["O", "B-x", "I-x"]
ONE, TWO = [0.0, 1.0], [2.0, -1.0]


def manifest(task: Task, labels: list[str]) -> DatasetManifest:
    return DatasetManifest(
        files=Files(prefix="", entries={}), task=task, labels=labels, is_pair=False, splits={}
    )


LISTS = pa.list_(pa.float32())


def table(type_: pa.DataType = LISTS, **said: list[object]) -> pa.Table:
    columns = [pa.array(rows, type_) for rows in said.values()]
    return pa.table({TEACHER_SCORES: pa.StructArray.from_arrays(columns, names=list(said))})


def softmax(logits: object) -> np.ndarray:
    powers = np.exp(np.asarray(logits, np.float64))
    return powers / powers.sum(-1, keepdims=True)


class TestRows:
    CLASSES = manifest("text_classification", ["a", "b"])

    def test_one_teacher_says_what_is_stored(self):
        found = row_scores(table(gpt=[ONE, None, TWO]), self.CLASSES, None)
        assert [None if row is None else row.tolist() for row in found] == [[ONE], None, [TWO]]

    def test_several_are_averaged_where_they_say_something(self):
        said = table(a=[ONE, None, TWO, None], b=[TWO, TWO, None, None])
        found = row_scores(said, self.CLASSES, {"a": 3, "b": 1})
        assert np.allclose(softmax(found[0]), 0.75 * softmax(ONE) + 0.25 * softmax(TWO))
        assert np.allclose(softmax(found[1]), softmax(TWO))
        assert np.allclose(softmax(found[2]), softmax(TWO))
        assert found[3] is None

    def test_those_without_a_weight_do_not_count(self):
        said = table(a=[ONE, None], b=[TWO, TWO])
        assert row_scores(said, self.CLASSES, {"a": 1})[1] is None
        assert row_scores(said, self.CLASSES, {"other": 1}) is None

    def test_words_of_sentences_of_several_lengths(self):
        words = [[1.0, 2, 3, 4, 5, 6], [7.0, 8, 9], None]
        said = table(a=words, b=[None, [0.0, 0, 0], [0.0, 1, 2, 3, 4, 5]])
        found = row_scores(said, manifest("token_classification", TAGS), None)
        assert [row.shape for row in found] == [(2, 3), (1, 3), (2, 3)]
        assert np.allclose(softmax(found[0]), softmax([[1, 2, 3], [4, 5, 6]]))
        assert np.allclose(softmax(found[1]), (softmax([[7, 8, 9]]) + 1 / 3) / 2)

    def test_texts(self):
        said = table(pa.string(), gpt=["ein Hund", None], other=["x", "y"])
        assert row_scores(said, manifest("translation", []), {"gpt": 1}) == ["ein Hund", None]

    def test_no_column(self):
        assert row_scores(pa.table({"text": ["x"]}), self.CLASSES, None) is None


class TestAverage:
    LOGITS = np.array([[[0.5, -1]], [[3, 2]]], np.float32)
    WEIGHTS = np.array([[1.0], [3.0]])

    def test_of_distributions(self):
        found = average(self.LOGITS, self.WEIGHTS, "distribution")
        assert np.allclose(np.exp(found), 0.25 * softmax(self.LOGITS[0]) + 0.75 * softmax(self.LOGITS[1]))

    def test_of_labels_by_themselves(self):
        sigmoid = 1 / (1 + np.exp(-self.LOGITS.astype(float)))
        found = average(self.LOGITS, self.WEIGHTS, "per_label")
        assert np.allclose(1 / (1 + np.exp(-found)), 0.25 * sigmoid[0] + 0.75 * sigmoid[1])

    def test_of_numbers(self):
        assert average(self.LOGITS[..., :1], self.WEIGHTS, "number").tolist() == [[0.25 * 0.5 + 0.75 * 3]]


@pytest.mark.parametrize(
    ("task", "labels"),
    [
        ("text_classification", np.array([1, 0, 2])),
        ("token_classification", np.array([1, 0, 2])),
        ("multi_label_classification", np.array([[0, 1, 1], [0, 0, 0], [1, 0, 0]], np.float32)),
        ("text_regression", np.array([1.5, -2, 0], np.float32)),
    ],
)
def test_who_is_certain_of_labels_chooses_these(task, labels):
    logits = certain(labels, 3)
    assert logits.dtype == np.float32
    found = chosen(logits, task)
    assert (found.dtype, found.tolist()) == (labels.dtype, labels.tolist())


def test_nobody_is_certain_where_there_is_no_label():
    assert np.isnan(certain(np.array([1, IGNORE_INDEX]), 2)).tolist() == [[False, False], [True, True]]
    assert np.isnan(certain(np.array([1, np.nan], np.float32), 1)).tolist() == [[False], [True]]


class TestPositions:
    def encoded(self, task: Task, columns: dict[str, list[object]], *, max_length: int = 32):
        return encode_columns(task, columns, tokenizers=TOKENIZERS, max_length=max_length, labels=3)

    def test_texts_have_one(self):
        scores = [np.array([[1, 2, 3]], np.float32), None]
        split = self.encoded("text_classification", {"text": ["a film", "dull"], TEACHER_SCORES: scores})
        assert split.scores[0].tolist() == [1, 2, 3]
        assert np.isnan(split.scores[1]).all()
        assert self.encoded("text_classification", {"text": ["x"]}).scores is None

    def test_words_that_are_cut_off_or_are_nothing_have_none(self):
        words = ["film", "\u200b", "music", "story", "actor"]
        scores = [np.arange(15, dtype=np.float32).reshape(5, 3), None]
        columns = {"tokens": [words, ["a", "b"]], TEACHER_SCORES: scores}
        split = self.encoded("token_classification", columns, max_length=5)
        first, second = np.split(split.scores, split.position_offsets[1:-1])
        assert first[:, 0].tolist() == [0, 6, 9]  # the second word is no token, and the last has no room
        assert np.isnan(second).all()

    def test_stay_with_their_rows(self):
        columns = {"tokens": [["film"], ["a", "b"], ["dull", "x"]]}
        scores = [np.full((len(row), 3), number, np.float32) for number, row in enumerate(columns["tokens"])]
        split = self.encoded("token_classification", columns | {TEACHER_SCORES: scores})
        turned = subset(split, np.array([2, 0]))
        assert turned.scores[:, 0].tolist() == [2, 2, 0]
        plain = self.encoded("token_classification", columns)
        both = concatenate(plain, turned)
        assert np.isnan(both.scores[:5]).all()
        assert both.scores[5:, 0].tolist() == [2, 2, 0]
        assert concatenate(plain, plain).scores is None

    def test_translations_are_tokens(self):
        columns = {"source": ["the dog", "the cat", "a"], TEACHER_SCORES: ["a film", None, "dull"]}
        split = self.encoded("translation", columns)
        assert split.written.lengths.tolist() == [4, 0, 3]
        assert subset(split, np.array([1, 2])).written.lengths.tolist() == [0, 3]
