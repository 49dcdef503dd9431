"""A teacher as a loss sees it: asked batch by batch, its answers from the cache or made on the spot.

Shapes: B rows, T tokens, P positions, C outputs, H teacher width.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from worker.contracts import RunContext, TaskData, Teacher, TokenizedSplit
from worker.data.batches import Batch
from worker.distillation.teacher_outputs import (
    Output,
    cached_first_states,
    cached_hidden_states,
    cached_logits,
    prepare_outputs,
)
from worker.networks.forward import ForwardOutput, forward
from worker.numerics.precision import autocast


class TeacherSignals(Protocol):
    """What a teacher says of a batch; states are counted as ``Output`` counts them."""

    def logits(self, batch: Batch) -> Tensor:
        """(P, C)."""

    def states(self, batch: Batch, state: int) -> Tensor:
        """(B, T, H), zero where there is no token or anything else."""

    def first_states(self, batch: Batch, state: int) -> Tensor:
        """(B, H), of the first tokens."""


class CachedTeacherSignals:
    """Of a split whose batches always look alike: the teacher has run over it once."""

    def __init__(
        self,
        teacher: Teacher,
        split: TokenizedSplit,
        outputs: Sequence[Output],
        *,
        pad_id: int,
        context: RunContext,
    ) -> None:
        """Compute what of ``outputs`` is not in the cache yet, in as few passes as it takes.

        Args:
            teacher: asked.
            split: on these rows.
            outputs: all that will be looked up.
            pad_id: fills up batches.
            context: device, cache and reports.
        """
        prepare_outputs(teacher, split, outputs, pad_id=pad_id, context=context)
        self._device = context.device
        self.logits = cached_logits(teacher, split, pad_id=pad_id, context=context)
        self._states = {
            output.state: cached_hidden_states(
                teacher, split, projection=None, pad_id=pad_id, context=context, state=output.state
            )
            for output in outputs
            if output.state is not None and output.of == "every"
        }
        self._first = {
            output.state: cached_first_states(
                teacher, split, pad_id=pad_id, context=context, state=output.state
            )
            for output in outputs
            if output.state is not None and output.of == "first"
        }

    def states(self, batch: Batch, state: int) -> Tensor:
        return self._states[state](batch)

    def first_states(self, batch: Batch, state: int) -> Tensor:
        return torch.from_numpy(self._first[state][batch.rows]).to(self._device, dtype=torch.float32)


class LiveTeacherSignals:
    """Of batches that are never the same twice: other words are masked in each."""

    def __init__(
        self, teacher: Teacher, data: TaskData, outputs: Sequence[Output], context: RunContext
    ) -> None:
        self._network = teacher.network.to(context.device).eval()
        self._with_states = any(output.state is not None for output in outputs)
        self._data = data
        self._context = context
        self._last: tuple[Batch, ForwardOutput] | None = None

    def logits(self, batch: Batch) -> Tensor:
        return self._output(batch).logits

    def states(self, batch: Batch, state: int) -> Tensor:
        output = self._output(batch)
        assert output.states is not None
        return output.states[state].float()

    def first_states(self, batch: Batch, state: int) -> Tensor:
        return self.states(batch, state)[:, 0]

    @torch.no_grad()
    def _output(self, batch: Batch) -> ForwardOutput:
        """One forward pass a batch, however many terms look at it."""
        if self._last is None or self._last[0] is not batch:
            with autocast(self._context.device):
                self._last = batch, forward(self._network, batch, with_states=self._with_states)
        return self._last[1]
