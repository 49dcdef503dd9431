"""From the files of a folder to what ``tokenizer.json`` is to say, by way of transformers' own class."""

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.domain.architectures import Architecture
from app.domain.errors import InvalidRequest
from app.engine.tokenizer_config import TARGET_TOKENIZER, TOKENIZER
from app.intake.models.marian_tokenizer import read_marian
from app.intake.models.tokenizer_bounds import vocabulary_of
from app.intake.models.tokenizer_classes import FILES, GENERIC, MARIAN
from app.intake.models.tokenizer_faults import invalid
from app.intake.models.tokenizer_probe import LibraryError, UnsoundTokenizerError, library_errors, read_tree
from app.intake.models.tokenizer_settings import Settings, named_tokens, write_settings

_DISPENSABLE = {"mask_token", "pad_token", "bos_token", "eos_token"}
"""Special tokens that a class adds by itself, and without which most texts are read alike."""

Tree = dict[str, Any]


@dataclass
class Source:
    """A folder's tokenizers, not checked yet."""

    trees: dict[str, Tree]
    """What is to be read of each, by the name of its file."""
    config: dict[str, Any] = field(default_factory=dict)
    """What transformers says of the first beside it: see ``tokenizer_conversion``."""


def read_source(
    folder: Path, made: Path, settings: Settings, class_name: str, architecture: Architecture
) -> Source:
    """Read a folder with a class of transformers; Marian's SentencePiece files by hand.

    Args:
        folder: as somebody sent it.
        made: an empty folder, for what transformers is to see of it.
        settings: of the folder.
        class_name: one of ``tokenizer_classes.FILES``.
        architecture: whose embedding table bounds the ids.

    Raises:
        InvalidRequest: files are missing, cannot be read or do not belong together.
    """
    rows, files = architecture.vocabulary, FILES[class_name]
    has_json, has_others = _has(folder, [TOKENIZER]), bool(files) and _has(folder, files)
    if not has_json and not has_others:
        raise _missing(files)
    if class_name == MARIAN and has_others:
        return Source(read_marian(folder, rows=rows))
    if class_name == MARIAN:
        class_name = GENERIC
    known = set(named_tokens(settings))
    if has_json:  # has to be bounded before a class builds anything of it
        known.update(_added(_read_tree(folder / TOKENIZER, rows)))
    for name in (TOKENIZER, *files):
        _copy(folder / name, made / name)
    write_settings(settings, made)
    source = _converted(made, class_name, has_types=architecture.token_types > 1)
    _drop_absent_tokens(source, rows, known)
    if architecture.record.tokenizer_class == MARIAN and _has(folder, [TARGET_TOKENIZER]):
        source.trees[TARGET_TOKENIZER] = _read_tree(folder / TARGET_TOKENIZER, rows)
    return source


def _converted(folder: Path, class_name: str, *, has_types: bool) -> Source:
    # Imported late: it takes seconds, and of the service only the process that reads uploads needs it.
    from app.intake.models.tokenizer_conversion import convert

    try:
        with library_errors():
            converted = convert(folder, class_name)
            tree = json.loads(converted.tokenizer_json)
    except LibraryError as error:
        shown = str(error).replace(f"{folder}/", "")
        raise invalid(f"cannot be read by transformers' {class_name} ({shown})") from None
    if has_types and "token_type_ids" not in converted.input_names:
        _drop_types(tree)
    return Source({TOKENIZER: tree}, converted.config)


def _drop_absent_tokens(source: Source, rows: int, known: AbstractSet[str]) -> None:
    """Leave out special tokens that a class has by default and the model has no rows for.

    Args:
        source: as a class read it.
        rows: of the embedding matrix.
        known: added tokens that the folder names.

    Raises:
        InvalidRequest: texts cannot be read without one of them, or it is not the folder's.
    """
    tree, config = source.trees[TOKENIZER], source.config
    names = {config[name]: name for name in config if name.endswith("_token")}
    added = {token: id_ for token, id_ in _added(tree).items() if token in names}
    absent = {token for token, id_ in added.items() if id_ >= rows}
    unnamed = added.keys() - known - set(vocabulary_of(tree["model"]))
    framing = json.dumps(tree["post_processor"], ensure_ascii=False)
    needed = [
        token
        for token in added
        if token in absent | unnamed and (names[token] not in _DISPENSABLE or f'"{token}"' in framing)
    ]
    if needed:
        raise invalid(f"lacks {', '.join(token[:50] for token in needed)} in its vocabulary")
    if absent:
        tree["added_tokens"] = [token for token in tree["added_tokens"] if token["content"] not in absent]
        source.config = {name: value for name, value in config.items() if value not in list(absent)}


def _added(tree: Tree) -> dict[str, Any]:
    """Added tokens and their ids."""
    tokens = tree.get("added_tokens") or []
    return {token["content"]: token.get("id") for token in tokens if isinstance(token["content"], str)}


def _drop_types(tree: Tree) -> None:
    """Give both texts of a pair one type: transformers does not tell the network which is which."""
    processor = tree["post_processor"] or {}
    for part in processor.get("processors", [processor]):
        if part.get("type") == "BertProcessing":
            _spell_out(part)
        if part.get("type") == "TemplateProcessing":
            for piece in (*part["single"], *part["pair"]):
                for value in piece.values():
                    value["type_id"] = 0


def _spell_out(processor: Tree) -> None:
    """Bert's post-processor, whose types are fixed, as a template."""
    (last, last_id), (first, first_id) = processor.pop("sep"), processor.pop("cls")
    begin, end = ({"SpecialToken": {"id": token, "type_id": 0}} for token in (first, last))
    text, pair = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    ids = {first: first_id, last: last_id}
    processor |= {
        "type": "TemplateProcessing",
        "single": [begin, text, end],
        "pair": [begin, text, end, pair, end],
        "special_tokens": {
            token: {"id": token, "ids": [id_], "tokens": [token]} for token, id_ in ids.items()
        },
    }


def _copy(source: Path, target: Path) -> None:
    """Copy a file that may be there; of a word list, with the ends of lines that transformers knows."""
    if not source.is_file():
        return
    if source.name != "vocab.txt":
        shutil.copyfile(source, target)
        return
    try:
        text = source.read_text("utf-8")  # reads \\r\\n, and \\r alone, as \\n
    except UnicodeDecodeError as error:
        raise invalid(f"cannot be read: vocab.txt is not UTF-8 (byte {error.start})") from None
    target.write_text(text, "utf-8")


@contextmanager
def soundness() -> Iterator[None]:
    """Say of a tokenizer that is not sound what is wrong with it."""
    try:
        yield
    except UnsoundTokenizerError as error:
        raise invalid(str(error)) from None


def _read_tree(path: Path, rows: int) -> Tree:
    with soundness():
        return read_tree(path, vocabulary=rows)


def _has(folder: Path, names: Iterable[str]) -> bool:
    return all((folder / name).is_file() for name in names)


def _missing(files: Sequence[str]) -> InvalidRequest:
    kinds = [" + ".join(files)] if files else []
    return InvalidRequest(
        "missing_tokenizer",
        f"The folder has no {' or '.join([*kinds, TOKENIZER])}. Save the tokenizer with the model: "
        "AutoTokenizer.from_pretrained(...).save_pretrained(folder).",
    )
