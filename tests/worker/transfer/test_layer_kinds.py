"""Layers of different kinds: each student layer is made of a teacher layer of its own kind."""

import pytest
import torch

from app.domain.architectures import ENCODERS, EncoderShape
from worker.transfer.even_selection import evenly_spaced_selection
from worker.transfer.selection import map_layers, nearest_alike

STACK = ENCODERS["modernbert"].stack


def kinds(layers):
    return [STACK.kind(index, {"global_every": 3}) for index in range(layers)]


@pytest.mark.parametrize("layer_map", ["uniform", "first", "last", "outer"])
@pytest.mark.parametrize("student", [1, 2, 5, 6, 11, 21, 22])
def test_layers_are_in_order_and_of_the_kinds_of_their_places(layer_map, student):
    teacher = kinds(22)
    found = nearest_alike(map_layers(layer_map, teacher=22, student=student), teacher)
    assert found == sorted(set(found))
    assert [teacher[layer] for layer in found] == kinds(student)


def test_the_nearest_are_taken():
    wanted = map_layers("uniform", teacher=22, student=6)
    assert wanted == [2, 6, 10, 13, 17, 21]
    # The first alone has no norm; 0, 3, 6 ... attend to all tokens, as the student's first and fourth do.
    assert nearest_alike(wanted, kinds(22)) == [0, 5, 10, 12, 17, 20]


def test_dimensions_that_are_turned_together_stay_together():
    """The first half of a head's dimensions and the second are turned in pairs, from fast to slow."""
    teacher = EncoderShape(layers=2, hidden=32, heads=2, ffn=32)
    student = EncoderShape(layers=2, hidden=16, heads=2, ffn=32)
    [kept, _] = evenly_spaced_selection(teacher, student, is_rotary=True).head_dims[0]
    assert torch.equal(kept[:4] + 8, kept[4:])
    assert kept[:4].tolist() == [0, 2, 4, 6]
