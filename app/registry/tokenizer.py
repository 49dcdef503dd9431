"""Reading the tokenizer as data: ``tokenizer.json``, or the ``vocab.txt`` of a BERT."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from app.core.errors import InvalidRequest
from app.core.shapes import EncoderCard
from app.registry.tokenizer_bounds import unbounded_part

_PROBE = "a \u03a9\u6f22\U0001f600 1!"
"""Letters, signs and scripts; few tokenizers know all of them, and none may fail on one."""

_MAX_SPECIAL_TOKENS = 8
_SPECIAL = ("[UNK]", "[CLS]", "[SEP]", "[PAD]")


def read_tokenizer(folder: Path, card: EncoderCard, *, lowercase: bool) -> str:
    """The tokenizer as JSON, without truncation and padding, which are for the caller to set.

    Args:
        folder: holds ``tokenizer.json``, or a BERT's ``vocab.txt``.
        card: whose embedding table bounds the ids.
        lowercase: how ``vocab.txt`` is meant; ``tokenizer.json`` says it itself.

    Raises:
        InvalidRequest: there is none, it cannot be read or used, or its ids do not fit the embeddings.
    """
    tokenizer = _load(folder, card, lowercase=lowercase)
    largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
    if largest < 0:
        raise _invalid("has an empty vocabulary")
    if largest >= card.vocabulary:
        raise _does_not_fit("ids", largest, card.vocabulary)
    _try_out(tokenizer, card)
    text: str = tokenizer.to_str()
    return text


def _load(folder: Path, card: EncoderCard, *, lowercase: bool) -> Any:
    if (folder / "tokenizer.json").is_file():
        return _read(folder / "tokenizer.json", card)
    if (folder / "vocab.txt").is_file() and card.architecture in {"bert", "distilbert"}:
        return _word_piece(folder / "vocab.txt", lowercase=lowercase)
    raise InvalidRequest(
        "missing_tokenizer",
        "The folder has no tokenizer.json. Save the tokenizer beside the model: "
        "AutoTokenizer.from_pretrained(...).save_pretrained(folder).",
    )


def _read(path: Path, card: EncoderCard) -> Any:
    try:
        raw = json.loads(path.read_bytes())
        unbounded = unbounded_part(raw, vocabulary=card.vocabulary)
    except (ValueError, RecursionError, AttributeError, TypeError) as error:
        raise _invalid(f"cannot be read ({error})") from None
    if unbounded is not None:
        raise _invalid(unbounded)
    with _library_errors("read"):
        return Tokenizer.from_str(json.dumps(raw | {"truncation": None, "padding": None}))


def _try_out(tokenizer: Any, card: EncoderCard) -> None:
    """Encode a text and a pair: what the parts of a tokenizer do together stands in none of them."""
    for texts in (_PROBE,), (_PROBE, _PROBE):
        special = tokenizer.num_special_tokens_to_add(len(texts) > 1)
        if not 1 <= special <= _MAX_SPECIAL_TOKENS:
            raise _invalid(
                f"adds {special} special tokens to a text; a classifier reads the first of one to "
                f"{_MAX_SPECIAL_TOKENS} (post_processor)"
            )
        with _library_errors("used"):
            encoding = tokenizer.encode(*texts)
        if max(encoding.ids) >= card.vocabulary:
            raise _does_not_fit("ids", max(encoding.ids), card.vocabulary)
        if card.token_types > 1 and max(encoding.type_ids) >= card.token_types:
            raise _does_not_fit("type ids", max(encoding.type_ids), card.token_types)


@contextmanager
def _library_errors(what: str) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        # The library raises nothing narrower than Exception, and its panics are not even that.
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise _invalid(f"cannot be {what} ({error})") from None
        raise


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


def _does_not_fit(what: str, largest: int, rows: int) -> InvalidRequest:
    return InvalidRequest(
        "tokenizer_does_not_fit_config",
        f"The tokenizer's {what} go up to {largest:,}, but the embeddings have {rows:,} rows. "
        "Upload the tokenizer that the model was trained with.",
        largest=largest,
        rows=rows,
    )


def _invalid(what: str) -> InvalidRequest:
    return InvalidRequest(
        "invalid_tokenizer",
        f"The tokenizer {what}. Save it again with save_pretrained() and upload the folder.",
    )
