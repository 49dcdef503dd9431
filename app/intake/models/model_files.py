"""The names of files that a model is read from."""

import re
from typing import Final

from app.intake.models.tokenizer import TOKENIZER_FILES

CONFIG: Final = "config.json"
OLD_CONFIG: Final = "bert_config.json"
"""As the first BERTs have it."""
WEIGHTS: Final = "model.safetensors"
INDEX: Final = "model.safetensors.index.json"
MODULES: Final = "modules.json"
"""Of sentence-transformers: which folder holds what of a model."""

_NAMES = TOKENIZER_FILES | {CONFIG, OLD_CONFIG, "generation_config.json", WEIGHTS, INDEX, MODULES}
_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")


def is_model_file(name: str) -> bool:
    """Whether a file of this name is read. Other files of a folder are ignored."""
    return name in _NAMES or is_shard(name)


def is_shard(name: str) -> bool:
    """Whether a file of this name holds a part of the weights."""
    return _SHARD.fullmatch(name) is not None
