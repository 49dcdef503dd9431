"""How an encoder's states become the vector of a text, as sentence-transformers says it."""

from collections.abc import Iterable
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

PoolingMode = Literal["mean", "cls", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]

VectorActivation = Literal["identity", "tanh"]
"""What a projection's outputs go through."""


class Pooling(BaseModel):
    """From the states of a text's tokens to its vector."""

    model_config = ConfigDict(frozen=True)

    mode: PoolingMode = Field(
        default="mean",
        description="mean, cls (the first token), max, lasttoken, mean_sqrt_len_tokens (the sum over the "
        "root of the number of tokens) or weightedmean (by position).",
    )
    projection: int | None = Field(
        default=None,
        ge=1,
        le=16384,
        description="Dimensions that a Dense module leads to; null: it has none.",
    )
    activation: VectorActivation = Field(default="identity", description="That of the Dense module.")
    normalize: bool = Field(default=False, description="Whether vectors are brought to length 1.")


MEAN: Final = Pooling()
"""Of an encoder whose folder says nothing of vectors."""

MODULES: Final = "modules.json"
"""Of sentence-transformers: which module of a model lies where, in the order in which they run."""
POOLING_FOLDER: Final = "1_Pooling"
DENSE_FOLDER: Final = "2_Dense"
NORMALIZE_FOLDER: Final = "3_Normalize"
PROJECTION_WEIGHTS: Final = f"{DENSE_FOLDER}/model.safetensors"
"""Where a stored model has its projection."""
LENGTH_CONFIG: Final = "sentence_bert_config.json"

MODE_KEYS: Final[dict[PoolingMode, str]] = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
"""As all versions of sentence-transformers read them; the newest one also says ``pooling_mode``."""

ACTIVATIONS: Final[dict[VectorActivation, str]] = {
    "identity": "torch.nn.modules.linear.Identity",
    "tanh": "torch.nn.modules.activation.Tanh",
}


def module_files(pooling: Pooling, *, width: int, network: str = "Transformer") -> dict[str, Any]:
    """What a folder of sentence-transformers says of a model, as JSON by file; weights are not among it.

    Args:
        pooling: with its projection, if there is one.
        width: of the states.
        network: name of the module that gives the states.
    """
    kinds = [("", network), (POOLING_FOLDER, "Pooling")]
    modes = {key: mode == pooling.mode for mode, key in MODE_KEYS.items()}
    files: dict[str, Any] = {f"{POOLING_FOLDER}/config.json": {"word_embedding_dimension": width, **modes}}
    if pooling.projection is not None:
        kinds.append((DENSE_FOLDER, "Dense"))
        files[f"{DENSE_FOLDER}/config.json"] = {
            "in_features": width,
            "out_features": pooling.projection,
            "bias": True,
            "activation_function": ACTIVATIONS[pooling.activation],
        }
    if pooling.normalize:
        kinds.append((NORMALIZE_FOLDER, "Normalize"))
    return {MODULES: module_list(kinds), **files}


def module_list(kinds: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """``modules.json`` of modules by folder and kind."""
    return [
        {"idx": place, "name": str(place), "path": folder, "type": f"sentence_transformers.models.{kind}"}
        for place, (folder, kind) in enumerate(kinds)
    ]
