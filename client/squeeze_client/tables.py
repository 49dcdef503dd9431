"""Tables in memory and on disk, as contents to be sent."""

import json
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias

from squeeze_client.errors import NotUploadable
from squeeze_client.uploads import Content

Table: TypeAlias = Any
"""A path, a list of dicts, a pandas ``DataFrame`` or a ``datasets.Dataset``."""

SPLITS = ("train", "dev", "test", "unlabeled")
_OTHER_NAMES = {"validation": "dev", "valid": "dev", "val": "dev"}


def contents_of(given: Mapping[str, Table]) -> dict[str, Content]:
    """Contents by split.

    Raises:
        NotUploadable: something is no table, or a folder has no splits.
    """
    contents: dict[str, Content] = {}
    for split, table in given.items():
        if table is None:
            continue
        is_folder = isinstance(table, str | Path) and Path(table).is_dir()
        if is_folder or _is_by_split(table):
            if len([other for other in given.values() if other is not None]) > 1:
                raise NotUploadable(f"{split} holds several splits: give it alone, or each split by itself.")
            return _splits_of_folder(Path(table)) if is_folder else _splits_of_mapping(table)
        contents[split] = content_of(table, split)
    if not contents:
        raise NotUploadable("Give at least one split: a file, a list of dicts, a DataFrame or a Dataset.")
    return contents


def content_of(table: Table, split: str) -> Content:
    """One table.

    Raises:
        NotUploadable: it is none.
    """
    if isinstance(table, str | Path):
        path = Path(table)
        if not path.is_file():
            raise NotUploadable(f"{path}: there is no such file.")
        return Content.of_file(path)
    if hasattr(table, "to_parquet") and hasattr(table, "features"):  # keeps the names of ClassLabel
        buffer = BytesIO()
        table.to_parquet(buffer)
        return _of_bytes(f"{split}.parquet", buffer.getvalue())
    if hasattr(table, "to_json") and hasattr(table, "columns"):
        text = table.to_json(orient="records", lines=True, force_ascii=False, date_format="iso")
        return _of_bytes(f"{split}.jsonl", text.encode())
    if isinstance(table, Sequence) and all(isinstance(row, Mapping) for row in table):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in table)
        return _of_bytes(f"{split}.jsonl", lines.encode())
    raise NotUploadable(
        f"{split} is a {type(table).__name__}: give a path, a list of dicts, a pandas DataFrame or a "
        "datasets.Dataset."
    )


def _is_by_split(table: Table) -> bool:
    """Whether it is a ``DatasetDict`` or a dict of tables."""
    return isinstance(table, Mapping) and all(isinstance(name, str) for name in table)


def _splits_of_mapping(tables: Mapping[str, Table]) -> dict[str, Content]:
    return {(split := _split_named(name)): content_of(table, split) for name, table in tables.items()}


def _splits_of_folder(folder: Path) -> dict[str, Content]:
    """Files that are named after splits; or all of it, as ``datasets.save_to_disk`` writes it."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    names = [path.name.partition(".")[0] for path in files]
    known = {name: path for name, path in zip(names, files, strict=True) if name in {*SPLITS, *_OTHER_NAMES}}
    if "train" in known:
        return {_split_named(name): Content.of_file(path) for name, path in known.items()}
    everything = {
        path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()
    }
    if not everything:
        raise NotUploadable(f"{folder} is empty.")
    return {"train": Content.of_folder(folder.name, everything)}


def _split_named(name: str) -> str:
    split = _OTHER_NAMES.get(name, name)
    if split not in SPLITS:
        raise NotUploadable(f"{name!r} is no split: use {', '.join(SPLITS)}.")
    return split


def _of_bytes(filename: str, content: bytes) -> Content:
    return Content(filename, len(content), _opener(content))


def _opener(content: bytes) -> Callable[[], BytesIO]:
    return lambda: BytesIO(content)
