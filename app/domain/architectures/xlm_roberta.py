"""XLM-RoBERTa: RoBERTa under another name."""

from dataclasses import replace
from typing import Final

from app.domain.architectures.roberta import FAMILY as ROBERTA

FAMILY: Final = replace(
    ROBERTA,
    name="xlm-roberta",
    title="XLM-RoBERTa",
    class_prefix="XLMRoberta",
    tokenizer_class="XLMRobertaTokenizer",
)
