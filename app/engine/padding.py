"""Texts of several lengths as the padded arrays that a network takes.

Shapes: B texts, T tokens of the longest.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

IntArray: TypeAlias = npt.NDArray[np.int64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]


def token_mask(lengths: IntArray) -> BoolArray:
    """Which cells of a padded table hold tokens: (B,) -> (B, T)."""
    return np.arange(lengths.max(initial=0)) < lengths[:, None]


def pad(values: npt.NDArray[np.generic], mask: BoolArray, *, fill: int) -> IntArray:
    """Values laid end to end, (all texts' tokens,), put where ``mask`` (B, T) is true, ``fill`` elsewhere."""
    padded = np.full(mask.shape, fill, np.int64)
    padded[mask] = values
    return padded


def network_inputs(
    ids: npt.NDArray[np.integer],
    lengths: IntArray,
    *,
    pad_id: int,
    type_ids: npt.NDArray[np.integer] | None = None,
) -> dict[str, IntArray]:
    """The inputs of one run by the names that BERT and its kin use.

    Args:
        ids: tokens of all texts, laid end to end.
        lengths: tokens of each text, (B,).
        pad_id: fills up shorter texts.
        type_ids: as long as ``ids``; None: every token is of the first type.

    Returns:
        ``input_ids``, ``attention_mask`` and, where given, ``token_type_ids``: int64 (B, T) each.
    """
    mask = token_mask(lengths)
    inputs = {"input_ids": pad(ids, mask, fill=pad_id), "attention_mask": mask.astype(np.int64)}
    if type_ids is not None:
        inputs["token_type_ids"] = pad(type_ids, mask, fill=0)
    return inputs
