"""Running a network over a split, without gradients."""

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from worker.contracts import TokenizedSplit
from worker.training.data import collate, ordered_rows


@torch.inference_mode()
def predict_logits(
    network: nn.Module, split: TokenizedSplit, *, pad_id: int, device: torch.device, batch_size: int = 64
) -> npt.NDArray[np.float32]:
    """Logits of every row in the split's order, (N, C), computed in fp32 in eval mode."""
    was_training = network.training
    network.eval()
    logits: npt.NDArray[np.float32] | None = None
    for rows in ordered_rows(split.lengths, batch_size=batch_size):
        batch = collate(split, rows, pad_id=pad_id, device=device)
        values = network(**batch.inputs).logits.float().cpu().numpy()  # (B, C)
        if logits is None:
            logits = np.empty((len(split), values.shape[1]), dtype=np.float32)
        logits[rows] = values
    network.train(was_training)
    assert logits is not None
    return logits
