"""What of a BiLSTM's ``config.json`` is kept: a student of this service, which no library else knows."""

from typing import Literal

from app.domain.architectures import BiLstmArchitecture, BiLstmShape
from app.intake.models.config_file import ConfigFile, Ratio, Size


class BiLstmConfig(ConfigFile):
    model_type: Literal["bilstm"]
    embedding_size: Size
    hidden_size: Size
    projection_size: Size
    dropout: Ratio = 0.2

    def architecture(self) -> BiLstmArchitecture:
        return BiLstmArchitecture(
            shape=BiLstmShape(
                embedding=self.embedding_size, hidden=self.hidden_size, projection=self.projection_size
            ),
            vocabulary=self.vocab_size,
            positions=self.max_position_embeddings,
        )
