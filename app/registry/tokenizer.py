"""Reading the tokenizer as data: ``tokenizer.json``, or the ``vocab.txt`` of a BERT."""

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from app.core.errors import InvalidRequest
from app.core.shapes import EncoderCard

_SPECIAL = ("[UNK]", "[CLS]", "[SEP]", "[PAD]")


def read_tokenizer(folder: Path, card: EncoderCard, *, lowercase: bool) -> str:
    """The tokenizer as JSON, without truncation and padding, which are for the caller to set.

    Args:
        folder: holds ``tokenizer.json``, or a BERT's ``vocab.txt``.
        card: whose embedding table bounds the ids.
        lowercase: how ``vocab.txt`` is meant; ``tokenizer.json`` says it itself.

    Raises:
        InvalidRequest: there is none, it cannot be read, or it knows more tokens than the embeddings.
    """
    tokenizer = _load(folder, card, lowercase=lowercase)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
    if largest < 0:
        raise _invalid("has an empty vocabulary")
    if largest >= card.vocabulary:
        raise InvalidRequest(
            "tokenizer_does_not_fit_config",
            f"The tokenizer's ids go up to {largest:,}, but the embeddings have {card.vocabulary:,} rows. "
            "Upload the tokenizer that the model was trained with.",
            largest_id=largest,
            vocab_size=card.vocabulary,
        )
    text: str = tokenizer.to_str()
    return text


def _load(folder: Path, card: EncoderCard, *, lowercase: bool) -> Any:
    if (folder / "tokenizer.json").is_file():
        try:
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            tokenizer.encode("a", "b")
        except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
            raise _invalid(f"cannot be read ({error})") from None
        return tokenizer
    if (folder / "vocab.txt").is_file() and card.architecture in {"bert", "distilbert"}:
        return _word_piece(folder / "vocab.txt", lowercase=lowercase)
    raise InvalidRequest(
        "missing_tokenizer",
        "The folder has no tokenizer.json. Save the tokenizer beside the model: "
        "AutoTokenizer.from_pretrained(...).save_pretrained(folder).",
    )


def _word_piece(path: Path, *, lowercase: bool) -> Any:
    """BERT's own tokenizer, from its word list."""
    try:
        tokens = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise _invalid(f"cannot be built: vocab.txt is not UTF-8 (byte {error.start})") from None
    vocabulary = {token: index for index, token in enumerate(tokens)}
    absent = [token for token in _SPECIAL if token not in vocabulary]
    if absent:
        raise _invalid(f"cannot be built: vocab.txt lacks {', '.join(absent)}")
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106 - a token of text
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.BertProcessing(
        ("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"])
    )
    tokenizer.add_special_tokens([token for token in (*_SPECIAL, "[MASK]") if token in vocabulary])
    return tokenizer


def lowercases(tokenizer_json: str) -> bool | None:
    """What the normaliser says of itself, where it does."""
    normalizer = json.loads(tokenizer_json).get("normalizer") or {}
    lowercase = normalizer.get("lowercase")
    return lowercase if isinstance(lowercase, bool) else None


def _invalid(what: str) -> InvalidRequest:
    return InvalidRequest(
        "invalid_tokenizer",
        f"The tokenizer {what}. Save it again with save_pretrained() and upload the folder.",
    )
