"""Folders as people have them: families x files x settings x scripts, of a vocabulary of our own."""

import json
import warnings
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers

from tests.app.registry.translation import ENGLISH, train_sentencepiece

WORDS = (
    *("the", "The", "CAT", "film", "covid", "it's", "don't", "U.S."),
    *("1,5", "C++", "@user", "#tag", "[URL]", "Café", "élan", "naïve"),
    *("Straße", "İstanbul", "ΣΑΣ", "привет", "e\u0301té", "ﬁne", "\uff21\uff22", "漢字"),
    *("かな", "한국어", "हिन्दी", "العربية", "ไทย", "😀", "👩\u200d👧", "\u200b"),
    *("\xad", "▁", "``quoted''"),
)
_ODD_LINES = ("", "\u2028", "odd\u0085", "x\x0b", "y\x1cz", "spaced ", "\u3000", "the")
_SPACES = (" ", "  ", "\t", "\n", "\u00a0", "\u2028", "\u3000", "")

_BERT_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_ROBERTA_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")

KINDS = {
    "bert": ("BertTokenizer", "word_list"),
    "distilbert": ("DistilBertTokenizer", "word_list"),
    "electra": ("ElectraTokenizer", "word_list"),
    "mpnet": ("MPNetTokenizer", "word_list"),
    "roberta": ("RobertaTokenizer", "byte_pairs"),
    "albert": ("AlbertTokenizer", "sentencepiece"),
    "camembert": ("CamembertTokenizer", "sentencepiece"),
    "xlm-roberta": ("XLMRobertaTokenizer", "sentencepiece"),
}
"""By family: the class that it comes with, and what that is read from."""

_OTHERS = {
    "word_list": ("BertTokenizerFast", "DistilBertTokenizer", "MPNetTokenizer"),
    "byte_pairs": ("RobertaTokenizerFast", "LongformerTokenizer", "HerbertTokenizerFast"),
    "sentencepiece": ("XLMRobertaTokenizerFast", "CamembertTokenizer", "AlbertTokenizer"),
}
"""Classes that a folder may name instead."""

_CLASSES = {"vocab.txt": "BertTokenizer", "merges.txt": "RobertaTokenizer", "spiece.model": "AlbertTokenizer"}
_NEW = ["[URL]", "<new>", "covid"]
_MASK = {"content": "<mask>", "lstrip": True, "normalized": False, "rstrip": False}


class TokenizerFolder:
    """What is written of a tokenizer, by file, and the config of a network beside it."""

    def __init__(self, files: dict[str, bytes], config: dict[str, Any]) -> None:
        self.files = files
        self.config = config

    def __repr__(self) -> str:
        settings = {name: text.decode() for name, text in self.files.items() if len(text) < 2000}
        return f"{self.config['model_type']}, {self.config['vocab_size']} rows: {list(self.files)} {settings}"

    def write(self, path: Path) -> Path:
        path.mkdir()
        for name, content in self.files.items():
            (path / name).write_bytes(content)
        (path / "config.json").write_text(json.dumps(self.config))
        return path


@st.composite
def folders(draw: st.DrawFn) -> TokenizerFolder:
    family = draw(st.sampled_from(sorted(KINDS)))
    class_name, kind = KINDS[family]
    vocabulary = draw(_VOCABULARIES[kind](family))
    settings = draw(_settings(class_name, kind))
    files = dict(vocabulary)
    if draw(st.booleans()):
        files["tokenizer.json"] = draw(_tokenizer_json(kind, vocabulary))
        if draw(st.booleans()):
            files = {"tokenizer.json": files["tokenizer.json"]}
    rows = 1200 if draw(st.integers(0, 4)) else _size(vocabulary)
    files |= {name: json.dumps(content).encode() for name, content in settings.items() if content}
    return TokenizerFolder(files, _config(family, rows))


texts = st.lists(
    st.one_of(
        st.sampled_from((*WORDS, *_BERT_SPECIAL, *_ROBERTA_SPECIAL, "<new>", "Added")),
        st.text(max_size=6),
        st.sampled_from(_SPACES),
    ),
    max_size=12,
).map("".join) | st.lists(st.sampled_from(WORDS), max_size=20).map(" ".join)


def _config(family: str, rows: int) -> dict[str, Any]:
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    if family == "distilbert":
        sizes = {"dim": 8, "n_layers": 1, "n_heads": 1, "hidden_dim": 8}
    if family in {"albert", "electra"}:
        sizes["embedding_size"] = 8
    types = {} if family in {"distilbert", "mpnet"} else {"type_vocab_size": 2}
    padding = 1 if family in {"roberta", "camembert", "xlm-roberta", "mpnet"} else 0
    return (
        {"model_type": family, "vocab_size": rows, "max_position_embeddings": 40}
        | sizes
        | types
        | {"pad_token_id": padding}
    )


def _size(vocabulary: dict[str, bytes]) -> int:
    """Of what the files hold, so that nothing can be added."""
    if "vocab.txt" in vocabulary:
        return len(vocabulary["vocab.txt"].decode().splitlines())
    if "vocab.json" in vocabulary:
        return len(json.loads(vocabulary["vocab.json"]))
    proto = sentencepiece_model_pb2.ModelProto.FromString(next(iter(vocabulary.values())))
    return len(proto.pieces) + 5


@st.composite
def _word_list(draw: st.DrawFn, family: str) -> dict[str, bytes]:
    special = ("<s>", "<pad>", "</s>", "[UNK]", "<mask>") if family == "mpnet" else _BERT_SPECIAL
    letters = sorted({letter for word in WORDS for letter in word + word.lower() if not letter.isspace()})
    words = [*WORDS, *(word.lower() for word in WORDS)]
    left_out = draw(st.sets(st.sampled_from(letters), max_size=20))
    lines = [*special, *words, *letters, *(f"##{letter}" for letter in letters if letter not in left_out)]
    for line in draw(st.lists(st.sampled_from(_ODD_LINES), max_size=3)):
        lines.insert(draw(st.integers(len(special), len(lines))), line)
    ending = draw(st.sampled_from(["\n", "\r\n"]))
    return {"vocab.txt": (ending.join(lines) + draw(st.sampled_from([ending, ""]))).encode()}


@st.composite
def _byte_pairs(draw: st.DrawFn, family: str) -> dict[str, bytes]:
    vocabulary, merges = _trained_byte_pairs()
    if draw(st.booleans()):
        vocabulary = {token: id_ for token, id_ in vocabulary.items() if token != "<mask>"}
        vocabulary = {token: index for index, token in enumerate(vocabulary)}
    header = draw(st.sampled_from(["#version: 0.2\n", ""]))
    lines = "\n".join(" ".join(pair) for pair in merges) + "\n"
    return {"vocab.json": json.dumps(vocabulary).encode(), "merges.txt": (header + lines).encode()}


@cache
def _trained_byte_pairs() -> tuple[dict[str, int], list[list[str]]]:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=list(_ROBERTA_SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([" ".join(WORDS), *ENGLISH] * 3, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [pair if isinstance(pair, list) else pair.split(" ") for pair in model["merges"]]


@st.composite
def _sentencepiece(draw: st.DrawFn, family: str) -> dict[str, bytes]:
    special = ("<pad>", "<unk>", "[CLS]", "[SEP]") if family == "albert" else ("<unk>", "<s>", "</s>")
    proto = sentencepiece_model_pb2.ModelProto()
    kinds = {"<unk>": 2} | {token: 3 for token in special if token != "<unk>"}
    words = list(dict.fromkeys(piece for word in WORDS for piece in (f"▁{word}", f"▁{word.lower()}")))
    letters = sorted({letter for word in words for letter in word})
    symbols = draw(st.lists(st.sampled_from(["<sym>", "covid", "😀"]), max_size=2, unique=True))
    letters = [letter for letter in letters if letter not in symbols]
    for piece in (*special, *symbols, *words, *letters):
        score = 0.0 if piece in special or piece in symbols else -2.0 - len(words) / (1 + len(piece))
        proto.pieces.add(piece=piece, score=score, type=kinds.get(piece, 4 if piece in symbols else 1))
    proto.trainer_spec.model_type = 1
    proto.trainer_spec.unk_id = special.index("<unk>")
    if draw(st.booleans()):
        proto.normalizer_spec.precompiled_charsmap = _charsmap()
    file = "spiece.model" if family == "albert" else "sentencepiece.bpe.model"
    return {file: proto.SerializeToString()}


@cache
def _charsmap() -> bytes:
    model = train_sentencepiece(ENGLISH, normalization_rule_name="nmt_nfkc")
    charsmap: bytes = sentencepiece_model_pb2.ModelProto.FromString(
        model
    ).normalizer_spec.precompiled_charsmap
    return charsmap


_VOCABULARIES = {"word_list": _word_list, "byte_pairs": _byte_pairs, "sentencepiece": _sentencepiece}


@st.composite
def _tokenizer_json(draw: st.DrawFn, kind: str, vocabulary: dict[str, bytes]) -> bytes:
    """One of the same vocabulary, which says something else of what is done to a text, or the same."""
    flags = draw(_flags(kind))
    added = draw(st.lists(st.sampled_from(["<new>", "Added", "covid", "漢字"]), max_size=3, unique=True))
    tokenizer = Tokenizer.from_str(_fast(tuple(sorted(vocabulary.items())), tuple(sorted(flags.items()))))
    for token in added:
        is_special, normalized = draw(st.booleans()), draw(st.booleans())
        tokenizer.add_tokens([AddedToken(token, special=is_special, normalized=normalized)])
    if draw(st.integers(0, 3)) == 0:
        tokenizer.enable_truncation(7, direction=draw(st.sampled_from(["left", "right"])))
        tokenizer.enable_padding(length=16)
    written: str = tokenizer.to_str()
    return written.encode()


def _fast(vocabulary: tuple[tuple[str, bytes], ...], flags: tuple[tuple[str, Any], ...]) -> str:
    """As an earlier save_pretrained() wrote it."""
    import tempfile

    import transformers

    names = {
        "vocab.txt": "BertTokenizer",
        "merges.txt": "RobertaTokenizer",
        "spiece.model": "AlbertTokenizer",
    }
    name = next((names[file] for file, _ in vocabulary if file in names), "XLMRobertaTokenizer")
    if any(file == "vocab.txt" and content.startswith(b"<s>") for file, content in vocabulary):
        name = "MPNetTokenizer"
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for file, content in vocabulary:
            Path(folder, file).write_bytes(content)
        made = getattr(transformers, name).from_pretrained(folder, **dict(flags))
    written: str = made.backend_tokenizer.to_str()
    return written


def _flags(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    flag = st.booleans()
    known: dict[str, dict[str, st.SearchStrategy[Any]]] = {
        "word_list": {
            "do_lower_case": flag,
            "strip_accents": st.sampled_from([True, False, None]),
            "tokenize_chinese_chars": flag,
        },
        "byte_pairs": {"add_prefix_space": flag, "trim_offsets": flag},
        "sentencepiece": {"do_lower_case": flag, "keep_accents": flag, "add_prefix_space": flag},
    }
    return st.fixed_dictionaries({}, optional=known[kind])


@st.composite
def _settings(draw: st.DrawFn, class_name: str, kind: str) -> dict[str, dict[str, Any]]:
    config = draw(_flags(kind))
    config |= draw(
        st.fixed_dictionaries(
            {},
            optional={
                "tokenizer_class": st.sampled_from(
                    [class_name, f"{class_name}Fast", *_OTHERS[kind], "PreTrainedTokenizerFast"]
                ),
                "model_max_length": st.sampled_from([9, 16, 10**30, 1e30]),
                "max_len": st.just(12),
                "truncation_side": st.sampled_from(["left", "right"]),
                "padding_side": st.sampled_from(["left", "right"]),
                "model_input_names": st.sampled_from(
                    [["input_ids", "attention_mask"], ["input_ids", "token_type_ids", "attention_mask"]]
                ),
                "clean_up_tokenization_spaces": st.booleans(),
                "additional_special_tokens": st.lists(
                    st.sampled_from(["[URL]", "<new>", "covid"]), max_size=2
                ),
                "extra_special_tokens": st.sampled_from([["<new>"], {"image_token": "<image>"}]),
                "mask_token": st.sampled_from(["<mask>", "[MASK]", {"__type": "AddedToken", **_MASK}]),
                "unk_token": st.sampled_from(["[UNK]", "<unk>"]),
                "never_split": st.none(),
                "sp_model_kwargs": st.just({}),
                "special_tokens_map_file": st.just("/nowhere/special_tokens_map.json"),
                "name_or_path": st.just("/nowhere"),
            },
        )
    )
    names = st.sampled_from(["@user", "[URL]", "covid", "<new>", "Added", "Straße"])
    added = draw(st.lists(names, max_size=3, unique=True))
    settings: dict[str, dict[str, Any]] = {"tokenizer_config.json": config}
    if draw(st.integers(0, 3)) == 0:
        config["added_tokens_decoder"] = {
            str(700 + place): {
                "content": token,
                "lstrip": draw(st.booleans()),
                "rstrip": False,
                "normalized": draw(st.booleans()),
                "single_word": draw(st.booleans()),
                "special": draw(st.booleans()),
            }
            for place, token in enumerate(added)
        }
    elif draw(st.booleans()):
        settings["added_tokens.json"] = {token: 700 + place for place, token in enumerate(added)}
    if draw(st.integers(0, 3)) == 0:
        settings["special_tokens_map.json"] = draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "additional_special_tokens": st.lists(names, max_size=2, unique=True),
                    "mask_token": st.sampled_from(
                        [
                            "<mask>",
                            {"content": "<mask>", "lstrip": True, "normalized": False, "rstrip": False},
                        ]
                    ),
                    "pad_token": st.sampled_from(["<pad>", "[PAD]"]),
                },
            )
        )
    return settings
