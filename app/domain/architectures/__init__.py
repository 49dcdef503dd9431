"""Architectures: one record for each family, and what is derived of it. No framework.

A family is a module that has a ``FAMILY``; adding one needs no edit elsewhere.
"""

from typing import Final

from app.domain.architectures.architecture import Architecture, FamilyName, architecture_of, encoder_of
from app.domain.architectures.config import LayerUse
from app.domain.architectures.count import ParameterCount
from app.domain.architectures.encoder_decoder_network import EncoderDecoderArchitecture
from app.domain.architectures.encoder_network import EncoderArchitecture, EncoderFamilyName
from app.domain.architectures.family import (
    BiLstmFamily,
    EncoderDecoderFamily,
    EncoderFamily,
    EncoderTrait,
    Family,
    StaticFamily,
    TfidfFamily,
)
from app.domain.architectures.heads import HEAD_KINDS, head_kind
from app.domain.architectures.registry import BILSTMS, ENCODER_DECODERS, ENCODERS, FAMILIES, STATICS, TFIDFS
from app.domain.architectures.shape import (
    MAX_BILSTM_EMBEDDING,
    AnyShape,
    BiLstmShape,
    EncoderDecoderShape,
    EncoderShape,
    StaticShape,
    TfidfShape,
)
from app.domain.architectures.student_networks import (
    BiLstmArchitecture,
    StaticArchitecture,
    TfidfArchitecture,
)
from app.domain.tasks.record import HeadKind

__all__ = [
    "BILSTMS",
    "BYTES_PER_PARAMETER",
    "ENCODERS",
    "ENCODER_DECODERS",
    "FAMILIES",
    "HEAD_KINDS",
    "MAX_BILSTM_EMBEDDING",
    "MAX_ONNX_BYTES",
    "STATICS",
    "TFIDFS",
    "AnyShape",
    "Architecture",
    "BiLstmArchitecture",
    "BiLstmFamily",
    "BiLstmShape",
    "EncoderArchitecture",
    "EncoderDecoderArchitecture",
    "EncoderDecoderFamily",
    "EncoderDecoderShape",
    "EncoderFamily",
    "EncoderFamilyName",
    "EncoderShape",
    "EncoderTrait",
    "Family",
    "FamilyName",
    "HeadKind",
    "LayerUse",
    "ParameterCount",
    "StaticArchitecture",
    "StaticFamily",
    "StaticShape",
    "TfidfArchitecture",
    "TfidfFamily",
    "TfidfShape",
    "architecture_of",
    "encoder_of",
    "head_kind",
]

BYTES_PER_PARAMETER = {"fp32": 4, "int8": 1}

MAX_ONNX_BYTES: Final = 2**31 - 2**20
"""Of the fp32 weights in one file: protobuf ends at 2 GiB; the graph beside them takes well below 1 MiB."""
