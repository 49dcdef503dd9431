"""Which of transformers' tokenizers a folder means: one of this list, by its name."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from app.engine.tokenizer_config import TOKENIZER_CONFIG
from app.intake.models.tokenizer_faults import unsupported

GENERIC: Final = "PreTrainedTokenizerFast"
"""Reads ``tokenizer.json`` as it is, whatever other files say."""

MARIAN: Final = "MarianTokenizer"
"""The one that transformers has in Python alone: its files are converted here."""

FILES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "BertTokenizer": ("vocab.txt",),
        "DistilBertTokenizer": ("vocab.txt",),
        "MPNetTokenizer": ("vocab.txt",),
        "RobertaTokenizer": ("vocab.json", "merges.txt"),
        "HerbertTokenizer": ("vocab.json", "merges.txt"),
        "AlbertTokenizer": ("spiece.model",),
        "CamembertTokenizer": ("sentencepiece.bpe.model",),
        "XLMRobertaTokenizer": ("sentencepiece.bpe.model",),
        "DebertaV2Tokenizer": ("spm.model",),
        MARIAN: ("source.spm", "target.spm", "vocab.json"),
        GENERIC: (),
    }
)
"""The classes, and the files that each is read from where there is no ``tokenizer.json``."""

_OTHER_NAMES: Final = {
    **dict.fromkeys(("ElectraTokenizer", "MobileBertTokenizer", "SqueezeBertTokenizer"), "BertTokenizer"),
    **dict.fromkeys(("LayoutLMTokenizer", "LxmertTokenizer"), "BertTokenizer"),
    **dict.fromkeys(("LongformerTokenizer", "BartTokenizer"), "RobertaTokenizer"),
    **dict.fromkeys(("TokenizersBackend", "PreTrainedTokenizer", "PythonBackend"), GENERIC),
}
"""As transformers reads them."""


def tokenizer_class(settings: Mapping[str, Any], named_by_config: str | None, *, default: str) -> str:
    """The class that reads a folder's tokenizer, as ``AutoTokenizer`` chooses it.

    Args:
        settings: of ``tokenizer_config.json``.
        named_by_config: ``tokenizer_class`` of ``config.json``.
        default: of the architecture's family.

    Raises:
        InvalidRequest: the folder names a class that is not supported.
    """
    file = TOKENIZER_CONFIG if settings.get("tokenizer_class") else "config.json"
    named = settings.get("tokenizer_class") or named_by_config
    if not named:
        return default
    name = GENERIC if named == GENERIC else named.removesuffix("Fast")
    name = _OTHER_NAMES.get(name, name)
    if name in FILES and (name != MARIAN or default == MARIAN):
        return name
    supported = ", ".join(known for known in FILES if known != MARIAN)
    raise unsupported(
        f"{file} names the tokenizer_class {named[:80]!r}, which is not supported; supported are "
        f"{supported}.",
        "Convert the tokenizer into a tokenizer.json that gives the same ids, with the tokenizers library, "
        f"and set tokenizer_class to {GENERIC}.",
    )
