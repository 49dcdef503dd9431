"""A tiny translation task: number words to German ones, in reverse order."""

import json
import random
from functools import cache
from pathlib import Path

import torch
from tokenizers import Tokenizer

from app.domain.architectures import EncoderDecoderArchitecture, EncoderDecoderShape
from app.engine.tokenizing import pad_id
from worker.contracts import TaskData, Teacher
from worker.data.tokenization import tokenize_translations
from worker.networks.loading import build_network
from worker.networks.new_tokenizer import train_tokenizer
from worker.networks.new_translator import marian_config

WORDS = {"one": "eins", "two": "zwei", "three": "drei", "four": "vier", "five": "fünf", "six": "sechs"}

TEACHER = EncoderDecoderShape(encoder_layers=2, decoder_layers=2, hidden=32, heads=4, ffn=48)
SHALLOW = EncoderDecoderShape(encoder_layers=2, decoder_layers=1, hidden=32, heads=4, ffn=48)
NARROW = EncoderDecoderShape(
    encoder_layers=2,
    decoder_layers=1,
    hidden=32,
    heads=4,
    ffn=48,
    decoder_hidden=16,
    decoder_heads=2,
    decoder_ffn=24,
)
SMALL = EncoderDecoderShape(encoder_layers=1, decoder_layers=1, hidden=16, heads=2, ffn=24)

POSITIONS = 64


def sentences(rows: int, *, seed: int) -> tuple[list[str], list[str]]:
    draw = random.Random(seed)
    chosen = [draw.choices(list(WORDS), k=draw.randint(2, 6)) for _ in range(rows)]
    return [" ".join(words) for words in chosen], [
        " ".join(WORDS[word] for word in reversed(words)) + "." for words in chosen
    ]


@cache
def tokenizer() -> Tokenizer:
    return train_tokenizer([text for side in sentences(100, seed=9) for text in side], vocabulary=300)


def translation_card(shape: EncoderDecoderShape = TEACHER) -> EncoderDecoderArchitecture:
    return EncoderDecoderArchitecture(
        shape=shape, vocabulary=tokenizer().get_vocab_size(), positions=POSITIONS
    )


def translation_data(*, train: int = 256, dev: int = 48, unlabeled: int = 0) -> TaskData:
    def split(rows: int, seed: int, *, with_targets: bool = True):
        sources, targets = sentences(rows, seed=seed)
        return tokenize_translations(
            sources,
            targets if with_targets else None,
            source_tokenizer=tokenizer(),
            target_tokenizer=tokenizer(),
            max_length=32,
        )

    return TaskData(
        task="translation",
        train=split(train, 0),
        dev=split(dev, 1),
        unlabeled=split(unlabeled, 2, with_targets=False) if unlabeled else None,
        labels=[],
        pad_id=pad_id(tokenizer()),
        vocabulary=tokenizer().get_vocab_size(),
        target_tokenizer=tokenizer(),
    )


def make_translator(shape: EncoderDecoderShape = TEACHER, *, spread: float = 0.1) -> Teacher:
    """A random teacher whose every part has a say: no bias and no norm is at its default."""
    architecture = translation_card(shape)
    config = marian_config(tokenizer(), positions=POSITIONS)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = build_network(config, architecture, translation_data(train=1, dev=1).head)
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter) * spread)
            network.final_logits_bias.normal_()
    return Teacher(
        network=network, tokenizer=tokenizer(), architecture=architecture, digest=f"{shape}{spread}"
    )


def translation_files(folder: Path, *, train: int = 256, dev: int = 32, test: int = 16) -> dict[str, Path]:
    """JSON Lines files by split."""
    folder.mkdir(parents=True)
    files = {}
    for seed, (split, rows) in enumerate({"train": train, "dev": dev, "test": test}.items()):
        lines = (
            json.dumps({"source": source, "target": target}) + "\n"
            for source, target in zip(*sentences(rows, seed=seed), strict=True)
        )
        files[split] = folder / f"{split}.jsonl"
        files[split].write_text("".join(lines))
    return files
