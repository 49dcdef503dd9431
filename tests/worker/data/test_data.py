from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.tiny import tiny_pair_examples, tiny_tokenizer
from worker.data.batches import batch_rows, collate, ordered_rows, subset, watching_batches
from worker.data.tokenization import tokenize, unknown_shares

TEXTS = ["the film was superb", "dull", "a story of the actor and the music", "this one"]


def split(**options):
    return tokenize(TEXTS, labels=[1, 0, 1, 0], tokenizer=tiny_tokenizer(), max_length=16, **options)


class TestTokenize:
    def test_ids_are_those_of_each_text_alone(self):
        tokens = split()
        for i, text in enumerate(TEXTS):
            expected = tiny_tokenizer().encode(text).ids
            assert tokens.ids[tokens.offsets[i] : tokens.offsets[i + 1]].tolist() == expected

    def test_cuts_what_is_too_long(self):
        tokens = tokenize(TEXTS, tokenizer=tiny_tokenizer(), max_length=5)
        assert tokens.lengths.max() == 5

    def test_pairs_have_two_types(self):
        examples = tiny_pair_examples(2)
        tokens = tokenize(
            [e["text"] for e in examples],
            [e["text_pair"] for e in examples],
            tokenizer=tiny_tokenizer(),
            max_length=32,
            token_types=True,
        )
        assert sorted(set(tokens.type_ids.tolist())) == [0, 1]

    def test_digest_tells_texts_and_truncation_apart(self):
        digests = {
            split().digest,
            tokenize(TEXTS[:2], tokenizer=tiny_tokenizer(), max_length=16).digest,
            tokenize(TEXTS, tokenizer=tiny_tokenizer(), max_length=5).digest,
        }
        assert len(digests) == 3
        assert split().digest == split().digest


class TestBatches:
    lengths = np.random.default_rng(0).integers(3, 60, size=1000)

    def test_an_epoch_holds_every_row_once(self):
        batches = batch_rows(self.lengths, batch_size=32, seed=0, epoch=0)
        assert sorted(np.concatenate(batches).tolist()) == list(range(1000))
        assert len(batches) == 32

    def test_order_depends_on_seed_and_epoch_alone(self):
        def order(seed, epoch):
            return np.concatenate(batch_rows(self.lengths, batch_size=32, seed=seed, epoch=epoch)).tolist()

        assert order(0, 0) == order(0, 0)
        assert order(0, 0) != order(0, 1) != order(1, 1)

    def test_bucketing_saves_most_of_the_padding(self):
        def padded(batches):
            return sum(len(rows) * self.lengths[rows].max() for rows in batches)

        random = np.array_split(np.random.default_rng(1).permutation(1000), 32)
        bucketed = batch_rows(self.lengths, batch_size=32, seed=0, epoch=0)
        needed = self.lengths.sum()
        assert padded(bucketed) - needed < 0.2 * (padded(random) - needed)

    def test_ordered_rows_go_by_length(self):
        rows = np.concatenate(ordered_rows(self.lengths, batch_size=32))
        assert (np.diff(self.lengths[rows]) >= 0).all()


class TestCollate:
    @pytest.mark.parametrize("rows", [[0], [1, 2], [3, 0, 2]])
    def test_pads_each_row_to_the_longest(self, rows):
        tokens = split()
        batch = collate(tokens, np.array(rows), pad_id=9, device=torch.device("cpu"))
        longest = tokens.lengths[rows].max()
        for row, ids, mask in zip(
            rows, batch.inputs["input_ids"], batch.inputs["attention_mask"], strict=True
        ):
            expected = tokens.ids[tokens.offsets[row] : tokens.offsets[row + 1]].tolist()
            padding = longest - len(expected)
            assert ids.tolist() == expected + [9] * padding
            assert mask.tolist() == [1] * len(expected) + [0] * padding
        assert batch.labels.tolist() == tokens.labels[rows].tolist()


def test_who_watches_hears_of_each_batch_while_the_block_lasts():
    heard = []
    rows = np.arange(2)
    for _ in range(2):
        with watching_batches(lambda: heard.append(1)):
            for _ in range(3):
                collate(split(), rows, pad_id=0, device=torch.device("cpu"))
        collate(split(), rows, pad_id=0, device=torch.device("cpu"))
    assert len(heard) == 6


def test_subset_keeps_rows_in_the_order_given():
    tokens, part = split(), subset(split(), np.array([2, 0]))
    assert part.lengths.tolist() == tokens.lengths[[2, 0]].tolist()
    assert part.labels.tolist() == [1, 1]
    assert part.ids[: part.offsets[1]].tolist() == tiny_tokenizer().encode(TEXTS[2]).ids


def test_unknown_pieces_are_counted_by_language():
    split = replace(
        tokenize(["the film", "ψ ω", "the ψ"], tokenizer=tiny_tokenizer(), max_length=16),
        languages=["en", "el", "en"],
    )
    assert unknown_shares(split, tiny_tokenizer()) == {"el": 1.0, "en": 0.25}
