from collections.abc import Sequence

from torch import nn
from transformers import MarianConfig

class MarianAttention(nn.Module):
    k_proj: nn.Linear
    v_proj: nn.Linear

class MarianEncoderLayer(nn.Module):
    dropout: float

class MarianDecoderLayer(nn.Module):
    dropout: float
    encoder_attn: MarianAttention

class MarianEncoder(nn.Module):
    dropout: float

class MarianDecoder(nn.Module):
    dropout: float
    layers: Sequence[MarianDecoderLayer]

    def __init__(self, config: MarianConfig) -> None: ...

class MarianModel(nn.Module):
    encoder: MarianEncoder
    decoder: MarianDecoder

class MarianSinusoidalPositionalEmbedding(nn.Embedding): ...
