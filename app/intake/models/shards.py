"""Weights in several files, of which one is made."""

import json
import struct
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from app.domain.errors import InvalidRequest
from app.intake.models.json_files import read_object
from app.intake.models.model_files import INDEX, WEIGHTS, is_shard
from app.intake.models.stored_weights import StoredTensor, read_header

_CHUNK_BYTES = 2**20
_ALIGNMENT = 8


def merge_shards(folder: Path) -> None:
    """Make ``model.safetensors`` of the files that the index names, which are removed one by one.

    Raises:
        InvalidRequest: a file is missing or no part of a model, or two hold the same tensor.
    """
    shards = [folder / name for name in _shard_names(folder)]
    tensors = _tensors(shards)
    with (folder / WEIGHTS).open("wb") as target:
        header = _header(tensors)
        target.write(struct.pack("<Q", len(header)) + header)
        for shard, stored in groupby(tensors.values(), key=itemgetter(0)):
            with shard.open("rb") as source:
                for _, tensor in stored:
                    source.seek(tensor.begin)
                    for begin in range(tensor.begin, tensor.end, _CHUNK_BYTES):
                        target.write(source.read(min(_CHUNK_BYTES, tensor.end - begin)))
            shard.unlink()


def _shard_names(folder: Path) -> list[str]:
    named = read_object(folder, INDEX).get("weight_map")
    if not isinstance(named, dict) or not named or not all(isinstance(name, str) for name in named.values()):
        raise _damaged(f"{INDEX} has no weight_map from tensors to files")
    names = sorted(set(named.values()))
    strange = [name for name in names if not is_shard(name)]
    if strange:
        raise _damaged(f"{INDEX} names {strange[0][:80]!r}, which is not called as shards are")
    absent = [name for name in names if not (folder / name).is_file()]
    if absent:
        raise _damaged(f"{INDEX} names {', '.join(absent[:3])}, which the folder does not have")
    return names


def _tensors(shards: list[Path]) -> dict[str, tuple[Path, StoredTensor]]:
    """All tensors in the order of their files, and in each in the order of their bytes."""
    found: dict[str, tuple[Path, StoredTensor]] = {}
    for shard in shards:
        for name, tensor in sorted(read_header(shard), key=lambda item: item[1].begin):
            if name in found:
                raise _damaged(f"{found[name][0].name} and {shard.name} both hold {name[:80]}")
            found[name] = (shard, tensor)
    return found


def _header(tensors: dict[str, tuple[Path, StoredTensor]]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (_, tensor) in tensors.items():
        begin, end = end, end + tensor.end - tensor.begin
        entries[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [begin, end]}
    header = json.dumps(entries).encode()
    return header.ljust(-(-len(header) // _ALIGNMENT) * _ALIGNMENT)


def _damaged(what: str) -> InvalidRequest:
    return InvalidRequest(
        "sharded_weights",
        f"{what}. Upload all shards with their index, or save the weights as one file: "
        "model.save_pretrained(folder, max_shard_size='100GB').",
    )
