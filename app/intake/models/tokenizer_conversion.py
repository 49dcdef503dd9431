"""Tokenizers as transformers reads them: the one module of the API's side that imports transformers.

Importing it takes two seconds and no torch. Only the process that reads uploads does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from transformers.convert_slow_tokenizer import import_protobuf
from transformers.models.albert.tokenization_albert import AlbertTokenizer
from transformers.models.bert.tokenization_bert import BertTokenizer
from transformers.models.camembert.tokenization_camembert import CamembertTokenizer
from transformers.models.deberta_v2.tokenization_deberta_v2 import DebertaV2Tokenizer
from transformers.models.distilbert.tokenization_distilbert import DistilBertTokenizer
from transformers.models.herbert.tokenization_herbert import HerbertTokenizer
from transformers.models.mpnet.tokenization_mpnet import MPNetTokenizer
from transformers.models.roberta.tokenization_roberta import RobertaTokenizer
from transformers.models.xlm_roberta.tokenization_xlm_roberta import XLMRobertaTokenizer
from transformers.tokenization_utils_tokenizers import TokenizersBackend

from app.engine.tokenizer_config import SPECIAL_TOKENS
from app.intake.models.tokenizer_classes import GENERIC

_CLASSES: Final[Mapping[str, type[TokenizersBackend]]] = {
    "AlbertTokenizer": AlbertTokenizer,
    "BertTokenizer": BertTokenizer,
    "CamembertTokenizer": CamembertTokenizer,
    "DebertaV2Tokenizer": DebertaV2Tokenizer,
    "DistilBertTokenizer": DistilBertTokenizer,
    "HerbertTokenizer": HerbertTokenizer,
    "MPNetTokenizer": MPNetTokenizer,
    "RobertaTokenizer": RobertaTokenizer,
    "XLMRobertaTokenizer": XLMRobertaTokenizer,
    GENERIC: TokenizersBackend,
}

import_protobuf()  # type: ignore[no-untyped-call]  # reads SentencePiece's files: before the process forks


@dataclass(frozen=True)
class Converted:
    """A tokenizer of transformers."""

    tokenizer_json: str
    input_names: list[str]
    """What it gives to a network; without ``token_type_ids`` the texts of a pair are of one type."""
    config: dict[str, Any]
    """Special tokens by name, and on which side texts are cut and padded."""


def convert(folder: Path, class_name: str) -> Converted:
    """Read a folder with a class of transformers.

    Args:
        folder: vocabulary files and settings that were checked, and nothing else.
        class_name: one of ``tokenizer_classes.FILES``, but Marian's.
    """
    tokenizer = _CLASSES[class_name].from_pretrained(str(folder), local_files_only=True)
    named = {name: token for name, token in tokenizer.special_tokens_map.items() if name in SPECIAL_TOKENS}
    others = [token for token in tokenizer.all_special_tokens if token not in named.values()]
    return Converted(
        tokenizer_json=tokenizer.backend_tokenizer.to_str(),
        input_names=list(tokenizer.model_input_names),
        config={
            **named,
            "additional_special_tokens": others,
            "truncation_side": tokenizer.truncation_side,
            "padding_side": tokenizer.padding_side,
            "clean_up_tokenization_spaces": tokenizer.clean_up_tokenization_spaces,
        },
    )
