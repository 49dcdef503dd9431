"""The jobs: tiny, of several kinds, long enough to meet several faults, each with several checkpoints."""

import io
import json
import random
import string
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import BertProcessing

KINDS: Sequence[Mapping[str, Any]] = (
    {"method": {"name": "fine_tuning"}, "training": {"seed": 1}},
    {"method": {"name": "fine_tuning"}, "training": {"seed": 2}},
    {"method": {"name": "distillation"}, "target": {"compression_ratio": 1.5}},
    {"method": {"name": "weight_squeezing"}, "target": {"compression_ratio": 1.5}},
)
"""What differs between jobs. All have one teacher."""

_LABELS = ["negative", "positive"]
_GOOD = ["wonderful", "charming", "brilliant", "superb", "funny", "warm"]
_BAD = ["dreadful", "boring", "clumsy", "awful", "shallow", "dull"]
_OTHER = ["the", "a", "film", "story", "actor", "scene", "music", "of", "with", "and", "this", "one", "was"]
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_ROWS = {"train": 256, "dev": 64, "test": 64}
_BATCH = 16


def job_of(kind: int, *, teacher: str, dataset: str, epochs: float) -> dict[str, Any]:
    """The body of a request for a job."""
    chosen = KINDS[kind]
    training = {"epochs": epochs, "batch_size": _BATCH, "learning_rate": 2e-3, "evaluations": 4}
    return {
        **chosen,
        "teacher": teacher,
        "dataset": dataset,
        "training": training | chosen.get("training", {}),
        "exports": ["fp32"],
        "controls": False,
    }


def dataset_files() -> dict[str, tuple[str, bytes]]:
    """Splits as JSON Lines: texts that hold more good words than bad ones are positive."""
    draw = random.Random(0)
    files = {}
    for split, rows in _ROWS.items():
        lines = (json.dumps(_example(draw, is_good=row % 2 == 1)) for row in range(rows))
        files[split] = (f"{split}.jsonl", "\n".join(lines).encode())
    return files


def teacher_archive() -> bytes:
    """A Hugging Face folder of a random classifier, as a .zip."""
    import torch  # it and the next take seconds
    from transformers import AutoModelForSequenceClassification, BertConfig

    tokenizer = _tokenizer()
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        id2label=dict(enumerate(_LABELS)),
    )
    torch.manual_seed(0)
    archive = io.BytesIO()
    with tempfile.TemporaryDirectory() as name, zipfile.ZipFile(archive, "w") as file:
        folder = Path(name)
        AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
        tokenizer.save(str(folder / "tokenizer.json"))
        for path in sorted(folder.iterdir()):
            file.write(path, path.name)
    return archive.getvalue()


def _example(draw: random.Random, *, is_good: bool) -> dict[str, str]:
    words = draw.choices(_OTHER, k=draw.randint(3, 12)) + draw.choices(_GOOD if is_good else _BAD, k=2)
    draw.shuffle(words)
    return {"text": " ".join(words), "label": _LABELS[is_good]}


def _tokenizer() -> Tokenizer:
    letters = [*string.ascii_lowercase, *string.digits]
    pieces = [*_SPECIAL, *letters, *(f"##{letter}" for letter in letters), *_GOOD, *_BAD, *_OTHER]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.add_special_tokens(_SPECIAL)
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer
