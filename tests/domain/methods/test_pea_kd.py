"""The orders in which shared layers run (Pea-KD, section 4.1 of the reference)."""

import pytest

from app.domain.methods import layer_schedule


def written(sharing: str, layers: int) -> str:
    return " ".join(f"{use.layer + 1}{chr(39) * use.swapped}" for use in layer_schedule(sharing, layers))


@pytest.mark.parametrize(
    ("sharing", "layers", "order"),
    [
        ("shuffled", 3, "1 2 3 1' 2' 3'"),
        ("shuffled", 1, "1 1'"),
        ("repeated", 3, "1 2 3 1 2 3"),
        ("paired", 3, "1 1 2 2 3 3"),
        ("upper_half", 6, "1 2 3 4 5 6 4' 5' 6'"),
        ("upper_half", 3, "1 2 3 2' 3'"),
        ("upper_half", 1, "1 1'"),
        ("lower_half", 6, "1 2 3 4 5 6 1' 2' 3'"),
        ("lower_half", 3, "1 2 3 1' 2'"),
        ("lower_half", 1, "1 1'"),
    ],
)
def test_orders(sharing, layers, order):
    assert written(sharing, layers) == order
