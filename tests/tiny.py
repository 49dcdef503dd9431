"""Tiny real things: transformers models, tokenizers and data sets that train in a second.

The rule of the data sets is learnable: a text is positive when it holds more pleasant words than unpleasant
ones; a pair is "same" when both sides name the same thing.
"""

import json
import random
import string
import tarfile
import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

LABELS = ["negative", "positive"]
PAIR_LABELS = ["different", "same"]

PLEASANT = ["wonderful", "charming", "delightful", "brilliant", "moving", "superb", "funny", "warm"]
UNPLEASANT = ["dreadful", "boring", "clumsy", "tedious", "awful", "shallow", "dull", "painful"]
_NEUTRAL = ["the", "a", "film", "story", "actor", "scene", "music", "of", "with", "and", "this", "one", "was"]
_THINGS = ["apple", "river", "engine", "violin", "castle"]
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def tiny_model_folder(
    path: Path,
    *,
    labels: Sequence[str] | None = None,
    architecture: str = "bert",
    layers: int = 2,
    hidden: int = 32,
    heads: int = 2,
    ffn: int = 64,
    seed: int = 0,
) -> Path:
    """A Hugging Face folder with random weights; a classifier where there are labels, else a bare encoder."""
    import torch
    from transformers import (
        AutoModel,
        AutoModelForSequenceClassification,
        BertConfig,
        DistilBertConfig,
        RobertaConfig,
        XLMRobertaConfig,
    )

    tokenizer = tiny_tokenizer()
    vocabulary = tokenizer.get_vocab_size()
    head = {"id2label": dict(enumerate(labels))} if labels else {}
    if architecture == "distilbert":
        config = DistilBertConfig(
            vocab_size=vocabulary,
            n_layers=layers,
            dim=hidden,
            n_heads=heads,
            hidden_dim=ffn,
            max_position_embeddings=64,
            pad_token_id=0,
            **head,
        )
    else:
        family = {"bert": BertConfig, "roberta": RobertaConfig, "xlm-roberta": XLMRobertaConfig}[architecture]
        # RoBERTa's positions start after the padding id, 0 here, which costs it one more position than BERT.
        config = family(
            vocab_size=vocabulary,
            num_hidden_layers=layers,
            hidden_size=hidden,
            num_attention_heads=heads,
            intermediate_size=ffn,
            max_position_embeddings=64,
            pad_token_id=0,
            **head,
        )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        build = AutoModel if labels is None else AutoModelForSequenceClassification
        build.from_config(config).save_pretrained(path)
    tokenizer.save(str(path / "tokenizer.json"))
    return path


def tiny_bert_folder(path: Path, *, labels: Sequence[str] | None = None, seed: int = 0) -> Path:
    return tiny_model_folder(path, labels=labels, seed=seed)


@cache
def tiny_tokenizer() -> Tokenizer:
    """A WordPiece tokenizer, lower-casing, of the data sets' words and of letters for all others."""
    letters = [*string.ascii_lowercase, *string.digits, *string.punctuation]
    words = [*PLEASANT, *UNPLEASANT, *_NEUTRAL, *_THINGS]
    tokens = dict.fromkeys([*_SPECIAL, *letters, *(f"##{letter}" for letter in letters), *words])
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.add_special_tokens(_SPECIAL)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def tiny_examples(rows: int, *, seed: int = 0) -> list[dict[str, str]]:
    """Texts with their labels, half of each."""
    draw = random.Random(seed)
    examples = []
    for i in range(rows):
        label = LABELS[i % 2]
        ours, theirs = (PLEASANT, UNPLEASANT) if label == "positive" else (UNPLEASANT, PLEASANT)
        words = draw.choices(_NEUTRAL, k=draw.randint(3, 12)) + draw.choices(ours, k=2)
        words += draw.choices(theirs, k=draw.randint(0, 1))
        draw.shuffle(words)
        examples.append({"text": " ".join(words), "label": label})
    return examples


def tiny_pair_examples(rows: int, *, seed: int = 0) -> list[dict[str, str]]:
    """Pairs of texts with their labels, half of each."""
    draw = random.Random(seed)
    examples = []
    for i in range(rows):
        label = PAIR_LABELS[i % 2]
        thing, other = draw.sample(_THINGS, 2)
        sides = [f"{' '.join(draw.choices(_NEUTRAL, k=4))} {noun}" for noun in (thing, other)]
        if label == "same":
            sides[1] = f"{' '.join(draw.choices(_NEUTRAL, k=4))} {thing}"
        examples.append({"text": sides[0], "text_pair": sides[1], "label": label})
    return examples


def tiny_dataset_files(
    path: Path, *, train: int = 256, dev: int = 64, test: int = 64, unlabeled: int = 0, pairs: bool = False
) -> dict[str, Path]:
    """JSON Lines files by split; a split of 0 rows is left out."""
    make = tiny_pair_examples if pairs else tiny_examples
    path.mkdir(parents=True, exist_ok=True)
    files = {}
    sizes = {"train": train, "dev": dev, "test": test, "unlabeled": unlabeled}
    for seed, (split, rows) in enumerate(sizes.items()):
        if rows == 0:
            continue
        examples = make(rows, seed=seed)
        if split == "unlabeled":
            for example in examples:
                del example["label"]
        files[split] = path / f"{split}.jsonl"
        files[split].write_text("".join(json.dumps(example) + "\n" for example in examples))
    return files


def zipped(folder: Path) -> Path:
    """The folder's files in a .zip beside it."""
    archive = folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, path.relative_to(folder))
    return archive


def tarred(folder: Path, *, compression: str = "gz") -> Path:
    """The folder itself, one level down, in a .tar or .tar.gz beside it."""
    archive = folder.with_name(f"{folder.name}.tar.gz" if compression else f"{folder.name}.tar")
    with tarfile.open(archive, f"w:{compression}") as file:
        file.add(folder, arcname=folder.name)
    return archive
