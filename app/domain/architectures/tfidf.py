"""Linear classifiers over TF-IDF of word pieces and their pairs: students of this service."""

from typing import Final

from app.domain.architectures.config import FamilyConfig
from app.domain.architectures.family import TfidfFamily
from app.domain.architectures.heads import HeadModules
from app.domain.architectures.shape import Terms


class TfidfConfig(FamilyConfig):
    terms: Terms


FAMILY: Final = TfidfFamily(
    name="tfidf",
    title="TF-IDF",
    class_prefix="Tfidf",
    config=TfidfConfig,
    dimensions={
        "vocab_size": "vocabulary",
        "max_position_embeddings": "positions",
        "terms": "terms",
    },
    keys="terms",
    idf="idf",
    head=HeadModules(output="classifier"),
    head_kinds=("text",),
)
