"""A student's head, fitted to its teacher's once the encoder below it stands.

Shapes: D and d the teacher's and student's width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from worker.networks.parts import Matrix, Norm, Part
from worker.networks.views import EncoderView, HeadView
from worker.numerics.least_squares import fit_norm, ridge_regression
from worker.transfer.activations import Inputs, capture_activations


class HeadRegression:
    """Reads the teacher's features from the student's, and its logits from the head's hidden layer."""

    def __init__(
        self,
        teacher: EncoderView,
        student: EncoderView,
        batches: Sequence[Inputs],
        write: Tensor,
        *,
        ridge: float,
    ) -> None:
        """Prepare.

        Args:
            teacher: fitted to.
            student: its encoder standing; its head is written.
            batches: text to fit on.
            write: (d, D), from the teacher's stream to the student's.
            ridge: of all regressions.
        """
        self._teacher, self._student = teacher, student
        self._batches, self._write, self._ridge = batches, write, ridge

    @torch.no_grad()
    def fit(self) -> None:
        head_t, head_s = self._teacher.head, self._student.head
        if head_t.norm is not None and head_s.norm is not None:
            self._fit_word_head(head_t, head_s, head_t.norm, head_s.norm)
            return
        if head_t.dense is not None and head_s.dense is not None:
            self._fit_dense(head_t.dense, head_s.dense)
        logits = self._teacher_output(head_t.output)
        weight, bias = ridge_regression(self._student_input(head_s.output), logits, ridge=self._ridge)
        head_s.output.weight.copy_(weight)
        head_s.output.bias.copy_(bias)

    def _fit_dense(self, dense_t: Matrix, dense_s: Matrix) -> None:
        """The dense layer, of the features that tell the teacher's outputs apart."""
        read, offset = self._reading(dense_t, dense_s)
        output = self._teacher.head.output.linear
        several = output.out_features > 1
        spread = output.weight - output.weight.mean(0) if several else output.weight
        kept = spread.abs().sum(0).topk(dense_s.linear.out_features).indices.sort().values
        dense_s.weight.copy_(dense_t.weight[kept] @ read)
        dense_s.bias.copy_(dense_t.weight[kept] @ offset + dense_t.bias[kept])

    def _fit_word_head(self, head_t: HeadView, head_s: HeadView, norm_t: Norm, norm_s: Norm) -> None:
        """What meets the word table, brought to where the student's table is read best.

        The teacher's logits are E h, the student's E R h': h' is to come near h on the student's directions.
        The dense layer reads what the teacher's reads; the norm, after the activation, is fitted.
        """
        dense_t, dense_s = head_t.dense, head_s.dense
        assert dense_t is not None
        assert dense_s is not None
        read, offset = self._reading(dense_t, dense_s)
        # A projection's tables keep their width.
        rows = torch.eye(len(norm_t.weight)).to(self._write) if self._teacher.projection else self._write
        dense_s.weight.copy_(rows @ dense_t.weight @ read)
        dense_s.bias.copy_(rows @ (dense_t.weight @ offset + dense_t.bias))
        normed = self._teacher_output(norm_t)
        gain, shift = fit_norm(self._student_input(norm_s), normed @ rows.T, eps=norm_s.eps)
        norm_s.weight.copy_(gain)
        norm_s.bias.copy_(shift)
        head_s.output.bias.copy_(head_t.output.bias)

    def _reading(self, dense_t: Matrix, dense_s: Matrix) -> tuple[Tensor, Tensor]:
        """The regression of what the teacher's dense layer reads on what the student has."""
        features = capture_activations(self._teacher.network, self._batches, before=[dense_t])
        inputs = self._student_input(dense_s)
        return ridge_regression(inputs, features.input_of(dense_t), ridge=self._ridge)

    def _teacher_output(self, part: Part) -> Tensor:
        return capture_activations(self._teacher.network, self._batches, after=[part]).output_of(part)

    def _student_input(self, part: Part) -> Tensor:
        return capture_activations(self._student.network, self._batches, before=[part]).input_of(part)
