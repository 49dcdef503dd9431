"""What reads a model in a process with limits: archive or folder in, checked files and a manifest out."""

from pathlib import Path
from typing import Any, BinaryIO

from app.intake.models.archives import Unpacked, unpack
from app.intake.models.folder import MODEL_FILES, prepare

MADE, UNPACKED = "made", "unpacked"
"""In the process's folder: what is to be stored, and what an archive held or a hub sent."""


def read_archive(argument: dict[str, Any], archive: BinaryIO) -> Any:
    folder = Path(argument["folder"])
    (folder / UNPACKED).mkdir()
    unpacked = unpack(archive, folder / UNPACKED, names=MODEL_FILES, max_bytes=argument["max_bytes"])
    return _prepared(unpacked, folder)


def read_folder(argument: dict[str, Any]) -> Any:
    folder = Path(argument["folder"])
    return _prepared(Unpacked(folder / UNPACKED), folder)


def _prepared(unpacked: Unpacked, folder: Path) -> Any:
    (folder / MADE).mkdir()
    manifest = prepare(unpacked.folder, folder / MADE, pickles=unpacked.pickles)
    return manifest.model_dump(mode="json")
