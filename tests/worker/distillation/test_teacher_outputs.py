import numpy as np
import pytest
import torch

from tests.tiny import tiny_examples
from tests.worker.compression import MemoryContext, encoded, make_data, make_teacher
from worker.data.batches import collate
from worker.distillation.teacher_outputs import (
    LOGITS,
    Output,
    cached_hidden_states,
    cached_logits,
    cached_states_asked,
    prepare_outputs,
)
from worker.vocabulary.trimming import count_pieces, trim_vocabulary

CPU = torch.device("cpu")
ROWS = np.array([5, 0, 17])


@pytest.fixture
def parts(tmp_path):
    return make_teacher(), make_data(train=40), MemoryContext(tmp_path)


def teacher_steps(context):
    return sum(stage == "teacher_outputs" for stage, *_ in context.reports)


def test_logits_are_the_teachers(parts):
    teacher, data, context = parts
    lookup = cached_logits(teacher, data.train, pad_id=0, context=context)
    batch = collate(data.train, ROWS, pad_id=0, device=CPU)
    with torch.inference_mode():
        expected = teacher.network(**batch.inputs).logits
    assert torch.allclose(lookup(batch), expected, atol=0.03)  # computed in bf16 where that is faster


def test_hidden_states_are_the_teachers_projected(parts):
    teacher, data, context = parts
    projection = torch.randn(teacher.architecture.shape.hidden, 8)
    lookup = cached_hidden_states(teacher, data.train, projection=projection, pad_id=0, context=context)
    batch = collate(data.train, ROWS, pad_id=0, device=CPU)
    with torch.inference_mode():
        states = teacher.network(**batch.inputs, output_hidden_states=True).hidden_states[-1]
    mask = batch.inputs["attention_mask"].bool()
    found = lookup(batch)
    assert torch.allclose(found[mask], (states @ projection)[mask], rtol=0.05, atol=0.3)
    assert not found[~mask].any()


@pytest.mark.parametrize("task", ["text_classification", "token_classification"])
def test_states_asked_are_those_of_the_first_token_or_of_the_positions(tmp_path, task):
    teacher, data = make_teacher(task=task), make_data(task, train=40)
    context = MemoryContext(tmp_path)
    lookup = cached_states_asked(teacher, data.train, state=2, pad_id=0, context=context)
    batch = collate(data.train, ROWS, pad_id=0, device=CPU)
    with torch.inference_mode():
        states = teacher.network(**batch.inputs, output_hidden_states=True).hidden_states[2]
    expected = states[:, 0] if batch.positions is None else states[batch.positions]
    assert torch.allclose(lookup(batch), expected, rtol=0.05, atol=0.1)


def test_outputs_prepared_in_one_pass_are_found(parts, tmp_path):
    teacher, data, context = parts
    prepare_outputs(teacher, data.train, [Output(1, of="asked"), LOGITS], pad_id=0, context=context)
    again = MemoryContext(tmp_path)
    lookup = cached_logits(teacher, data.train, pad_id=0, context=again)
    cached_states_asked(teacher, data.train, state=1, pad_id=0, context=again)
    assert teacher_steps(again) == 0
    batch = collate(data.train, ROWS, pad_id=0, device=CPU)
    with torch.inference_mode():
        expected = teacher.network(**batch.inputs).logits
    assert torch.allclose(lookup(batch), expected, atol=0.03)


def test_second_job_does_not_run_the_teacher(parts, tmp_path):
    teacher, data, context = parts
    first = cached_logits(teacher, data.train, pad_id=0, context=context)
    assert teacher_steps(context) > 0
    again = MemoryContext(tmp_path)
    second = cached_logits(teacher, data.train, pad_id=0, context=again)
    assert teacher_steps(again) == 0
    batch = collate(data.train, ROWS, pad_id=0, device=CPU)
    assert torch.equal(first(batch), second(batch))


def test_other_data_and_other_teachers_have_entries_of_their_own(parts, tmp_path):
    teacher, data, context = parts
    cached_logits(teacher, data.train, pad_id=0, context=context)
    cached_logits(teacher, data.dev, pad_id=0, context=context)
    other = make_teacher(family="distilbert")
    cached_logits(other, data.train, pad_id=0, context=context)
    assert len(list(context.cache_dir.glob("logits-*.npy"))) == 3


def test_a_broken_run_leaves_nothing_that_looks_whole(parts):
    teacher, data, _ = parts
    from app.domain.errors import JobCancelled

    context = MemoryContext(parts[2].cache_dir.parent, cancel_at=0)
    with pytest.raises(JobCancelled):
        cached_logits(teacher, data.train, pad_id=0, context=context)
    assert list(context.cache_dir.iterdir()) == []


class TestTrimmed:
    """Rows and words are judged by the teacher with all its words, tokens by the one that is left."""

    @pytest.fixture
    def trimmed(self, tmp_path):
        teacher, data = make_teacher(), make_data(train=40)
        counts = count_pieces([data.train], teacher.architecture.vocabulary)
        return trim_vocabulary(teacher, counts, 70, task="text_classification")

    def columns(self):
        return {"text": [example["text"] for example in tiny_examples(40)]}

    def split(self, teacher, *, max_length=64):
        return encoded("text_classification", self.columns(), teacher, max_length=max_length)

    def test_answers_and_states_of_rows_are_the_untrimmed_teachers(self, trimmed, tmp_path):
        split, whole_split = self.split(trimmed), self.split(trimmed.untrimmed)
        assert len(split.ids) > len(whole_split.ids)  # words are in pieces
        context = MemoryContext(tmp_path)
        batch, whole = (collate(s, ROWS, pad_id=0, device=CPU) for s in (split, whole_split))
        with torch.inference_mode():
            said = trimmed.untrimmed.network(**whole.inputs, output_hidden_states=True)
            other = trimmed.network(**batch.inputs).logits
        logits = cached_logits(trimmed, split, pad_id=0, context=context)(batch)
        assert torch.allclose(logits, said.logits, atol=0.03)
        assert (logits - said.logits).norm() < (logits - other).norm() / 2
        states = cached_states_asked(trimmed, split, state=2, pad_id=0, context=context)(batch)
        assert torch.allclose(states, said.hidden_states[2][:, 0], rtol=0.05, atol=0.1)

    def test_states_of_tokens_are_those_of_the_pieces_that_are_left(self, trimmed, tmp_path):
        split, context = self.split(trimmed), MemoryContext(tmp_path)
        both = [LOGITS, Output(2)]
        prepare_outputs(trimmed, split, both, pad_id=0, context=context)
        ran = teacher_steps(context)
        lookup = cached_hidden_states(trimmed, split, projection=None, pad_id=0, context=context, state=2)
        batch = collate(split, ROWS, pad_id=0, device=CPU)
        with torch.inference_mode():
            states = trimmed.network(**batch.inputs, output_hidden_states=True).hidden_states[2]
        mask = batch.inputs["attention_mask"].bool()
        assert torch.allclose(lookup(batch)[mask], states[mask], rtol=0.05, atol=0.1)
        assert teacher_steps(context) == ran  # both passes were taken before

    @pytest.mark.parametrize("max_length", [12, 20, 200])
    def test_the_teacher_is_asked_of_the_words_that_pieces_leave(self, max_length, tmp_path):
        """Those of some rows are cut off, shorter pieces being more."""
        teacher, data = make_teacher(task="token_classification"), make_data(train=40)
        counts = count_pieces([data.train], teacher.architecture.vocabulary)
        trimmed = trim_vocabulary(teacher, counts, 70, task="token_classification")
        words = [text.split() for text in self.columns()["text"]]
        rows = {"tokens": words, "tags": [[0] * len(row) for row in words]}
        split, whole = (
            encoded("token_classification", rows, t, max_length=max_length) for t in (trimmed, teacher)
        )
        said = cached_logits(trimmed, split, pad_id=0, context=MemoryContext(tmp_path))
        for row in range(40):
            alone = np.array([row])
            given = collate(whole, alone, pad_id=0, device=CPU)
            found = said(collate(split, alone, pad_id=0, device=CPU))
            with torch.inference_mode():
                expected = teacher.network(**given.inputs).logits[given.positions]
            assert len(found) == len(expected) or max_length < 200
            assert torch.allclose(found, expected[: len(found)], rtol=0.05, atol=0.1), row

    def test_words_that_unknown_ones_let_in_are_judged_by_the_teacher_that_is_left(self, tmp_path):
        """One unknown piece is less than five known ones: the whole teacher does not get that far."""
        teacher = make_teacher(task="token_classification")
        counts = count_pieces([make_data(train=40).train], teacher.architecture.vocabulary)
        left = trim_vocabulary(teacher, counts, 70, task="token_classification")
        rows = {"tokens": [["zqxkj"] * 4, ["a", "b"]]}
        split = encoded("token_classification", rows, left, max_length=12)
        assert split.positions.sum() > split.untrimmed.positions.sum()
        batch = collate(split, np.arange(2), pad_id=0, device=CPU)
        with torch.inference_mode():
            expected = left.network(**batch.inputs).logits[batch.positions]
        found = cached_logits(left, split, pad_id=0, context=MemoryContext(tmp_path))(batch)
        assert torch.allclose(found, expected, rtol=0.05, atol=0.1)
