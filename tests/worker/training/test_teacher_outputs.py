import numpy as np
import pytest
import torch

from tests.worker.compression import MemoryContext, make_data, make_teacher
from worker.data import collate
from worker.training.teacher_outputs import (
    LOGITS,
    Output,
    cached_hidden_states,
    cached_logits,
    cached_states_asked,
    prepare_outputs,
)

CPU = torch.device("cpu")
ROWS = np.array([5, 0, 17])


@pytest.fixture
def parts(tmp_path):
    return make_teacher(tmp_path / "teacher"), make_data(train=40), MemoryContext(tmp_path)


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
    projection = torch.randn(teacher.card.shape.hidden, 8)
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
    teacher, data = make_teacher(tmp_path / "teacher", task=task), make_data(task, train=40)
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
    other = make_teacher(tmp_path / "other", architecture="distilbert")
    cached_logits(other, data.train, pad_id=0, context=context)
    assert len(list(context.cache_dir.glob("logits-*.npy"))) == 3


def test_a_broken_run_leaves_nothing_that_looks_whole(parts):
    teacher, data, _ = parts
    from app.core.errors import JobCancelled

    context = MemoryContext(parts[2].cache_dir.parent, cancel_at=0)
    with pytest.raises(JobCancelled):
        cached_logits(teacher, data.train, pad_id=0, context=context)
    assert list(context.cache_dir.iterdir()) == []
