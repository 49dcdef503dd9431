"""The rows of a word table that some texts use, trained in place of the whole table.

The others never have a gradient, but the optimiser and the norm of the gradient go through them all the same:
of a small student they are most of its parameters.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from worker.contracts import IntArray


class UsedWords:
    """Stands between a table and its network while that is in training mode."""

    def __init__(self, table: nn.Embedding, words: IntArray) -> None:
        """Take rows out of a table, which keeps them as they were until ``fold``.

        Args:
            table: (V, D); frozen until ``release``.
            words: ids of what may be looked up (U,), no id twice. Others are an error.
        """
        self._table = table
        device = table.weight.device
        self._words = torch.from_numpy(words).to(device)
        self._places = torch.full((table.num_embeddings,), -1, device=device)
        self._places[self._words] = torch.arange(len(words), device=device)
        # Texts may be filled up with another word than the one whose row the table never trains.
        padding = table.padding_idx
        self._padding = int(self._places[padding]) if padding in words else None
        self.rows = nn.Parameter(table.weight.detach()[self._words])
        """(U, D)"""
        table.weight.requires_grad_(False)
        self._hook = table.register_forward_hook(self._look_up)

    @torch.no_grad()
    def fold(self) -> None:
        """Write the rows back."""
        self._table.weight[self._words] = self.rows

    def release(self) -> None:
        """Write the rows back, for good."""
        self.fold()
        self._hook.remove()
        self._table.weight.requires_grad_()

    def _look_up(self, table: nn.Module, arguments: tuple[Tensor], _whole: Tensor) -> Tensor | None:
        if not table.training:
            return None
        return functional.embedding(self._places[arguments[0]], self.rows, self._padding)
