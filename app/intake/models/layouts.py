"""Where in an upload the model lies: at its top, in a folder, or where sentence-transformers puts it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.domain.errors import InvalidRequest
from app.intake.models.archives import LeftOut
from app.intake.models.json_files import read_json
from app.intake.models.missing_weights import refuse_other_weights
from app.intake.models.model_files import CONFIG, INDEX, MODULES, OLD_CONFIG, WEIGHTS
from app.intake.models.static_tables import static_table
from app.intake.models.tokenizer import VOCABULARY_FILES

_CHECKPOINT = re.compile(r"checkpoint-\d+")
_SHOWN = 5


@dataclass
class Layout:
    """The folders of a model."""

    folder: Path
    """With its config and its weights."""
    tokenizer: Path
    """With its tokenizer."""
    modules: Path | None = None
    """With ``modules.json`` of sentence-transformers, where the model is one of its."""
    notes: list[str] = field(default_factory=list)
    """What was assumed, a sentence each."""

    @property
    def config(self) -> str:
        """The config's name."""
        return CONFIG if (self.folder / CONFIG).is_file() else OLD_CONFIG


def find_model(top: Path, left_out: LeftOut) -> Layout:
    """The one model in an unpacked upload; ``left_out`` are its files that are not in the folder.

    Raises:
        InvalidRequest: there is none, or there are several.
    """
    places = sorted({path.parent for name in (CONFIG, OLD_CONFIG) for path in top.rglob(name)}, key=_depth)
    with_weights = [place for place in places if _has_weights(place)]
    for modules in sorted((path.parent for path in top.rglob(MODULES)), key=_depth):
        if not with_weights or _depth(modules) <= _depth(with_weights[0]):
            return _first_module(modules, top)
    found = _shallowest(with_weights or places)
    if not found:
        refuse_other_weights(left_out)
    if len(found) != 1:
        raise _not_one(found, top)
    return _layout(found[0], top)


def _first_module(folder: Path, top: Path) -> Layout:
    """The network of a model of sentence-transformers; ``read_modules`` says what follows it."""
    listed = read_json(folder / MODULES)
    first = listed[0] if isinstance(listed, list) and listed else None
    path = first.get("path") if isinstance(first, dict) else None
    if isinstance(first, dict) and str(first.get("type")).endswith("StaticEmbedding"):
        raise static_table(MODULES)
    places = [place for place in (folder, *folder.iterdir()) if place.is_dir()]
    for place in places:
        is_meant = path is not None and place.relative_to(folder) == Path(str(path))
        if is_meant and ((place / CONFIG).is_file() or (place / OLD_CONFIG).is_file()):
            layout = _layout(place, top)
            layout.modules = folder
            return layout
    raise InvalidRequest(
        "missing_config",
        f"{MODULES} says that the encoder lies in {str(path)[:100]!r}, where there is no {CONFIG}. Upload "
        "the whole folder that SentenceTransformer.save() wrote; its first module must be a transformer.",
        pointer="#/file",
    )


def _layout(folder: Path, top: Path) -> Layout:
    layout = Layout(folder, folder)
    if folder != top and _CHECKPOINT.fullmatch(folder.name):
        layout.notes.append(f"The model was read from {folder.name}.")
    above = folder.parent
    if folder != top and not _has_tokenizer(folder) and _has_tokenizer(above):
        layout.tokenizer = above
        layout.notes.append(f"The tokenizer was read from the folder above {folder.name}.")
    return layout


def _has_weights(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (WEIGHTS, INDEX))


def _has_tokenizer(folder: Path) -> bool:
    return any((folder / name).is_file() for name in VOCABULARY_FILES)


def _shallowest(places: Sequence[Path]) -> list[Path]:
    return [place for place in places if _depth(place) == _depth(places[0])]


def _depth(place: Path) -> int:
    return len(place.parts)


def _not_one(found: Sequence[Path], top: Path) -> InvalidRequest:
    names = ", ".join(sorted(str(place.relative_to(top)) for place in found)[:_SHOWN])
    which = f"{len(found)} ({names})" if found else "none"
    return InvalidRequest(
        "missing_config",
        f"The upload must contain exactly one model, with its {CONFIG}; it has {which}. Pack the whole "
        "folder that save_pretrained() wrote: config.json, model.safetensors and tokenizer.json"
        f"{', and no other model' if found else ''}.",
        pointer="#/file",
        found=len(found),
    )
