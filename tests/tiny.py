"""Tiny real things: transformers models, tokenizers and data sets that train in a second.

The rules of the data sets are learnable: a text is positive when it holds more pleasant words than unpleasant
ones; a pair is "same" when both sides name the same thing, and its score is how much of both is pleasant;
things are entities in both languages; and a translation is word for word.
"""

import json
import random
import string
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from app.domain.architectures import ENCODERS
from tests.families import FAMILY_ROWS, padding_of

if TYPE_CHECKING:
    from transformers import PretrainedConfig

LABELS = ["negative", "positive"]
PAIR_LABELS = ["different", "same"]

PLEASANT = ["wonderful", "charming", "delightful", "brilliant", "moving", "superb", "funny", "warm"]
UNPLEASANT = ["dreadful", "boring", "clumsy", "tedious", "awful", "shallow", "dull", "painful"]
_NEUTRAL = ["the", "a", "film", "story", "actor", "scene", "music", "of", "with", "and", "this", "one", "was"]
_THINGS = ["apple", "river", "engine", "violin", "castle"]
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
GERMAN = {
    "the dog": "der Hund",
    "the cat": "die Katze",
    "the girl": "das Mädchen",
    "sees": "sieht",
    "finds": "findet",
    "likes": "mag",
}


def tiny_model_folder(
    path: Path,
    *,
    labels: Sequence[str] | None = None,
    family: str = "bert",
    layers: int = 2,
    hidden: int = 32,
    heads: int = 2,
    ffn: int = 64,
    embedding: int | None = None,
    tokenizer: Tokenizer | None = None,
    seed: int = 0,
) -> Path:
    """A Hugging Face folder with random weights; a classifier where there are labels, else a bare encoder."""
    import torch
    from transformers import AutoModel, AutoModelForSequenceClassification

    tokenizer = tokenizer or tiny_tokenizer()
    sizes = {"layers": layers, "hidden": hidden, "heads": heads, "ffn": ffn, "embedding": embedding or hidden}
    config = tiny_config(family, sizes, vocabulary=tokenizer.get_vocab_size(), labels=labels)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        build = AutoModel if labels is None else AutoModelForSequenceClassification
        build.from_config(config).save_pretrained(path)
    save_tokenizer(tokenizer, path)
    return path


def tiny_config(
    family: str, sizes: Mapping[str, int], *, vocabulary: int, labels: Sequence[str] | None = None
) -> "PretrainedConfig":
    """What such a folder says of its network."""
    from transformers import AutoConfig

    row = FAMILY_ROWS[family]
    tables = {"vocabulary": vocabulary, "positions": 64, "token_types": row.token_types}
    head = {"id2label": dict(enumerate(labels))} if labels else {}
    # Where positions start after the padding id, that costs more of them.
    return AutoConfig.for_model(
        family,
        **ENCODERS[family].config_values(sizes | tables | row.details),
        **row.switches | {"pad_token_id": padding_of(family)},
        **head,
    )


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write a tokenizer that transformers reads as it is, whatever the network beside it."""
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast"}
    config["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


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


def tiny_questions(rows: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Where the thing is in a text; each fourth text has none."""
    draw = random.Random(seed)
    examples = []
    for number in range(rows):
        words = draw.choices(_NEUTRAL, k=draw.randint(4, 10))
        place = draw.randrange(len(words))
        answers: dict[str, list[Any]] = {"text": [], "answer_start": []}
        if number % 4:
            words[place] = draw.choice(_THINGS)
            start = len(" ".join(["", *words[:place]]))
            answers = {"text": [words[place]], "answer_start": [start]}
        examples.append({"question": "the one", "context": " ".join(words), "answers": answers})
    return examples


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


def tiny_scored_examples(rows: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Pairs of texts and a score from 0 to 5: 5/6 for each of their six words of quality that is pleasant."""
    draw = random.Random(seed)
    examples = []
    for _ in range(rows):
        sides = [draw.choices([*PLEASANT, *UNPLEASANT], k=3) for _ in range(2)]
        score = sum(word in PLEASANT for side in sides for word in side) * 5 / 6
        text, text_pair = (" ".join(draw.choices(_NEUTRAL, k=2) + side) for side in sides)
        examples.append({"text": text, "text_pair": text_pair, "score": score})
    return examples


def tiny_tagged_examples(rows: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Words with things in them, after a word of praise or alone; every second row backwards, as a language.

    Its words are new to the tokenizer, which cuts them into letters; the names of things are the same.
    """
    draw = random.Random(seed)
    examples = []
    for i in range(rows):
        language = ("en", "ne")[i % 2]
        tokens, tags = [], []
        for _ in range(draw.randint(1, 2)):
            filler = draw.choices(_NEUTRAL, k=draw.randint(1, 3))
            tokens += filler if language == "en" else [word[::-1] for word in filler]
            praise = draw.choices(PLEASANT, k=draw.randint(0, 1))
            tokens += [*praise, draw.choice(_THINGS)]
            tags += ["O"] * len(filler) + ["B-thing", "I-thing"][: len(praise) + 1]
        examples.append({"tokens": tokens, "tags": tags, "language": language})
    return examples


def tiny_translations(rows: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Sentences of a subject, a verb and an object, and their German."""
    draw = random.Random(seed)
    nouns, verbs = list(GERMAN)[:3], list(GERMAN)[3:]
    examples = []
    for _ in range(rows):
        words = [draw.choice(nouns), draw.choice(verbs), draw.choice(nouns)]
        examples.append({"source": " ".join(words), "target": " ".join(GERMAN[word] for word in words)})
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
