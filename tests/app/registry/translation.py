"""A tiny Marian folder as transformers saves it, with SentencePiece models trained on a little text."""

import io
import json
import random
from pathlib import Path

import sentencepiece

_STEMS = ["one", "two", "dog", "house", "river", "see", "green", "old", "walk", "naïve", "it's"]
_STEMS_DE = ["eins", "zwei", "Hund", "Haus", "Fluss", "seh", "grün", "alt", "geh", "über", "Straße"]
ENGLISH = ["the", *(stem + ending for stem in _STEMS for ending in ["", "s", "ing", "er", "ly"])]
GERMAN = ["der", *(stem + ending for stem in _STEMS_DE for ending in ["", "en", "er", "te", "lich"])]


def train_sentencepiece(words: list[str], *, size: int = 70, **options) -> bytes:
    """A ``.spm`` file."""
    draw = random.Random(0)
    texts = [" ".join(draw.choices(words, k=6)) + "." for _ in range(1000)]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        vocab_size=size,
        minloglevel=2,
        num_threads=1,
        **options,
    )
    return model.getvalue()


def joint_vocabulary(*models: bytes) -> dict[str, int]:
    """Ids of the pieces of both languages, as Marian numbers them: the padding last."""
    pieces = ["</s>", "<unk>"]
    for model in models:
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        pieces += [processor.id_to_piece(i) for i in range(3, processor.get_piece_size())]
    unique = [*dict.fromkeys(pieces), "<pad>"]
    return {piece: index for index, piece in enumerate(unique)}


def save_tokenizer(folder: Path, source: bytes, target: bytes) -> dict[str, int]:
    """The three files that Marian's tokenizer is read from."""
    vocabulary = joint_vocabulary(source, target)
    folder.mkdir(exist_ok=True)
    (folder / "source.spm").write_bytes(source)
    (folder / "target.spm").write_bytes(target)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    return vocabulary


def marian_folder(path: Path, source: bytes, target: bytes, **settings) -> Path:
    import torch
    from transformers import MarianConfig, MarianMTModel

    vocabulary = save_tokenizer(path, source, target)
    default = {
        "d_model": 16,
        "encoder_layers": 2,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 32,
        "max_position_embeddings": 64,
        "activation_function": "swish",
        "scale_embedding": True,
    }
    padding = vocabulary["<pad>"]
    ids = {"pad_token_id": padding, "eos_token_id": 0, "decoder_start_token_id": padding}
    config = MarianConfig(vocab_size=len(vocabulary), **default | ids | settings)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        MarianMTModel(config).save_pretrained(path)
    return path
