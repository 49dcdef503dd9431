"""Reading tokenizers as data: ``tokenizer.json``, a BERT's word list, or a Marian's SentencePiece files."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from app.domain.architectures import Architecture
from app.domain.errors import InvalidRequest, TooLarge
from app.domain.tasks import TASKS, Task
from app.intake import steps
from app.intake.models.marian_tokenizer import END, PADDING, UNKNOWN, build_tokenizer
from app.intake.models.model_config import ModelConfig
from app.intake.models.sentencepiece import SentencePieceModel, UnreadableModelError, parse_sentencepiece
from app.intake.models.tokenizer_probe import LibraryError, Probe, check_tokenizers, library_errors

TOKENIZER_FILES = frozenset(
    {"tokenizer.json", "target_tokenizer.json", "vocab.txt", "vocab.json", "source.spm", "target.spm"}
)

_SENTENCEPIECE = ("source.spm", "target.spm", "vocab.json")
_MAX_BYTES = 64 * 2**20
_MAX_SENTENCEPIECE_BYTES = 8 * 2**20  # every field of it is taken apart by hand

_PROBE = "a \u03a9\u6f22\U0001f600 1!"
"""Letters, signs and scripts; few tokenizers know all of them, and none may fail on one."""

_MAX_SPECIAL_TOKENS = 8
_SPECIAL = ("[UNK]", "[CLS]", "[SEP]", "[PAD]")
_MASKS = ("[MASK]", "<mask>")
STEP = "tokenizer"
"""What a process with limits is at when it reads one."""


def read_tokenizers(
    folder: Path, config: ModelConfig, task: Task | None, *, lowercase: bool
) -> dict[str, str]:
    """Tokenizers as JSON, by file name, without truncation and padding, which are for the caller to set.

    Args:
        folder: holds ``tokenizer.json`` (a translation model may have a ``target_tokenizer.json`` too), or
            a BERT's ``vocab.txt``, or a Marian's ``source.spm``, ``target.spm`` and ``vocab.json``.
        config: whose embedding table bounds the ids.
        task: what the model is for.
        lowercase: how ``vocab.txt`` is meant; ``tokenizer.json`` says it itself.

    Raises:
        InvalidRequest: there is none, it cannot be read or used, or its ids do not fit the embeddings.
    """
    steps.begin(STEP)
    record = None if task is None else TASKS[task]
    for name in TOKENIZER_FILES:
        require_short(folder / name, _MAX_BYTES)
    with tempfile.TemporaryDirectory(prefix="squeeze-intake-") as made:
        sources = _sources(folder, config, Path(made), lowercase=lowercase)
        loaded = _load(sources, Path(made), config.architecture)
    for tokenizer in loaded.values():
        _check(tokenizer, config.architecture)
        if record is not None and record.writes:
            _check_ending(tokenizer, config)
    if record is not None and record.masks_inputs:
        _require_mask(loaded["tokenizer.json"])
    return {name: tokenizer.to_str() for name, tokenizer in loaded.items()}


def lowercases(tokenizer_json: str) -> bool | None:
    """What the normaliser says of itself, where it does."""
    normalizer = json.loads(tokenizer_json).get("normalizer") or {}
    lowercase = normalizer.get("lowercase")
    return lowercase if isinstance(lowercase, bool) else None


def require_short(path: Path, limit: int) -> None:
    """Raise where there is a file longer than any model has."""
    if path.is_file() and path.stat().st_size > limit:
        raise TooLarge(
            "file_too_large",
            f"{path.name} exceeds the limit of {limit:,} bytes. Upload the tokenizer saved with the model.",
        )


def _sources(folder: Path, config: ModelConfig, made: Path, *, lowercase: bool) -> dict[str, Path]:
    """The file of each ``tokenizer.json`` that the model is to have; ``made`` receives those it has not."""
    architecture = config.architecture
    possible = architecture.record.tokenizer_files
    if "source.spm" in possible and all((folder / name).is_file() for name in _SENTENCEPIECE):
        return _write(made, _from_sentencepiece(folder, architecture.vocabulary))
    if (folder / "tokenizer.json").is_file():
        sources = {"tokenizer.json": folder / "tokenizer.json"}
        if "target_tokenizer.json" in possible and (folder / "target_tokenizer.json").is_file():
            sources["target_tokenizer.json"] = folder / "target_tokenizer.json"
        return sources
    if "vocab.txt" in possible and (folder / "vocab.txt").is_file():
        made_of_words = _word_piece(folder / "vocab.txt", lowercase=lowercase, rows=architecture.vocabulary)
        return _write(made, {"tokenizer.json": made_of_words})
    kinds = f"{', '.join(_SENTENCEPIECE)}, or " if "source.spm" in possible else ""
    raise InvalidRequest(
        "missing_tokenizer",
        f"The folder has no {kinds}tokenizer.json. Save the tokenizer with the model: "
        "AutoTokenizer.from_pretrained(...).save_pretrained(folder).",
    )


def _write(folder: Path, contents: dict[str, str]) -> dict[str, Path]:
    for name, content in contents.items():
        (folder / name).write_text(content, "utf-8")
    return {name: folder / name for name in contents}


def _load(sources: dict[str, Path], made: Path, architecture: Architecture) -> dict[str, Any]:
    """Each tokenizer, once it was found bounded."""
    checked = {name: made / f"checked-{name}" for name in sources}
    probes = [
        Probe(source=str(sources[name]), target=str(path), vocabulary=architecture.vocabulary)
        for name, path in checked.items()
    ]
    fault = check_tokenizers(probes)
    if fault is not None:
        raise _invalid(fault)
    with _library_errors("read"):
        return {name: Tokenizer.from_str(path.read_text("utf-8")) for name, path in checked.items()}


def _from_sentencepiece(folder: Path, rows: int) -> dict[str, str]:
    vocabulary = _read_vocabulary(folder / "vocab.json", rows)
    source, target = (
        build_tokenizer(_read_sentencepiece(folder / name, vocabulary), vocabulary)
        for name in ("source.spm", "target.spm")
    )
    made = {"tokenizer.json": json.dumps(source)}
    if target != source:
        made["target_tokenizer.json"] = json.dumps(target)
    return made


def _read_sentencepiece(path: Path, vocabulary: dict[str, int]) -> SentencePieceModel:
    require_short(path, _MAX_SENTENCEPIECE_BYTES)
    try:
        model = parse_sentencepiece(path.read_bytes())
    except UnreadableModelError as error:
        raise InvalidRequest(
            "invalid_tokenizer",
            f"{path.name} {error}. Upload the file that the model was trained with, or a tokenizer.json and "
            "a target_tokenizer.json instead.",
        ) from None
    known = len(model.scores.keys() & vocabulary.keys())
    if 2 * known < len(model.scores):
        raise InvalidRequest(
            "tokenizer_config_mismatch",
            f"vocab.json has {known:,} of the {len(model.scores):,} pieces of {path.name}. Upload files of "
            "the same model.",
        )
    return model


def _read_vocabulary(path: Path, rows: int) -> dict[str, int]:
    require_short(path, _MAX_SENTENCEPIECE_BYTES)
    vocabulary = _read_json(path)
    if len(vocabulary) > rows:
        raise _does_not_fit("ids", len(vocabulary) - 1, rows)
    if not all(type(index) is int for index in vocabulary.values()):
        raise _invalid("cannot be built: vocab.json must map tokens to integers")
    if sorted(vocabulary.values()) != list(range(len(vocabulary))):
        raise _invalid("cannot be built: vocab.json must number its tokens from 0 without gaps")
    absent = [token for token in (UNKNOWN, END, PADDING) if token not in vocabulary]
    if absent:
        raise _invalid(f"cannot be built: vocab.json lacks {', '.join(absent)}")
    return vocabulary


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise _invalid(f"cannot be read ({path.name}: {error})") from None
    if not isinstance(value, dict):
        raise _invalid(f"cannot be read ({path.name} is not a JSON object)")
    return value


def _check(tokenizer: Any, architecture: Architecture) -> None:
    """Hold the ids against the embeddings, and encode a text and a pair.

    What the parts of a tokenizer do together stands in none of them.
    """
    largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
    if largest < 0:
        raise _invalid("has an empty vocabulary")
    if largest >= architecture.vocabulary:
        raise _does_not_fit("ids", largest, architecture.vocabulary)
    for texts in (_PROBE,), (_PROBE, _PROBE):
        special = tokenizer.num_special_tokens_to_add(len(texts) > 1)
        if not 1 <= special <= _MAX_SPECIAL_TOKENS:
            raise _invalid(
                f"adds {special} special tokens to a text; supported are 1 to {_MAX_SPECIAL_TOKENS} "
                "(post_processor)"
            )
        with _library_errors("used"):
            encoding = tokenizer.encode(*texts)
            tokenizer.decode(encoding.ids)
        if max(encoding.ids) >= architecture.vocabulary:
            raise _does_not_fit("ids", max(encoding.ids), architecture.vocabulary)
        if 1 < architecture.token_types <= max(encoding.type_ids):
            raise _does_not_fit("type ids", max(encoding.type_ids), architecture.token_types)


def _check_ending(tokenizer: Any, config: ModelConfig) -> None:
    """A translation is written until its end comes, which the network knows by its id."""
    end = config.kept["eos_token_id"]
    last = tokenizer.encode(_PROBE).ids[-1]
    if last != end:
        raise InvalidRequest(
            "tokenizer_config_mismatch",
            f"The tokenizer ends texts with token id {last}, but config.json has eos_token_id {end}. Upload "
            "the tokenizer that the model was trained with.",
        )
    padding = tokenizer.token_to_id(PADDING)
    if padding not in {None, config.kept["pad_token_id"]}:
        raise InvalidRequest(
            "tokenizer_config_mismatch",
            f"The tokenizer has {PADDING} at id {padding}, but config.json has pad_token_id "
            f"{config.kept['pad_token_id']}. Upload the tokenizer that the model was trained with.",
        )


def _require_mask(tokenizer: Any) -> None:
    if all(tokenizer.token_to_id(token) is None for token in _MASKS):
        raise _invalid(f"has no mask token ({' or '.join(_MASKS)}), which a masked-language model needs")


@contextmanager
def _library_errors(what: str) -> Iterator[None]:
    try:
        with library_errors():
            yield
    except LibraryError as error:
        raise _invalid(f"cannot be {what} ({error})") from None


def _word_piece(path: Path, *, lowercase: bool, rows: int) -> str:
    """BERT's own tokenizer, from its word list, which has at most as many words as the embeddings rows."""
    try:
        tokens = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise _invalid(f"cannot be built: vocab.txt is not UTF-8 (byte {error.start})") from None
    if len(tokens) > rows:
        raise _does_not_fit("ids", len(tokens) - 1, rows)
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
    made: str = tokenizer.to_str()
    return made


def _does_not_fit(what: str, largest: int, rows: int) -> InvalidRequest:
    return InvalidRequest(
        "tokenizer_config_mismatch",
        f"The tokenizer's {what} go up to {largest:,}, but the embedding matrix has {rows:,} rows. Upload "
        "the tokenizer that the model was trained with.",
        largest=largest,
        rows=rows,
    )


def too_expensive(reason: str) -> InvalidRequest:
    """Of a tokenizer that used up what a process with limits has of memory or time."""
    return _invalid(f"is too expensive to load or to run ({reason})")


def _invalid(what: str) -> InvalidRequest:
    return InvalidRequest(
        "invalid_tokenizer",
        f"The tokenizer {what}. Save it with save_pretrained() and upload the folder.",
    )
