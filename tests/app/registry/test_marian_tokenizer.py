"""SentencePiece's files, read by hand, against SentencePiece and the tokenizer of transformers."""

import base64
import json
import random
import warnings
from pathlib import Path

import pytest
import sentencepiece
from tokenizers import Tokenizer, normalizers

from app.intake.models.marian_tokenizer import build_tokenizer
from app.intake.models.sentencepiece import UnreadableModelError, parse_sentencepiece
from app.intake.models.tokenizer_bounds import unbounded_part
from tests.app.registry.translation import ENGLISH, GERMAN, save_tokenizer, train_sentencepiece

ODD = [
    "",
    " ",
    "   \t ",
    "  two   spaces ",
    "a\tb\r\nc\x01\x02",
    "▁the ▁ river",
    "ﬁne ① ㎏ \uff21\uff22\uff23 ½ ℃",
    "u\u0308ber gru\u0308n e\u0301",
    "über grün ß ä",
    "😀 ok 👨‍👩‍👧",
    "漢字かな。",
    "한국어 ᄒ नमस्ते",
    "\u00a0no\u2003break\u200bzero\ufeff",
    "<unk> the </s> dog <pad>",
    "the</s>dog",
    "x" * 3000,
    "“the” — „dog” …",
]


@pytest.fixture(scope="module", params=["nmt_nfkc", "identity"])
def folder(request, tmp_path_factory) -> Path:
    """Both languages' models, with and without a table of replacements."""
    path = tmp_path_factory.mktemp("marian")
    options = {"normalization_rule_name": request.param}
    save_tokenizer(path, train_sentencepiece(ENGLISH, **options), train_sentencepiece(GERMAN, **options))
    return path


@pytest.fixture(scope="module")
def reference(folder):
    """Of transformers."""
    from transformers import MarianTokenizer

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Recommended: pip install sacremoses")
        return MarianTokenizer(
            str(folder / "source.spm"), str(folder / "target.spm"), str(folder / "vocab.json")
        )


def ours(folder: Path, side: str) -> Tokenizer:
    model = parse_sentencepiece((folder / f"{side}.spm").read_bytes())
    return Tokenizer.from_str(
        json.dumps(build_tokenizer(model, json.loads((folder / "vocab.json").read_text())))
    )


def texts(words: list[str], *, seed: int) -> list[str]:
    """Sentences of known words, of parts of them, and of them misspelt."""
    draw = random.Random(seed)
    out = []
    for _ in range(300):
        chosen = draw.choices(words, k=draw.randint(1, 12))
        out.append(" ".join(chosen))
        letters = list("".join(chosen))
        draw.shuffle(letters)
        out.append("".join(letters))
        out.append(draw.choice([" ", "", ", ", "  "]).join(chosen).title())
    return out


def is_plain(folder: Path, side: str, text: str) -> bool:
    """Whether no two letters that SentencePiece does not know stand side by side: it makes one of them."""
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{side}.spm"))
    pieces = processor.encode(text, out_type=str)
    return all(len(piece) == 1 or not processor.is_unknown(processor.piece_to_id(piece)) for piece in pieces)


class TestIds:
    @pytest.mark.parametrize(("side", "words"), [("source", ENGLISH), ("target", GERMAN)])
    def test_as_transformers_has_them(self, folder, reference, side, words):
        tokenizer = ours(folder, side)
        argument = {"source": "text", "target": "text_target"}[side]
        compared = [text for text in texts(words, seed=0) + ODD if is_plain(folder, side, text)]
        assert len(compared) > 800
        for text in compared:
            assert tokenizer.encode(text).ids == reference(**{argument: text})["input_ids"], text

    def test_unknown_letters_side_by_side(self, folder, reference):
        """One unknown for all of them where the vocabulary has none; those that it has are found."""
        tokenizer = ours(folder, "source")
        unknown = tokenizer.token_to_id("<unk>")
        assert tokenizer.encode("the 漢字").ids == reference("the 漢字")["input_ids"]
        assert tokenizer.encode("the 漢字").ids.count(unknown) == 1
        [h, ue] = (tokenizer.token_to_id(letter) for letter in "Hü")
        assert tokenizer.encode("Hü").ids[-3:-1] == [h, ue]

    def test_letters_of_the_other_language(self, folder, reference):
        """SentencePiece does not know them, Marian does."""
        tokenizer = ours(folder, "source")
        ids = tokenizer.encode("grün").ids
        assert ids == reference("grün")["input_ids"]
        assert tokenizer.token_to_id("ü") in ids

    @pytest.mark.parametrize(("side", "words"), [("source", GERMAN), ("target", ENGLISH)])
    def test_no_piece_of_the_other_language(self, folder, side, words):
        """But for single letters."""
        tokenizer = ours(folder, side)
        vocabulary = json.loads((folder / "vocab.json").read_text())
        processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{side}.spm"))
        own = {processor.id_to_piece(i) for i in range(processor.get_piece_size())}
        foreign = {index for piece, index in vocabulary.items() if piece not in own and len(piece) > 1}
        foreign.remove(vocabulary["<pad>"])
        assert len(foreign) > 20
        assert not foreign & {i for text in texts(words, seed=2) for i in tokenizer.encode(text).ids}

    def test_a_piece_without_an_id(self, folder):
        """The text is cut into others; what is left without any is unknown."""
        vocabulary = json.loads((folder / "vocab.json").read_text())
        model = parse_sentencepiece((folder / "source.spm").read_bytes())
        [dropped, *_] = [piece for piece in model.scores if piece in {"▁the", "▁river", "▁house"}]
        kept = [piece for piece in vocabulary if piece != dropped]
        tokenizer = Tokenizer.from_str(
            json.dumps(build_tokenizer(model, {piece: index for index, piece in enumerate(kept)}))
        )
        encoding = tokenizer.encode(dropped.removeprefix("▁"))
        assert "".join(encoding.tokens) == f"{dropped}</s>"
        assert kept.index("<unk>") not in encoding.ids


class TestText:
    def test_what_was_encoded(self, folder, reference):
        tokenizer = ours(folder, "target")
        for text in texts(GERMAN, seed=3):
            ids = reference(text_target=text)["input_ids"]
            assert tokenizer.decode(ids).strip() == reference.decode(ids, skip_special_tokens=True), text

    def test_any_ids(self, folder, reference):
        """A network may write pieces of either language, in any order."""
        tokenizer, draw = ours(folder, "target"), random.Random(0)
        for _ in range(300):
            ids = [draw.randrange(2, tokenizer.get_vocab_size()) for _ in range(draw.randint(1, 9))]
            assert tokenizer.decode(ids).strip() == reference.decode(ids, skip_special_tokens=True), ids


class TestParse:
    def test_as_sentencepiece_reads_it(self, folder):
        content = (folder / "source.spm").read_bytes()
        model = parse_sentencepiece(content)
        processor = sentencepiece.SentencePieceProcessor(model_proto=content)
        assert model.scores == {
            processor.id_to_piece(i): processor.get_score(i)
            for i in range(processor.get_piece_size())
            if not (processor.is_control(i) or processor.is_unknown(i))
        }
        assert model.collapses_spaces
        assert model.prefixes_space

    def test_spaces_are_kept_where_the_model_keeps_them(self, tmp_path):
        content = train_sentencepiece(ENGLISH, remove_extra_whitespaces=False, add_dummy_prefix=False)
        model = parse_sentencepiece(content)
        assert not model.collapses_spaces
        assert not model.prefixes_space
        vocabulary = save_tokenizer(tmp_path, content, content)
        tokenizer = Tokenizer.from_str(json.dumps(build_tokenizer(model, vocabulary)))
        processor = sentencepiece.SentencePieceProcessor(model_proto=content)
        for text in ["the dog", " the  dog ", "  "]:
            assert tokenizer.encode(text, add_special_tokens=False).tokens == processor.encode(
                text, out_type=str
            )

    @pytest.mark.parametrize(
        ("options", "what"),
        [
            ({"model_type": "bpe"}, "Unigram"),
            ({"byte_fallback": True, "size": 320}, "type 6"),
            ({"user_defined_symbols": ["<sep>"]}, "type 4"),
            ({"treat_whitespace_as_suffix": True}, "end of words"),
        ],
        ids=str,
    )
    def test_models_of_other_kinds(self, options, what):
        with pytest.raises(UnreadableModelError, match=what):
            parse_sentencepiece(train_sentencepiece(ENGLISH, **options))

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\n",
            b"\xff" * 20,
            b"hello, I am a model",
            b"\n\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
            b"\x08\x01",
        ],
    )
    def test_other_files(self, content):
        with pytest.raises(UnreadableModelError):
            parse_sentencepiece(content)

    def test_damage(self, folder):
        """Either it is noticed, or it is a model still; never another error."""
        content, draw = (folder / "source.spm").read_bytes(), random.Random(0)
        noticed = 0
        for _ in range(300):
            damaged = bytearray(content[: draw.randrange(len(content))] if draw.random() < 0.3 else content)
            for _ in range(draw.randint(1, 4)):
                damaged[draw.randrange(min(len(damaged), 1500))] = draw.randrange(256)
            try:
                parse_sentencepiece(bytes(damaged))
            except UnreadableModelError:
                noticed += 1
        assert noticed > 50


class TestCharsmap:
    """The library looks things up in it without asking whether they are there."""

    @staticmethod
    def is_taken(charsmap: bytes) -> bool:
        normalizer = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap).decode()}
        return unbounded_part({"normalizer": normalizer, "model": {}}, vocabulary=10) is None

    @pytest.mark.parametrize("rule", ["nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf"])
    def test_those_of_sentencepiece_are_taken(self, rule):
        model = parse_sentencepiece(train_sentencepiece(ENGLISH, normalization_rule_name=rule))
        assert len(model.charsmap) > 10_000
        assert self.is_taken(model.charsmap)

    def test_damage(self):
        """What is taken has an answer to every text."""
        charsmap = parse_sentencepiece(train_sentencepiece(ENGLISH)).charsmap
        trie_bytes = int.from_bytes(charsmap[:4], "little")
        draw = random.Random(0)
        everything = "".join(map(chr, [*range(1, 0xD800), *range(0xE000, 0x20000)]))
        taken = 0
        for _ in range(60):
            damaged = bytearray(charsmap)
            for _ in range(draw.choice([1, 2, 30])):
                damaged[4 + draw.randrange(trie_bytes)] = draw.randrange(256)
            if self.is_taken(bytes(damaged)):
                taken += 1
                normalizers.Precompiled(bytes(damaged)).normalize_str(everything)
        assert 5 < taken < 55
