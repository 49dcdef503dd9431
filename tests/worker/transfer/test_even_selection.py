import numpy as np
import torch

from tests.worker.compression import STUDENT_SHAPE, MemoryContext, make_data, make_teacher
from worker.transfer.even_selection import evenly_spaced, evenly_spaced_selection
from worker.transfer.initialisation import evenly_spaced_network


def test_every_nth_where_it_divides_and_nearest_where_not():
    assert evenly_spaced(12, 4).tolist() == [0, 3, 6, 9]
    assert (
        evenly_spaced(12, 5).tolist()
        == np.round(np.linspace(0, 11, 5)).astype(int).tolist()
        == [0, 3, 6, 8, 11]
    )
    assert evenly_spaced(7, 7).tolist() == list(range(7))


def test_heads_stay_whole():
    teacher = STUDENT_SHAPE.model_copy(update={"hidden": 48, "heads": 4, "layers": 6})
    student = STUDENT_SHAPE.model_copy(update={"hidden": 12, "heads": 2, "layers": 3})
    chosen = evenly_spaced_selection(teacher, student)
    assert chosen.layers == [0, 1, 2]
    # Heads 0 and 2 of four, 12 wide each; of their dimensions every other.
    assert chosen.context(1, 12).tolist() == [*range(0, 12, 2), *range(24, 36, 2)]


def test_student_is_every_other_number_of_the_first_layers(tmp_path):
    teacher, data = make_teacher(), make_data(train=64)
    network = evenly_spaced_network(teacher, data, MemoryContext(tmp_path)).network
    source, target = teacher.network.bert, network.bert
    kept = [int(i) for i in evenly_spaced(64, 24)]
    for layer in range(2):
        expected = source.encoder.layer[layer].output.dense.weight[::2][:, kept]
        assert torch.equal(target.encoder.layer[layer].output.dense.weight, expected)
    words = source.embeddings.word_embeddings.weight
    assert torch.equal(target.embeddings.word_embeddings.weight, words[:, ::2])
    assert not torch.equal(target.pooler.dense.weight, source.pooler.dense.weight[::2][:, ::2])
