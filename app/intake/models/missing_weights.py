"""Folders without the weights that are read: what lies there instead, and what to do about it."""

import fnmatch
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from app.domain.errors import InvalidRequest
from app.intake.models.archives import LeftOut
from app.intake.models.model_files import INDEX, WEIGHTS, is_shard
from app.intake.models.shards import merge_shards
from app.intake.models.stored_weights import pickled_weights

_PICKLES_OF_TRAINING = {
    *("training_args.bin", "optimizer.pt", "optimizer.bin", "scheduler.pt", "scheduler.bin", "scaler.pt"),
    *("rng_state.pth", "trainer_state.bin"),
}
"""Which lie beside a model and hold none of it."""

_POINTER: Final = b"version https://git-lfs.github.com/spec/"
_AS_SCORES: Final = (
    "Upload the model that it was made from, or send what it says of the data as a column teacher_scores."
)
_CONVERT: Final = "Convert them with transformers 4: from_pretrained(folder, {}=True).save_pretrained(other)."
_ADAPTERS: Final = {
    "adapter_*": "is of an adapter of PEFT, without the model that it adapts. Merge them, "
    "model.merge_and_unload().save_pretrained(folder), and upload that folder with its tokenizer.",
}
_OTHERS: Final = {
    "*.h5": f"holds weights of TensorFlow. {_CONVERT.format('from_tf')}",
    "*.msgpack": f"holds weights of Flax. {_CONVERT.format('from_flax')}",
    "*.safetensors": "is no name of a model's weights. If it holds all of them, call it model.safetensors.",
    "pytorch_model*.bin": "is not read. Save the model as safetensors: model.save_pretrained(folder, "
    "safe_serialization=True).",
    "*.onnx": f"cannot be trained further. {_AS_SCORES}",
    "*.gguf": f"holds quantised weights of llama.cpp. {_AS_SCORES}",
}
"""What to say of files that are not read, by their names; the most telling first."""


def require_contents(upload: Path) -> None:
    """Raise where a file is only the pointer that Git LFS leaves in its place."""
    for path in sorted(upload.rglob("*")):
        if not path.is_file():
            continue
        with path.open("rb") as file:
            if file.read(len(_POINTER)) == _POINTER:
                raise InvalidRequest(
                    "pointer_file",
                    f"{path.name} is a pointer of Git LFS, not the file itself. Run 'git lfs pull' in the "
                    "repository, or download it with 'hf download', and upload it again.",
                    file=path.name,
                )


def require_weights(folder: Path, left_out: LeftOut) -> None:
    """Have the weights of a folder in one file.

    Raises:
        InvalidRequest: there are none; the message says what to do with what there is.
    """
    if (folder / WEIGHTS).is_file():
        return
    if (folder / INDEX).is_file():
        merge_shards(folder)
        return
    shards = sorted(path.name for path in folder.iterdir() if is_shard(path.name))
    if shards:
        raise InvalidRequest(
            "sharded_weights",
            f"The folder has {shards[0]}, but no {INDEX}. Upload all shards with their index, or save the "
            "weights as one file: model.save_pretrained(folder, max_shard_size='100GB').",
        )
    refuse_other_weights(left_out)
    raise InvalidRequest(
        "missing_weights",
        "The folder has no model.safetensors. Save the model with "
        "model.save_pretrained(folder) and upload that folder.",
    )


def refuse_other_weights(left_out: LeftOut) -> None:
    """Raise where an upload without a model's weights has other ones."""
    of_models = [name for name in left_out.pickles if _base(name) not in _PICKLES_OF_TRAINING]
    names = [_base(name) for name in (*left_out.others, *of_models)]
    _refuse_first(names, _ADAPTERS)
    if of_models:
        raise pickled_weights(min(of_models, key=lambda name: "pytorch_model" not in name))
    _refuse_first(names, _OTHERS)


def _refuse_first(names: Sequence[str], advice: Mapping[str, str]) -> None:
    for pattern, what in advice.items():
        if found := fnmatch.filter(names, pattern):
            raise InvalidRequest(
                "missing_weights",
                f"The upload has no {WEIGHTS}, and {found[0][:100]} {what}",
                file=found[0][:100],
            )


def _base(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).name
