"""What people call the splits of a data set."""

from collections.abc import Mapping
from typing import Final

from app.domain.documents.manifest import Split

SPLIT_NAMES: Final[Mapping[Split, tuple[str, ...]]] = {
    "train": ("train", "training"),
    "dev": ("dev", "validation", "valid", "val", "eval", "testa"),
    "test": ("test", "testb"),
    "unlabeled": ("unlabeled", "unlabelled", "unsupervised"),
}
"""In lower case, our own name first."""
