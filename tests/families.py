"""The table of architecture families: one row each, with the config of a tiny network of transformers.

A new family needs a row here, and no other change to the tests.
"""

from dataclasses import dataclass, field
from typing import Any

from app.domain.architectures import AnyShape, BiLstmShape, EncoderDecoderShape, EncoderShape


@dataclass(frozen=True)
class FamilyRow:
    """What a config says, and the network that it means."""

    config: dict[str, Any]
    shape: AnyShape
    other_shape: AnyShape
    """Another one that networks of the family can have."""
    token_types: int = 0
    common: dict[str, Any] = field(default_factory=lambda: {"vocab_size": 50, "max_position_embeddings": 20})

    @property
    def settings(self) -> dict[str, Any]:
        return self.common | self.config


_BERT = {
    "num_hidden_layers": 3,
    "hidden_size": 24,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "type_vocab_size": 2,
}
_SHAPE = EncoderShape(layers=3, hidden=24, heads=4, ffn=40)
_OTHER_SHAPE = EncoderShape(layers=2, hidden=16, heads=2, ffn=48)

FAMILY_ROWS = {
    "bert": FamilyRow(_BERT, _SHAPE, _OTHER_SHAPE, token_types=2),
    "roberta": FamilyRow(_BERT, _SHAPE, _OTHER_SHAPE, token_types=2),
    "xlm-roberta": FamilyRow(_BERT, _SHAPE, _OTHER_SHAPE, token_types=2),
    "distilbert": FamilyRow({"n_layers": 3, "dim": 24, "n_heads": 4, "hidden_dim": 40}, _SHAPE, _OTHER_SHAPE),
    "marian": FamilyRow(
        {
            "d_model": 24,
            "encoder_layers": 3,
            "decoder_layers": 2,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 2,
            "encoder_ffn_dim": 40,
            "decoder_ffn_dim": 40,
            "pad_token_id": 49,
            "decoder_start_token_id": 49,
        },
        EncoderDecoderShape(encoder_layers=3, decoder_layers=2, hidden=24, heads=4, ffn=40, decoder_heads=2),
        EncoderDecoderShape(
            encoder_layers=2, decoder_layers=1, hidden=16, heads=2, ffn=24, decoder_hidden=8, decoder_ffn=16
        ),
    ),
    "bilstm": FamilyRow(
        {"embedding_size": 12, "hidden_size": 16, "projection_size": 20},
        BiLstmShape(embedding=12, hidden=16, projection=20),
        BiLstmShape(embedding=8, hidden=10, projection=14),
    ),
}
