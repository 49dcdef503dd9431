"""What planner and worker know of one network: its family, its shape and the sizes of its tables."""

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import Field

from app.domain.architectures.config import EncoderConfig, FamilyConfig
from app.domain.architectures.encoder_decoder_network import EncoderDecoderArchitecture
from app.domain.architectures.encoder_network import EncoderArchitecture
from app.domain.architectures.registry import ENCODER_DECODERS, FAMILIES, STATICS, TFIDFS
from app.domain.architectures.student_networks import (
    BiLstmArchitecture,
    StaticArchitecture,
    TfidfArchitecture,
)

if TYPE_CHECKING:
    FamilyName: TypeAlias = str
else:  # a type checker cannot know what the registry finds
    FamilyName = Literal[tuple(FAMILIES)]


Architecture: TypeAlias = Annotated[
    EncoderArchitecture
    | EncoderDecoderArchitecture
    | BiLstmArchitecture
    | TfidfArchitecture
    | StaticArchitecture,
    Field(discriminator="family"),
]


def encoder_of(architecture: Architecture) -> EncoderArchitecture:
    """The architecture itself, for what is done to encoders alone: planning has refused all others.

    Raises:
        TypeError: it is of another kind.
    """
    if not isinstance(architecture, EncoderArchitecture):
        raise TypeError(f"{architecture.family} is no encoder")
    return architecture


def architecture_of(config: FamilyConfig) -> Architecture:
    """The network of a config.

    Raises:
        ValueError: its sizes do not go together, or are out of bounds.
    """
    if isinstance(config, EncoderConfig):
        return EncoderArchitecture.of_config(config)
    if config.model_type in ENCODER_DECODERS:
        return EncoderDecoderArchitecture.of_config(config)
    if config.model_type in TFIDFS:
        return TfidfArchitecture.of_config(config)
    if config.model_type in STATICS:
        return StaticArchitecture.of_config(config)
    return BiLstmArchitecture.of_config(config)
