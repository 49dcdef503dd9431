"""BiLSTMs over word pieces: students of this service, which no other library knows."""

from typing import Final

from app.domain.architectures.config import FamilyConfig, Ratio, Size
from app.domain.architectures.family import BiLstmFamily
from app.domain.architectures.heads import HeadModules


class BiLstmConfig(FamilyConfig):
    embedding_size: Size
    hidden_size: Size
    projection_size: Size
    dropout: Ratio = 0.2


FAMILY: Final = BiLstmFamily(
    name="bilstm",
    title="BiLSTM",
    class_prefix="BiLstm",
    config=BiLstmConfig,
    dimensions={
        "vocab_size": "vocabulary",
        "max_position_embeddings": "positions",
        "embedding_size": "embedding",
        "hidden_size": "hidden",
        "projection_size": "projection",
    },
    words="word_embeddings",
    lstm="lstm",
    projection="projection",
    head=HeadModules(output="classifier"),
    head_kinds=("text", "token"),
)
