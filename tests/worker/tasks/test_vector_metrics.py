"""What vectors are measured by, on a few of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from worker.contracts import TokenizedSplit
from worker.data.batches import subset
from worker.tasks.sentence_embedding import embedding_metrics, vector_distance
from worker.tasks.vector_metrics import neighbour_recall, passage_recall, similarity_spearman

GENERATOR = np.random.default_rng(0)
VECTORS = GENERATOR.standard_normal((40, 6)).astype(np.float32)


def split_of(count: int, **more: object) -> TokenizedSplit:
    """Texts of one token each, all different."""
    return TokenizedSplit(
        ids=np.arange(count, dtype=np.int32),
        type_ids=None,
        offsets=np.arange(count + 1),
        labels=None,
        digest="",
        **more,
    )


def test_pairs_are_measured_by_their_scores() -> None:
    split = split_of(4, groups=np.array([0, 0, 1, 1]))
    split = replace(split, labels=np.array([5, 5, 1, 1], np.float32))
    alike = np.array([[1, 0], [2, 0.1], [1, 0], [0, 1]], np.float32)
    assert similarity_spearman(split, alike) == pytest.approx(1)
    assert similarity_spearman(split, alike[[2, 3, 0, 1]]) == pytest.approx(-1)


def test_pairs_that_were_parted_do_not_count() -> None:
    whole = replace(
        split_of(6, groups=np.array([0, 0, 1, 1, 2, 2])),
        labels=np.array([3, 3, 2, 2, 1, 1], np.float32),
    )
    rows = np.array([0, 1, 2, 4, 5])
    vectors = np.array([[1, 0], [1, 0], [1, 0], [1, 0], [0, 1]], np.float32)
    assert similarity_spearman(subset(whole, rows), vectors) == pytest.approx(1)


def test_texts_alone_are_measured_by_the_teacher() -> None:
    split = split_of(40, teacher_vectors=VECTORS)
    found = embedding_metrics(split, 3 * VECTORS, [], ())
    assert found == pytest.approx({"spearman": 1, "neighbour_recall_at_10": 1, "cosine": 1}, abs=1e-5)
    other = embedding_metrics(split, VECTORS[::-1].copy(), [], ())
    assert other["neighbour_recall_at_10"] < 0.6
    assert abs(other["spearman"]) < 0.3
    assert "cosine" not in embedding_metrics(split, VECTORS[:, :3], [], ())


def test_a_text_that_is_there_twice_is_no_neighbour_of_itself() -> None:
    split = split_of(40, teacher_vectors=VECTORS)
    twice = subset(split, np.arange(80) % 40)
    found = np.concatenate([VECTORS, GENERATOR.standard_normal((40, 6)).astype(np.float32)])
    assert neighbour_recall(twice, found) == 1


def test_a_passage_is_found_among_ten() -> None:
    groups = np.repeat(np.arange(20), 2)
    pairs = np.repeat(VECTORS[:20], 2, axis=0)
    assert passage_recall(groups, pairs) == 1
    pairs[1::2] = -pairs[1::2]
    assert passage_recall(groups, pairs) == 0


def test_distance_is_0_at_the_teacher_and_1_at_a_right_angle_beside_lengths() -> None:
    vectors = torch.from_numpy(VECTORS)
    assert float(vector_distance(vectors, vectors)) == pytest.approx(0, abs=1e-6)
    assert float(vector_distance(2 * vectors, vectors)) == pytest.approx(1, abs=1e-5)
    across = torch.tensor([[0.0, 1.0]])
    assert float(vector_distance(across, torch.tensor([[1.0, 0.0]]))) == pytest.approx(1 + 2)
