"""The names of files that a model is read from."""

import re
from typing import Final

from app.domain.pooling import LENGTH_CONFIG, MODULES
from app.intake.models.tokenizer import TOKENIZER_FILES

__all__ = [
    "CONFIG",
    "INDEX",
    "LENGTH_CONFIGS",
    "MODULES",
    "OLD_CONFIG",
    "PROMPTS",
    "WEIGHTS",
    "is_model_file",
    "is_shard",
]

CONFIG: Final = "config.json"
OLD_CONFIG: Final = "bert_config.json"
"""As the first BERTs have it."""
WEIGHTS: Final = "model.safetensors"
INDEX: Final = "model.safetensors.index.json"
PROMPTS: Final = "config_sentence_transformers.json"
"""Of sentence-transformers: what stands before texts, among others."""
LENGTH_CONFIGS: Final = (
    LENGTH_CONFIG,
    *(
        f"sentence_{family}_config.json"
        for family in ("roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
    ),
)
"""Of sentence-transformers: where texts are cut, by the names that its versions have for it."""

_NAMES = TOKENIZER_FILES | {
    *(CONFIG, OLD_CONFIG, "generation_config.json", WEIGHTS, INDEX, MODULES, PROMPTS),
    *LENGTH_CONFIGS,
}
_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")


def is_model_file(name: str) -> bool:
    """Whether a file of this name is read. Other files of a folder are ignored."""
    return name in _NAMES or is_shard(name)


def is_shard(name: str) -> bool:
    """Whether a file of this name holds a part of the weights."""
    return _SHARD.fullmatch(name) is not None
