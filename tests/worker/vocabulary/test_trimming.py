"""A trimmed vocabulary cuts and answers as the whole one did, wherever the kept pieces suffice."""

import json
import random

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import MarianConfig

from app.domain.architectures import EncoderDecoderArchitecture, EncoderDecoderShape
from app.domain.errors import JobError
from app.domain.tasks import Head
from tests.families import layout_of, narrow_as, one_for_each
from tests.worker.compression import TEACHER_SHAPE, make_data, make_teacher
from worker.contracts import Teacher
from worker.data.tokenization import tokenize, tokenize_translations
from worker.networks.loading import build_network
from worker.vocabulary.tokenizer_surgery import pieces_of
from worker.vocabulary.trimming import count_pieces, trim_tokenizer, trim_vocabulary

_SYLLABLES = ["ba", "lo", "mi", "tur", "ken", "sa", "vi", "dor", "ü", "né"]
_FRAME = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def corpus(rows: int, *, seed: int = 0) -> list[str]:
    """Words of one to four syllables, few of them frequent."""
    draw = random.Random(seed)
    words = ["".join(draw.choices(_SYLLABLES, k=draw.randint(1, 4))) for _ in range(300)]
    weights = [1 / rank for rank in range(1, 301)]
    draw.seed(seed + 1)
    return [" ".join(draw.choices(words, weights, k=draw.randint(3, 12))) + " ." for _ in range(rows)]


def word_piece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return _trained(tokenizer, trainers.WordPieceTrainer(vocab_size=220, special_tokens=_FRAME))


def byte_level_bpe() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return _trained(
        tokenizer, trainers.BpeTrainer(vocab_size=420, special_tokens=_FRAME, initial_alphabet=alphabet)
    )


def bpe_with_word_ends() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.BPEDecoder()
    trainer = trainers.BpeTrainer(vocab_size=220, special_tokens=_FRAME, end_of_word_suffix="</w>")
    return _trained(tokenizer, trainer)


def unigram() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return _trained(
        tokenizer, trainers.UnigramTrainer(vocab_size=220, special_tokens=_FRAME, unk_token="<unk>")
    )


def _trained(tokenizer: Tokenizer, trainer: trainers.Trainer) -> Tokenizer:
    trainer.show_progress = False
    tokenizer.train_from_iterator(corpus(600), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


KINDS = [word_piece, byte_level_bpe, bpe_with_word_ends, unigram]


def trimmed(whole: Tokenizer, size: int) -> tuple[Tokenizer, set[int]]:
    """By what occurs in a part of the corpus; and the old ids that were kept."""
    split = tokenize(corpus(60), tokenizer=whole, max_length=64)
    keep = kept_ids(whole, np.bincount(split.ids, minlength=whole.get_vocab_size()), size)
    return trim_tokenizer(whole, np.asarray(keep)), set(keep)


def kept_ids(whole: Tokenizer, counts: np.ndarray, size: int) -> list[int]:
    """A second, naive choice of pieces: whatever must be there, and then one by one while there is room."""
    pieces = pieces_of(json.loads(whole.to_str()))
    seen = [int(id_) for id_ in np.flatnonzero(counts)]
    keep = {whole.token_to_id(name) for name in _FRAME} | pieces.required(seen)
    for id_ in sorted(seen, key=lambda id_: (-counts[id_], id_)):
        if len(keep | pieces.parts(id_)) <= size:
            keep = keep | pieces.parts(id_)
    return sorted(keep)


@pytest.mark.parametrize("make", KINDS)
class TestTrimTokenizer:
    def test_cuts_texts_of_kept_pieces_as_before(self, make):
        whole = make()
        size = whole.get_vocab_size() - 60
        smaller, keep = trimmed(whole, size)
        assert smaller.get_vocab_size() == len(keep) <= size
        same = changed = 0
        for text in [*corpus(400), "", "ba", "  lo  mi", "tur,ken!"]:
            before, after = whole.encode(text), smaller.encode(text)
            if set(before.ids) <= keep:
                assert after.tokens == before.tokens
                assert after.offsets == before.offsets
                assert after.special_tokens_mask == before.special_tokens_mask
                same += 1
            else:
                changed += 1
        assert same > 20
        assert changed > 20

    def test_writes_what_is_left_out_in_smaller_pieces(self, make):
        whole = make()
        smaller, keep = trimmed(whole, whole.get_vocab_size() - 60)
        unknown = smaller.token_to_id("<unk>")
        lost = [text for text in corpus(400) if not set(whole.encode(text).ids) <= keep]
        for text in lost:
            assert unknown not in smaller.encode(text).ids
            assert smaller.decode(smaller.encode(text).ids) == whole.decode(whole.encode(text).ids)

    def test_frames_texts_by_the_new_ids(self, make):
        whole = make()
        smaller, _ = trimmed(whole, whole.get_vocab_size() - 60)
        encoded = smaller.encode("ba lo", "mi")
        assert [smaller.id_to_token(id_) for id_ in encoded.ids] == encoded.tokens
        assert [encoded.tokens[0], encoded.tokens[-1]] == ["<s>", "</s>"]


def test_other_frames_are_renumbered_too():
    whole = word_piece()
    whole.post_processor = processors.Sequence(
        [processors.ByteLevel(), processors.RobertaProcessing(("</s>", 2), ("<s>", 0))]
    )
    tree = json.loads(whole.to_str())
    # Ids that are not the first ones, as BERT has them.
    vocabulary = tree["model"]["vocab"]
    last = max(vocabulary.values())
    for name in ("<s>", "</s>"):
        other = next(piece for piece, id_ in vocabulary.items() if id_ == last)
        vocabulary[name], vocabulary[other] = last, vocabulary[name]
        next(t for t in tree["added_tokens"] if t["content"] == name)["id"] = last
        tree["post_processor"]["processors"][1]["cls" if name == "<s>" else "sep"][1] = last
        last -= 1
    moved = Tokenizer.from_str(json.dumps(tree))
    smaller, _ = trimmed(moved, 100)
    encoded = smaller.encode("ba lo")
    assert encoded.tokens == moved.encode("ba lo").tokens
    assert [smaller.token_to_id(token) for token in encoded.tokens] == encoded.ids


def test_no_text_is_cut_into_unused_pieces():
    vocabulary = {"[UNK]": 0, "n": 1, "##un": 2, "[unused1]": 3, "[": 4}
    pieces = pieces_of(json.loads(Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]")).to_str()))
    assert [pieces.letters(id_) for id_ in (1, 2, 3, 4)] == [{"n"}, {"u", "n"}, {"[unused1]"}, {"["}]


class TestTrimVocabulary:
    @pytest.mark.parametrize("family", one_for_each(layout_of))
    @pytest.mark.parametrize("task", ["text_classification", "masked_language_modeling"])
    def test_answers_as_before(self, tmp_path, family, task):
        teacher = make_teacher(family, narrow_as(family, TEACHER_SHAPE), task)
        data = make_data()
        counts = count_pieces([data.train], teacher.architecture.vocabulary)
        smaller = trim_vocabulary(teacher, counts, 90, task=task)
        assert smaller.architecture.vocabulary == smaller.network.config.vocab_size <= 90
        assert smaller.tokenizer.get_vocab_size() == smaller.architecture.vocabulary
        assert (
            smaller.network.num_parameters() == smaller.architecture.count(head=head_of(smaller, task)).total
        )
        assert smaller.digest != teacher.digest
        text = "a wonderful film with the dreadful actor"
        kept = [smaller.tokenizer.id_to_token(id_) for id_ in range(smaller.architecture.vocabulary)]
        rows = [teacher.tokenizer.token_to_id(token) for token in kept]
        with torch.no_grad():
            before = teacher.network(torch.tensor([teacher.tokenizer.encode(text).ids])).logits
            after = smaller.network(torch.tensor([smaller.tokenizer.encode(text).ids])).logits
        expected = before[..., rows] if task == "masked_language_modeling" else before
        assert torch.allclose(after, expected, atol=1e-5)

    def test_translates_as_before(self, tmp_path):
        teacher = marian_teacher()
        source = tokenize_translations(
            corpus(60),
            corpus(60, seed=5),
            source_tokenizer=teacher.tokenizer,
            target_tokenizer=teacher.tokenizers.target_tokenizer,
            max_length=64,
        )
        counts = count_pieces([source], teacher.architecture.vocabulary)
        assert counts.sum() == len(source.ids) + len(source.targets.ids)
        smaller = trim_vocabulary(teacher, counts, 150, task="translation")
        kept = [
            teacher.tokenizer.token_to_id(smaller.tokenizer.id_to_token(i))
            for i in range(smaller.architecture.vocabulary)
        ]
        config = smaller.network.config
        assert kept[config.pad_token_id] == teacher.network.config.pad_token_id
        assert kept[config.decoder_start_token_id] == teacher.network.config.decoder_start_token_id
        assert smaller.network.lm_head.weight is smaller.network.model.shared.weight
        ids = torch.arange(0, smaller.architecture.vocabulary, 3)[None]
        old = torch.tensor(kept)[ids]
        with torch.no_grad():
            after = smaller.network(input_ids=ids, decoder_input_ids=ids).logits
            before = teacher.network(input_ids=old, decoder_input_ids=old).logits
        assert torch.allclose(after, before[..., kept], atol=1e-5)

    def test_padding_of_roberta_stays_where_positions_begin(self, tmp_path):
        teacher = make_teacher("roberta")
        teacher.network.config.pad_token_id = 4
        counts = count_pieces([make_data().train], teacher.architecture.vocabulary)
        assert (
            trim_vocabulary(teacher, counts, 90, task="text_classification").network.config.pad_token_id == 4
        )

    def test_room_is_filled_with_words_of_the_data_s_letters(self, tmp_path):
        """The first ones by their ids, which is the order of frequency in most vocabularies."""
        teacher, data = make_teacher(), make_data()
        counts = count_pieces([data.train, None], teacher.architecture.vocabulary)
        counts[teacher.tokenizer.token_to_id("castle")] = counts[teacher.tokenizer.token_to_id("engine")] = 0
        everything = trim_vocabulary(teacher, counts, 10_000, task=data.task)
        room = everything.architecture.vocabulary - 1
        smaller = trim_vocabulary(teacher, counts, room, task=data.task)
        lost = {*everything.tokenizer.get_vocab()} - {*smaller.tokenizer.get_vocab()}
        assert len(lost) == 1
        last = teacher.tokenizer.token_to_id(lost.pop())
        kept = [teacher.tokenizer.token_to_id(piece) for piece in smaller.tokenizer.get_vocab()]
        assert all(id_ < last for id_ in kept if not counts[id_])

    def test_too_small_a_size_says_what_is_possible(self, tmp_path):
        teacher, data = make_teacher(), make_data()
        counts = count_pieces([data.train], teacher.architecture.vocabulary)
        with pytest.raises(JobError, match="Use at least") as caught:
            trim_vocabulary(teacher, counts, 20, task=data.task)
        smallest = caught.value.details["smallest"]
        assert trim_vocabulary(teacher, counts, smallest, task=data.task).architecture.vocabulary == smallest


def head_of(teacher: Teacher, task: str) -> Head:
    return Head.of(task, labels=2, vocabulary=teacher.architecture.vocabulary)


def marian_teacher() -> Teacher:
    tokenizer = unigram()
    architecture = EncoderDecoderArchitecture(
        shape=EncoderDecoderShape(encoder_layers=1, decoder_layers=1, hidden=16, heads=2, ffn=24),
        vocabulary=tokenizer.get_vocab_size(),
        positions=256,
    )
    config = MarianConfig(pad_token_id=1, eos_token_id=2, decoder_start_token_id=1, forced_eos_token_id=2)
    network = build_network(config, architecture, Head(task="translation", outputs=architecture.vocabulary))
    with torch.no_grad():
        network.final_logits_bias.add_(torch.randn(architecture.vocabulary))
    return Teacher(
        network=network,
        tokenizer=tokenizer,
        architecture=architecture,
        digest="marian",
        target_tokenizer=tokenizer,
    )
