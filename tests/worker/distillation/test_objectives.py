import math

import pytest
import torch

from app.domain.methods.terms import default_temperature
from tests.worker.compression import make_data
from worker.data.batches import collate
from worker.distillation.objectives import (
    Masking,
    hidden_state_loss,
)
from worker.tasks.losses import soft_label_loss, squared_error
from worker.training.micro_batches import with_shares
from worker.training.schedules import warmup_then_linear_decay


def naive_soft_label_loss(logits_s, logits_t, temperature):
    total = 0.0
    for row_s, row_t in zip(logits_s.tolist(), logits_t.tolist(), strict=True):
        p_s = [math.exp(z / temperature) for z in row_s]
        p_t = [math.exp(z / temperature) for z in row_t]
        p_s, p_t = [p / sum(p_s) for p in p_s], [p / sum(p_t) for p in p_t]
        total += sum(t * math.log(t / s) for s, t in zip(p_s, p_t, strict=True))
    return temperature**2 * total / len(logits_s)


@pytest.mark.parametrize(("outputs", "expected"), [(2, 10), (3, 5), (11, 1), (150, 1)])
def test_the_more_labels_the_less_they_are_softened(outputs, expected):
    assert default_temperature(outputs, of_two=10.0) == expected


@pytest.mark.parametrize("outputs", [2, 3, 30])
def test_a_softened_teacher_s_choice_stays_the_likelier_one(outputs):
    """Of a teacher that is sure: its logit is 6 above all others."""
    logits = torch.zeros(outputs)
    logits[0] = 6.0
    assert (logits / default_temperature(outputs)).softmax(0)[0] > 0.9


@pytest.mark.parametrize("temperature", [1.0, 2.0, 10.0])
def test_soft_label_loss_equals_the_written_out_sum(temperature):
    logits_s, logits_t = torch.randn(5, 4), torch.randn(5, 4)
    expected = naive_soft_label_loss(logits_s, logits_t, temperature)
    assert math.isclose(soft_label_loss(logits_s, logits_t, temperature), expected, rel_tol=1e-4)


def test_soft_label_loss_of_equal_logits_is_zero():
    logits = torch.randn(3, 2)
    assert abs(float(soft_label_loss(logits, logits, 2.0))) < 1e-6


def test_soft_label_loss_of_nothing_asked_is_zero():
    nothing = torch.zeros(0, 5, requires_grad=True)
    loss = soft_label_loss(nothing, torch.zeros(0, 5), 2.0)
    loss.backward()
    assert loss == 0


def test_hiding_words_leaves_what_rows_and_tokens_weigh():
    """In a step of several batches. All that is then asked is known, though no label came with the text."""
    data = make_data("masked_language_modeling")
    by_length = data.train.lengths.argsort()
    batches = [
        collate(data.train, rows, pad_id=0, device=torch.device("cpu"))
        for rows in (by_length[:5], by_length[5:])
    ]
    masking = Masking(lambda *_: torch.tensor(0.0), mask_id=data.mask_id, vocabulary=data.vocabulary)
    for batch, _ in with_shares(batches):
        hidden = masking.mask(batch)
        assert hidden.row_weight == batch.row_weight != 1.0
        assert hidden.token_weight == batch.token_weight != 1.0
        assert hidden.label_weight == 1.0
        assert hidden.labels.shape == (int(hidden.positions.sum()),)


def test_squared_error_is_over_the_scores_that_are_known():
    outputs = torch.tensor([[50.0], [3.0], [1.0]], requires_grad=True)
    loss = squared_error(outputs, torch.tensor([-100.0, float("nan"), 2.0]))
    assert loss == (150**2 + 1) / 2
    loss.backward()
    assert outputs.grad[:, 0].tolist() == [150, 0, -1]


def test_hidden_state_loss_leaves_padding_out():
    hidden_s, hidden_t = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    there = [(0, 0), (0, 1), (1, 0)]
    expected = sum(((hidden_s[i] - hidden_t[i]) ** 2).sum() for i in there) / (len(there) * 4)
    assert torch.allclose(hidden_state_loss(hidden_s, hidden_t, mask), expected)


class TestSchedule:
    def test_rises_to_the_peak_and_falls_towards_zero(self):
        factors = [warmup_then_linear_decay(step, total_steps=100, warmup_ratio=0.1) for step in range(100)]
        assert factors[:10] == sorted(factors[:10])
        assert factors[10] == 1.0
        assert factors[10:] == sorted(factors[10:], reverse=True)
        assert 0 < factors[-1] < 0.02

    def test_without_warm_up_starts_at_the_peak(self):
        assert warmup_then_linear_decay(0, total_steps=10, warmup_ratio=0) == 1.0

    def test_goes_on_where_another_ended(self):
        whole = [warmup_then_linear_decay(step, total_steps=100, warmup_ratio=0) for step in range(100)]
        parts = [
            warmup_then_linear_decay(step, total_steps=steps, warmup_ratio=0, ends=ends)
            for steps, ends in [(25, (1.0, 0.75)), (75, (0.75, 0.0))]
            for step in range(steps)
        ]
        assert parts == pytest.approx(whole)

    def test_warms_up_to_where_it_begins(self):
        factors = [
            warmup_then_linear_decay(step, total_steps=100, warmup_ratio=0.1, ends=(0.5, 0.2))
            for step in range(100)
        ]
        assert factors[10] == max(factors) == 0.5
        assert factors[-1] == pytest.approx(0.2 + 0.3 / 90)
