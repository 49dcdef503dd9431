"""A student's head, fitted to its teacher's once the encoder below it stands.

Shapes: D and d the teacher's and student's width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from worker.networks.parts import Matrix, Part
from worker.networks.views import EncoderView, HeadView
from worker.numerics.least_squares import ridge_regression
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
        if head_t.is_tied:
            self._fit_word_head(head_t, head_s)
            return
        if head_t.dense is not None and head_s.dense is not None:
            kept = self._fit_dense(head_t.dense, head_s.dense)
            if head_t.norm is not None and head_s.norm is not None:
                head_s.norm.fit(self._student_input(head_s.norm), self._teacher_output(head_t.norm)[:, kept])
        logits = self._teacher_output(head_t.output)
        head_s.output.write(*ridge_regression(self._student_input(head_s.output), logits, ridge=self._ridge))

    def _fit_dense(self, dense_t: Matrix, dense_s: Matrix) -> Tensor:
        """The dense layer, of the features that tell the teacher's outputs apart; returns which these are."""
        read, offset = self._reading(dense_t, dense_s)
        output = self._teacher.head.output.linear
        several = output.out_features > 1
        spread = output.weight - output.weight.mean(0) if several else output.weight
        kept = spread.abs().sum(0).topk(dense_s.linear.out_features).indices.sort().values
        bias = None if dense_t.bias is None else dense_t.weight[kept] @ offset + dense_t.bias[kept]
        dense_s.write(dense_t.weight[kept] @ read, bias)
        return kept

    def _fit_word_head(self, head_t: HeadView, head_s: HeadView) -> None:
        """What meets the word table, brought to where the student's table is read best.

        The teacher's logits are E h, the student's E R h': h' is to come near h on the student's directions.
        The dense layer reads what the teacher's reads; the norm, after the activation, is fitted.
        """
        dense_t, dense_s = head_t.dense, head_s.dense
        norm_t, norm_s = head_t.norm, head_s.norm
        assert dense_t is not None
        assert dense_s is not None
        assert norm_t is not None
        assert norm_s is not None
        read, offset = self._reading(dense_t, dense_s)
        # A projection's tables keep their width.
        rows = torch.eye(len(norm_t.weight)).to(self._write) if self._teacher.projection else self._write
        bias = None if dense_t.bias is None else rows @ (dense_t.weight @ offset + dense_t.bias)
        dense_s.write(rows @ dense_t.weight @ read, bias)
        norm_s.fit(self._student_input(norm_s), self._teacher_output(norm_t) @ rows.T)
        head_s.output.linear.bias.copy_(head_t.output.linear.bias)

    def _reading(self, dense_t: Matrix, dense_s: Matrix) -> tuple[Tensor, Tensor]:
        """The regression of what the teacher's dense layer reads on what the student has."""
        features = capture_activations(self._teacher.network, self._batches, before=[dense_t])
        inputs = self._student_input(dense_s)
        wanted, shifts = features.input_of(dense_t), dense_t.bias is not None
        return ridge_regression(inputs, wanted, ridge=self._ridge, shifts=shifts)

    def _teacher_output(self, part: Part) -> Tensor:
        return capture_activations(self._teacher.network, self._batches, after=[part]).output_of(part)

    def _student_input(self, part: Part) -> Tensor:
        return capture_activations(self._student.network, self._batches, before=[part]).input_of(part)
