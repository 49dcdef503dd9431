"""CamemBERT: RoBERTa under another name."""

from dataclasses import replace
from typing import Final

from app.domain.architectures.roberta import FAMILY as ROBERTA

FAMILY: Final = replace(
    ROBERTA,
    name="camembert",
    title="CamemBERT",
    class_prefix="Camembert",
    tokenizer_class="CamembertTokenizer",
)
