"""Configs of 2019, which do not say of which family a model is: its tensors do, and what lies beside them."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final

from app.domain.architectures import ENCODERS, EncoderFamily
from app.domain.errors import InvalidRequest
from app.intake.models.tokenizer_classes import FILES

_OF_2019: Final = ("bert", "distilbert", "roberta", "xlm-roberta", "camembert", "albert")


def family_of(
    config: Mapping[str, Any], tensors: Collection[str], folder: Path, tokenizer_class: object
) -> str | None:
    """The ``model_type`` that a config without one means; None where its weights are of no known family.

    Args:
        config: of the model.
        tensors: names of those in its weights.
        folder: with its tokenizer.
        tokenizer_class: that the folder names, or anything else.

    Raises:
        InvalidRequest: it may be of several families.
    """
    found = [ENCODERS[name] for name in _OF_2019 if _has_tensors(ENCODERS[name], tensors)]
    networks = config.get("architectures")
    network = str(networks[0]) if isinstance(networks, list) and networks else ""
    tokenizer = str(tokenizer_class).removesuffix("Fast")
    found = _narrowed(found, lambda family: network.startswith(family.class_prefix))
    found = _narrowed(found, lambda family: family.tokenizer_class == tokenizer)
    found = _narrowed(found, lambda family: _has_tokenizer(family, folder))
    if len(found) > 1:
        names = " or ".join(repr(family.name) for family in found)
        raise InvalidRequest(
            "unknown_architecture",
            f"config.json has no model_type, and the weights may be of {names}. Add the model_type to "
            "config.json.",
            known=[family.name for family in found],
        )
    return found[0].name if found else None


def _has_tensors(family: EncoderFamily, tensors: Collection[str]) -> bool:
    """Whether the weights hold the family's layers, as part of a model or by themselves."""
    layers = f"{family.stack.layers}."
    bare = layers.removeprefix(f"{family.encoder}.")
    return any(name.startswith((layers, bare)) for name in tensors)


def _narrowed(families: list[EncoderFamily], holds: Callable[[EncoderFamily], bool]) -> list[EncoderFamily]:
    """Those for which it holds; all, where it holds for none."""
    return [family for family in families if holds(family)] or families


def _has_tokenizer(family: EncoderFamily, folder: Path) -> bool:
    return all((folder / name).is_file() for name in FILES[family.tokenizer_class])
