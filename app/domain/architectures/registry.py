"""Every family by its name. A module of this package that has a ``FAMILY`` is one: nothing lists them."""

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeVar

from app.domain.architectures.family import (
    BiLstmFamily,
    EncoderDecoderFamily,
    EncoderFamily,
    Family,
    StaticFamily,
    TfidfFamily,
)

_OTHER_MODULES = {
    "architecture",
    "config",
    "count",
    "encoder_decoder_network",
    "encoder_network",
    "family",
    "heads",
    "layers",
    "network",
    "registry",
    "shape",
    "student_networks",
    "tensors",
}
_F = TypeVar("_F", EncoderFamily, EncoderDecoderFamily, BiLstmFamily, TfidfFamily, StaticFamily)


def _families() -> Iterator[Family]:
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if module.name not in _OTHER_MODULES:
            yield importlib.import_module(f"{__package__}.{module.name}").FAMILY


def _of_kind(kind: type[_F]) -> dict[str, _F]:
    return {name: family for name, family in FAMILIES.items() if isinstance(family, kind)}


FAMILIES: Final[dict[str, Family]] = {family.name: family for family in _families()}
"""By ``model_type``."""
ENCODERS: Final = _of_kind(EncoderFamily)
ENCODER_DECODERS: Final = _of_kind(EncoderDecoderFamily)
BILSTMS: Final = _of_kind(BiLstmFamily)
TFIDFS: Final = _of_kind(TfidfFamily)
STATICS: Final = _of_kind(StaticFamily)
