"""What reads a model in a process with limits: archive or folder in, checked files and a manifest out."""

from pathlib import Path
from typing import Any, BinaryIO

from app.intake.models.archives import NOTHING, LeftOut, unpack
from app.intake.models.folder import prepare
from app.intake.models.model_files import is_model_file

MADE, UNPACKED = "made", "unpacked"
"""In the process's folder: what is to be stored, and what an archive held or a hub sent."""


def read_archive(argument: dict[str, Any], archive: BinaryIO) -> Any:
    folder = Path(argument["folder"])
    (folder / UNPACKED).mkdir()
    max_bytes = argument["max_bytes"]
    left_out = unpack(archive, folder / UNPACKED, keeps=is_model_file, max_bytes=max_bytes)
    return _prepared(folder, left_out, argument["labels"])


def read_folder(argument: dict[str, Any]) -> Any:
    return _prepared(Path(argument["folder"]), NOTHING, argument["labels"])


def _prepared(folder: Path, left_out: LeftOut, labels: list[str] | None) -> Any:
    (folder / MADE).mkdir()
    manifest = prepare(folder / UNPACKED, folder / MADE, left_out=left_out, labels=labels)
    return manifest.model_dump(mode="json")
