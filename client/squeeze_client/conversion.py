"""Old checkpoints as safetensors, made on this machine: the service reads no pickles."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from squeeze_client.archives import model_files
from squeeze_client.errors import MissingExtra, NotUploadable

_INDEX = "pytorch_model.bin.index.json"
_SINGLE = "pytorch_model.bin"


@contextmanager
def prepared(folder: Path) -> Iterator[dict[str, Path]]:
    """The files of a model's folder as the service takes them, by name; converted where that is needed.

    Raises:
        NotUploadable: it is no folder of a model, or its weights cannot be read without running code.
        MissingExtra: it has to be converted, and the packages for that are not installed.
    """
    files = model_files(folder)
    if not any(name.endswith("config.json") for name in files):
        raise NotUploadable(f"{folder} has no config.json: give the folder that save_pretrained() wrote.")
    old = _old_weights(folder)
    if old is None or any(name.endswith(".safetensors") for name in files):
        yield files
        return
    with TemporaryDirectory(prefix="squeeze-") as temporary:
        weights = Path(temporary) / "model.safetensors"
        _convert(old, weights)
        place = old[0].parent.relative_to(folder) / weights.name
        yield {**files, place.as_posix(): weights}


@contextmanager
def saved(model: Any, tokenizer: Any) -> Iterator[dict[str, Path]]:
    """The files of a live ``transformers`` (or ``sentence_transformers``) model and its tokenizer.

    Raises:
        NotUploadable: it is neither, or the tokenizer is missing.
    """
    with TemporaryDirectory(prefix="squeeze-") as temporary:
        folder = Path(temporary)
        if hasattr(model, "save_pretrained"):
            model.save_pretrained(folder)
        else:
            raise NotUploadable(
                f"A {type(model).__name__} cannot be sent: give a folder, an archive or a transformers model."
            )
        if tokenizer is not None:
            tokenizer.save_pretrained(folder)
        elif not any(folder.rglob("tokenizer*")) and not any(folder.rglob("*.model")):
            raise NotUploadable("The model's tokenizer is missing: pass tokenizer=.")
        yield model_files(folder)


def _old_weights(folder: Path) -> list[Path] | None:
    """The files of ``pytorch_model.bin``, or of its shards."""
    for index in sorted(folder.rglob(_INDEX)):
        names = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        shards = [index.parent / name for name in sorted(set(names))]
        if missing := [shard.name for shard in shards if not shard.is_file()]:
            raise NotUploadable(f"{index}: {', '.join(missing)} is missing.")
        if outside := [shard for shard in shards if folder.resolve() not in shard.resolve().parents]:
            raise NotUploadable(f"{index} names {outside[0]}, which is outside of the folder.")
        return shards
    singles = sorted(folder.rglob(_SINGLE))
    return singles[:1] or None


def _convert(sources: list[Path], target: Path) -> None:
    if any(find_spec(name) is None for name in ("torch", "safetensors")):
        raise MissingExtra(
            f"{sources[0].name} has to be converted to safetensors, which needs torch and safetensors: "
            "pip install 'squeeze-client[convert]'"
        )
    from pickle import UnpicklingError

    import torch
    from safetensors.torch import save_file

    tensors: dict[str, torch.Tensor] = {}
    for source in sources:
        try:
            part = torch.load(source, map_location="cpu", weights_only=True)
        except (UnpicklingError, RuntimeError, EOFError) as error:
            raise NotUploadable(
                f"{source} holds more than weights, or is damaged, and is not loaded: {error}. Save the "
                "model again with save_pretrained()."
            ) from None
        if not isinstance(part, Mapping):
            raise NotUploadable(f"{source} holds a {type(part).__name__} instead of weights by name.")
        for name, tensor in part.items():
            if isinstance(tensor, torch.Tensor):
                # Tied weights share their memory, which safetensors does not take.
                tensors[name] = tensor.detach().clone(memory_format=torch.contiguous_format)
    save_file(tensors, target, metadata={"format": "pt"})
