"""In which order a student runs its layers where it runs some twice (Pea-KD)."""

from typing import Literal

from app.domain.architectures import LayerUse

Sharing = Literal["shuffled", "repeated", "paired", "upper_half", "lower_half"]


def layer_schedule(sharing: Sharing, layers: int) -> tuple[LayerUse, ...]:
    """The runs of ``layers`` layers, first to last; a swapped one exchanges query and key.

    For three layers, ' being swapped: shuffled 1 2 3 1' 2' 3', repeated 1 2 3 1 2 3, paired 1 1 2 2 3 3,
    upper_half 1 2 3 2' 3', lower_half 1 2 3 1' 2' (the middle one of an odd number counts to both halves).
    """
    once = tuple(LayerUse(layer=layer) for layer in range(layers))
    match sharing:
        case "shuffled":
            return once + _swapped(0, layers)
        case "repeated":
            return once + once
        case "paired":
            return tuple(use for use in once for _ in range(2))
        case "upper_half":
            return once + _swapped(layers // 2, layers)
        case "lower_half":
            return once + _swapped(0, (layers + 1) // 2)


def _swapped(start: int, end: int) -> tuple[LayerUse, ...]:
    return tuple(LayerUse(layer=layer, swapped=True) for layer in range(start, end))
