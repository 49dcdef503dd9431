"""Static embeddings: a vector for each token, and the mean of a text's; students of this service alone."""

from typing import Final

from app.domain.architectures.config import FamilyConfig, Size
from app.domain.architectures.family import StaticFamily


class StaticConfig(FamilyConfig):
    dimensions: Size


FAMILY: Final = StaticFamily(
    name="static",
    title="static embedding",
    config=StaticConfig,
    dimensions={
        "vocab_size": "vocabulary",
        "max_position_embeddings": "positions",
        "dimensions": "dimensions",
    },
    words="embedding",
)
