"""Data sets as an archive: folders of ``datasets.save_to_disk``, and folders with a table a split."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, Final, get_args

from app.domain.documents.manifest import Split
from app.domain.errors import InvalidRequest
from app.intake.datasets.arrow_values import labels_of_features
from app.intake.datasets.cells import listed
from app.intake.datasets.given import FORMATS, Member, Table, ending_of, is_archive
from app.intake.datasets.split_names import SPLIT_NAMES
from app.intake.models.archives import unpack

_SPLITS: Final = "dataset_dict.json"
_STATE: Final = "state.json"
_INFO: Final = "dataset_info.json"
_DESCRIPTIONS: Final = (_SPLITS, _STATE, _INFO)
_MAX_DESCRIPTION_BYTES: Final = 4 * 2**20


def unpacked(
    tables: Mapping[Split, Table], stack: ExitStack, *, max_bytes: int
) -> dict[Split, list[Table] | list[Member]]:
    """The files of each split, archives unpacked. An archive given for train may hold the other splits, too.

    Args:
        tables: as they were sent.
        stack: removes what was unpacked.
        max_bytes: that each archive may unpack to.

    Raises:
        InvalidRequest: an archive cannot be read, or does not tell which of its files are those of a split.
        TooLarge: it unpacks to more than allowed.
    """
    found: dict[Split, list[Table] | list[Member]] = {}
    folders: dict[BinaryIO, _Folder] = {}
    for split, table in tables.items():
        if not is_archive(table.filename):
            found[split] = [table]
            continue
        if table.file not in folders:
            folders[table.file] = _Folder.of(table, split, stack, max_bytes)
        found[split] = folders[table.file].tables(split)
    if "train" in tables and (folder := folders.get(tables["train"].file)):
        for split in get_args(Split):
            if split not in found and (others := folder.of_other(split)):
                found[split] = others
    return found


class _Folder:
    """What came out of an archive."""

    def __init__(self, root: Path, archive: str, split: Split) -> None:
        self._root = root
        self._archive = archive
        self._split = split
        self._files = sorted(path for path in root.rglob("*") if path.is_file())

    @classmethod
    def of(cls, table: Table, split: Split, stack: ExitStack, max_bytes: int) -> "_Folder":
        root = Path(stack.enter_context(TemporaryDirectory(prefix="squeeze-intake-")))
        try:
            unpack(table.file, root, keeps=_is_kept, max_bytes=max_bytes)
        except InvalidRequest as error:
            raise InvalidRequest(
                "unknown_format" if error.code == "invalid_archive" else error.code,
                f"{split}: {error.message.replace('model folder', 'folder')}",
                pointer=f"#/{split}",
                **error.details,
            ) from None
        return cls(root, table.filename, split)

    def tables(self, split: Split) -> list[Member]:
        """The files of a split that has to be there."""
        if tables := self._saved(split) or self._named(split):
            return tables
        candidates = self._tables()
        if len(candidates) == 1:
            return self._opened(candidates)
        names = self._splits() or list(map(self._name, candidates))
        what = f"is in none of {listed(names)}" if names else "is not in it"
        raise InvalidRequest(
            "unknown_format",
            f"{split}: {self._archive[:100]!r} holds no table for this split: its name {what}. Call a file "
            f"or folder {' or '.join(SPLIT_NAMES[split][:2])}, or send the tables one by one.",
            pointer=f"#/{split}",
        )

    def of_other(self, split: Split) -> list[Member]:
        """The files of a split that nobody asked for; none where it is not there."""
        return self._saved(split, alone=False) or self._named(split)

    def _saved(self, split: Split, *, alone: bool = True) -> list[Member]:
        """Shards of a data set that was saved to disk."""
        if self._listings():
            chosen = [name for name in self._splits() if name.lower() in SPLIT_NAMES[split]]
            return self._shards(self._listings()[0].parent / chosen[0]) if len(chosen) == 1 else []
        states = [path for path in self._files if path.name == _STATE]
        return self._shards(states[0].parent) if alone and len(states) == 1 else []

    def _listings(self) -> list[Path]:
        """Files that list the splits of a saved data set, of which there may be one."""
        found = [path for path in self._files if path.name == _SPLITS]
        self._require_one({path.parent for path in found}, "data sets")
        return found

    def _splits(self) -> list[str]:
        """Those of a saved data set."""
        return [str(name) for path in self._listings() for name in _items(_parsed(path).get("splits"))]

    def _require_one(self, found: Collection[Path], what: str) -> None:
        if len(found) > 1:
            raise InvalidRequest(
                "unknown_format",
                f"{self._split}: {self._archive[:100]!r} has {what} for one split in several places: "
                f"{listed(sorted(map(self._name, found)))}. Send one of them.",
                pointer=f"#/{self._split}",
            )

    def _shards(self, folder: Path) -> list[Member]:
        if folder / _STATE not in self._files:
            return []
        shards = _parsed(folder / _STATE).get("_data_files")
        named = [shard.get("filename") for shard in _items(shards) if isinstance(shard, dict)]
        known = set(self._files)
        paths = [path for name in named if (path := folder / str(name)) in known]
        features = _parsed(folder / _INFO).get("features")
        labels = labels_of_features(features) if isinstance(features, dict) else {}
        return self._opened(paths, labels)

    def _named(self, split: Split) -> list[Member]:
        """Tables whose name, or whose folder's, is that of a split."""
        found = [path for path in self._tables() if _words(path.stem) & set(SPLIT_NAMES[split])]
        if not found:
            found = [path for path in self._tables() if path.parent.name.lower() in SPLIT_NAMES[split]]
        self._require_one({path.parent for path in found}, "tables")
        return self._opened(found)

    def _tables(self) -> list[Path]:
        return [path for path in self._files if path.name not in _DESCRIPTIONS]

    def _opened(self, paths: Sequence[Path], labels: Mapping[str, list[str]] | None = None) -> list[Member]:
        if len({ending_of(path.name) for path in paths}) > 1:
            raise InvalidRequest(
                "unknown_format",
                f"{self._split}: {self._archive[:100]!r} has tables of several formats for a split: "
                f"{listed(map(self._name, paths))}. Send one of them.",
                pointer=f"#/{self._split}",
            )
        return [Member(path, self._name(path), labels or {}) for path in paths]

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self._root))


def _is_kept(name: str) -> bool:
    stem = name.lower().removesuffix(".gz")
    return not name.startswith((".", "_")) and (stem.endswith(tuple(FORMATS)) or name in _DESCRIPTIONS)


def _words(stem: str) -> set[str]:
    return set(re.split(r"[^a-z]+", stem.lower()))


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _parsed(path: Path) -> dict[str, Any]:
    """A description; empty where it is missing or none."""
    try:
        if path.stat().st_size > _MAX_DESCRIPTION_BYTES:
            return {}
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
