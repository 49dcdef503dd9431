"""A folder of sentence-transformers: how its modules make one vector of the states of a text's tokens."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast, get_args

from app.domain.architectures.tensors import Shapes, parameters
from app.domain.errors import InvalidRequest
from app.domain.pooling import ACTIVATIONS, MODE_KEYS, Pooling, PoolingMode, VectorActivation
from app.intake.models.json_files import read_json, read_object
from app.intake.models.model_files import LENGTH_CONFIGS, MODULES, PROMPTS, WEIGHTS
from app.intake.models.stored_weights import StoredWeights, pickled_weights

_ORDER: Final = ("Pooling", "Dense", "Normalize")
"""Of the modules after the network."""
_WITHOUT_EFFECT: Final = "Dropout"
_ADVICE: Final = (
    "Supported are a transformer, Pooling of one mode, one Dense and Normalize, in this order. Upload the "
    "transformer's folder by itself to use its encoder."
)


@dataclass(frozen=True)
class SentenceModules:
    """What follows a network, and how it is given texts."""

    pooling: Pooling
    projection: Path | None
    """The Dense module's weights."""
    parameters: int
    """Of the Dense module."""
    max_length: int | None
    """Tokens at which texts are cut, where the folder says it."""
    lowercases: bool
    """Whether texts are lower-cased before they are tokenised."""


def read_modules(folder: Path, network: Path, *, width: int) -> SentenceModules | None:
    """What the modules of a folder say; None where they make no vectors of texts.

    Args:
        folder: with ``modules.json``.
        network: the folder of its first module.
        width: of the network's states.

    Raises:
        InvalidRequest: one of them is not supported, or does not fit.
    """
    kinds = _kinds(read_json(folder / MODULES))
    modules = [(kind, path) for kind, path in kinds[1:] if kind != _WITHOUT_EFFECT]
    if not any(kind == "Pooling" for kind, _ in modules):
        return None
    names = [kind for kind, _ in modules]
    if unknown := [kind for kind in names if kind not in _ORDER]:
        raise _unsupported(f"has the module {unknown[0][:80]!r}")
    if names != [kind for kind in _ORDER if kind in names]:
        raise _unsupported(f"has the modules {', '.join(names)[:200]}")
    places = {kind: folder / path for kind, path in modules}
    _require_no_prompt(folder)
    mode = _mode(_config(places["Pooling"], "Pooling"), width)
    dense = places.get("Dense")
    projection, activation = (None, "identity") if dense is None else _dense(dense, width)
    length, lowercases = _text_settings(network)
    return SentenceModules(
        pooling=Pooling(
            mode=mode, projection=projection, activation=activation, normalize="Normalize" in places
        ),
        projection=None if dense is None else dense / WEIGHTS,
        parameters=0 if dense is None else parameters(StoredWeights(dense / WEIGHTS).shapes),
        max_length=length,
        lowercases=lowercases,
    )


def _kinds(listed: Any) -> list[tuple[str, str]]:
    """The class of each module, and its folder."""
    if not isinstance(listed, list) or not all(isinstance(module, dict) for module in listed):
        raise _unsupported("is no list of modules")
    found = []
    for module in listed:
        kind, path = str(module.get("type")), str(module.get("path", ""))
        if ".." in path or path.startswith("/"):
            raise _unsupported(f"has the path {path[:80]!r}")
        is_known = kind.startswith("sentence_transformers.")
        found.append((kind.rpartition(".")[2] if is_known else kind, path))
    return found


def _config(folder: Path, kind: str) -> dict[str, Any]:
    if not (folder / "config.json").is_file():
        raise _unsupported(f"has the module {kind}, but {folder.name}/config.json is missing")
    return read_object(folder, "config.json")


def _mode(config: dict[str, Any], width: int) -> PoolingMode:
    """The one mode, by today's key or by those of old."""
    given = config.get("embedding_dimension", config.get("word_embedding_dimension"))
    if given not in {None, width}:
        raise _unsupported(f"pools states of width {given!r}, but the network's have {width}")
    named: Any = config.get("pooling_mode")
    if named is None:
        named = [mode for mode, key in MODE_KEYS.items() if config.get(key) is True] or "mean"
    modes = named if isinstance(named, list) else [named]
    if len(modes) != 1 or modes[0] not in get_args(PoolingMode):
        listed = ", ".join(map(str, modes))[:100]
        raise _unsupported(f"pools by {listed}; supported is one of {', '.join(get_args(PoolingMode))}")
    return cast("PoolingMode", modes[0])


def _dense(folder: Path, width: int) -> tuple[int, VectorActivation]:
    """Its outputs, and what they go through."""
    config = _config(folder, "Dense")
    if config.get("use_residual"):
        raise _unsupported("has a Dense module with use_residual")
    for key in ("module_input_name", "module_output_name"):
        if config.get(key) not in {None, "sentence_embedding"}:
            raise _unsupported(f"has a Dense module with {key} {str(config[key])[:80]!r}")
    named = config.get("activation_function", ACTIVATIONS["tanh"])
    activation = next((name for name, path in ACTIVATIONS.items() if path == named), None)
    if activation is None:
        raise _unsupported(f"has a Dense module with the activation {str(named)[:80]!r}")
    if not (folder / WEIGHTS).is_file():
        raise pickled_weights(f"{folder.name}/pytorch_model.bin")
    return _outputs(folder / WEIGHTS, width), activation


def _outputs(path: Path, width: int) -> int:
    stored = StoredWeights(path)
    shapes: Shapes = stored.shapes
    weight = shapes.get("linear.weight", ())
    allowed: Shapes = {"linear.weight": weight, "linear.bias": weight[:1]}
    if weight[1:] != (width,) or shapes != {name: allowed[name] for name in shapes if name in allowed}:
        raise _unsupported(f"has a Dense module whose weights are {shapes}, where it reads {width} numbers")
    stored.require_finite()
    return weight[0]


def _text_settings(network: Path) -> tuple[int | None, bool]:
    """Of the network's own file: the length, and whether texts are lower-cased."""
    for name in LENGTH_CONFIGS:
        if (network / name).is_file():
            config = read_object(network, name)
            length = config.get("max_seq_length")
            return length if type(length) is int and length > 0 else None, config.get("do_lower_case") is True
    return None, False


def _require_no_prompt(folder: Path) -> None:
    config = read_object(folder, PROMPTS, required=False)
    name, prompts = config.get("default_prompt_name"), config.get("prompts")
    prompt = prompts.get(name) if isinstance(prompts, dict) and isinstance(name, str) else None
    if prompt:
        raise InvalidRequest(
            "unsupported_modules",
            f"{PROMPTS} has default_prompt_name {name!r}: the prompt {str(prompt)[:80]!r} would stand before "
            "every text. Set it to null, and write the prompt into the texts of data sets and requests.",
            pointer="#/file",
        )


def _unsupported(what: str) -> InvalidRequest:
    return InvalidRequest("unsupported_modules", f"{MODULES} {what}. {_ADVICE}", pointer="#/file")
