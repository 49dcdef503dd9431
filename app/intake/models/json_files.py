"""Reading the small JSON files of a model folder."""

import json
from pathlib import Path
from typing import Any

from app.domain.errors import InvalidRequest, TooLarge

_MAX_JSON_BYTES = 2**20


def read_object(folder: Path, name: str, *, required: bool = True) -> dict[str, Any]:
    """The object in a file; empty where there is none and need not be one.

    Raises:
        InvalidRequest: the file is missing, or holds no JSON object.
        TooLarge: it is longer than any model's.
    """
    path = folder / name
    if not path.is_file():
        if not required:
            return {}
        raise InvalidRequest(
            "missing_config",
            f"The folder has no {name}. Upload the whole folder that save_pretrained() wrote: config.json, "
            "model.safetensors and tokenizer.json.",
        )
    value = read_json(path)
    if not isinstance(value, dict):
        raise InvalidRequest("invalid_config", f"{name} is not a JSON object. Upload the original file.")
    return value


def read_json(path: Path) -> Any:
    """What a file says.

    Raises:
        InvalidRequest: it is no JSON.
        TooLarge: it is longer than any model's.
    """
    require_short(path, _MAX_JSON_BYTES)
    try:
        return json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(
            "invalid_config", f"{path.name} is not valid JSON ({error}). Upload the original file."
        ) from None


def require_short(path: Path, limit: int) -> None:
    """Raise where there is a file longer than any model has."""
    if path.is_file() and path.stat().st_size > limit:
        raise TooLarge(
            "file_too_large",
            f"{path.name} exceeds the limit of {limit:,} bytes. Upload the tokenizer saved with the model.",
        )
