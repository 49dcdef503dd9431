"""Reading a folder's tokenizer as transformers does, into a ``tokenizer.json`` that was found bounded."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.domain.architectures import Architecture
from app.domain.errors import InvalidRequest
from app.domain.tasks import TASKS, Task
from app.engine.tokenizer_config import TARGET_TOKENIZER, TOKENIZER, TOKENIZER_CONFIG, tokenizer_config
from app.intake import steps
from app.intake.models.json_files import require_short
from app.intake.models.marian_tokenizer import PADDING
from app.intake.models.model_config import ModelConfig
from app.intake.models.tokenizer_classes import FILES, tokenizer_class
from app.intake.models.tokenizer_faults import does_not_fit, invalid
from app.intake.models.tokenizer_probe import LibraryError, build_checked, library_errors
from app.intake.models.tokenizer_settings import SETTINGS_FILES, longest_text, read_settings
from app.intake.models.tokenizer_sources import read_source, soundness

VOCABULARY_FILES = frozenset({TOKENIZER}).union(*FILES.values())
"""What a tokenizer can be read from."""

TOKENIZER_FILES = VOCABULARY_FILES | {TARGET_TOKENIZER, *SETTINGS_FILES}

_MAX_BYTES = 64 * 2**20

_PROBE = "a \u03a9\u6f22\U0001f600 1!"
"""Letters, signs and scripts; few tokenizers know all of them, and none may fail on one."""

_MAX_SPECIAL_TOKENS = 8
_MASKS = ("[MASK]", "<mask>")
STEP = "tokenizer"
"""What a process with limits is at when it reads one."""


@dataclass(frozen=True)
class ReadTokenizers:
    """What is stored of a folder's tokenizers."""

    files: dict[str, str]
    """``tokenizer.json``, ``tokenizer_config.json`` and, of some, ``target_tokenizer.json``."""
    max_length: int
    """Tokens at which texts are cut."""


def read_tokenizers(
    folder: Path,
    config: ModelConfig,
    task: Task | None,
    *,
    max_length: int | None = None,
    lowercases: bool = False,
) -> ReadTokenizers:
    """Tokenizers as JSON, without padding, which cut texts where the folder says.

    Args:
        folder: holds what the class that it names is read from: see ``tokenizer_classes``. A translation
            model may have a ``target_tokenizer.json`` beside ``tokenizer.json``.
        config: whose embedding table bounds the ids.
        task: what the model is for.
        max_length: tokens at which texts are cut by another file of the folder; None: it says nothing.
        lowercases: whether such a file says that texts are lower-cased before all else.

    Raises:
        InvalidRequest: there is none, it cannot be read or used, or its ids do not fit the embeddings.
    """
    steps.begin(STEP)
    architecture = config.architecture
    for name in TOKENIZER_FILES:
        require_short(folder / name, _MAX_BYTES)
    settings = read_settings(folder, rows=architecture.vocabulary)
    class_name = tokenizer_class(
        settings[TOKENIZER_CONFIG], config.tokenizer_class, default=architecture.record.tokenizer_class
    )
    with tempfile.TemporaryDirectory(prefix="squeeze-intake-") as made:
        source = read_source(folder, Path(made), settings, class_name, architecture)
    max_length = min(max_length or longest_text(settings) or config.max_length, config.max_length)
    read = {}
    for name, tree in source.trees.items():
        _drop_blank_lines(tree, architecture.vocabulary)
        with soundness():
            whole_tree = _lowercased(tree) if lowercases else tree
            tokenizer = build_checked(whole_tree, vocabulary=architecture.vocabulary)
        _check(tokenizer, architecture)
        if task is not None and TASKS[task].writes:
            _check_ending(tokenizer, config)
        tokenizer.enable_truncation(max_length, direction=source.config.get("truncation_side", "right"))
        read[name] = tokenizer
    if task is not None and TASKS[task].masks_inputs:
        _require_mask(read[TOKENIZER])
    whole = tokenizer_config(
        read[TOKENIZER], source.config, max_length=max_length, token_types=architecture.token_types
    )
    files = {name: tokenizer.to_str() for name, tokenizer in read.items()}
    files[TOKENIZER_CONFIG] = json.dumps(whole, indent=2, ensure_ascii=False)
    return ReadTokenizers(files, max_length)


def lowercases(tokenizer_json: str) -> bool | None:
    """What the normaliser says of itself, where it does."""
    normalizer = json.loads(tokenizer_json).get("normalizer") or {}
    lowercase = normalizer.get("lowercase")
    return lowercase if isinstance(lowercase, bool) else None


def _drop_blank_lines(tree: dict[str, Any], rows: int) -> None:
    """A word list may end in blank lines: a token that no text has, for which the table has no row."""
    model = tree.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(vocabulary, dict) and isinstance(vocabulary.get(""), int) and vocabulary[""] >= rows:
        del vocabulary[""]


def _lowercased(tree: dict[str, Any]) -> dict[str, Any]:
    """A tokenizer that lower-cases texts before it does anything else."""
    first = {"type": "Lowercase"}
    own = tree.get("normalizer")
    steps = [first] if own is None else [first, own]
    return tree | {"normalizer": {"type": "Sequence", "normalizers": steps}}


def _check(tokenizer: Any, architecture: Architecture) -> None:
    """Hold the ids against the embeddings, and encode a text and a pair.

    What the parts of a tokenizer do together stands in none of them.
    """
    largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
    if largest < 0:
        raise invalid("has an empty vocabulary")
    if largest >= architecture.vocabulary:
        raise does_not_fit("ids", largest, architecture.vocabulary)
    for texts in (_PROBE,), (_PROBE, _PROBE):
        special = tokenizer.num_special_tokens_to_add(len(texts) > 1)
        if not 1 <= special <= _MAX_SPECIAL_TOKENS:
            raise invalid(
                f"adds {special} special tokens to a text; supported are 1 to {_MAX_SPECIAL_TOKENS} "
                "(post_processor)"
            )
        with _library_errors("used"):
            encoding = tokenizer.encode(*texts)
            tokenizer.decode(encoding.ids)
        if max(encoding.ids) >= architecture.vocabulary:
            raise does_not_fit("ids", max(encoding.ids), architecture.vocabulary)
        if 1 < architecture.token_types <= max(encoding.type_ids):
            raise does_not_fit("type ids", max(encoding.type_ids), architecture.token_types)


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
        raise invalid(f"has no mask token ({' or '.join(_MASKS)}), which a masked-language model needs")


@contextmanager
def _library_errors(what: str) -> Iterator[None]:
    try:
        with library_errors():
            yield
    except LibraryError as error:
        raise invalid(f"cannot be {what} ({error})") from None
