"""The number of parameters of a network."""

from pydantic import BaseModel


class ParameterCount(BaseModel):
    """Number of parameters in each part of a network."""

    embeddings: int
    encoder: int
    decoder: int = 0
    head: int

    @property
    def total(self) -> int:
        return self.embeddings + self.encoder + self.decoder + self.head

    @property
    def body(self) -> int:
        """What computes, as against what is looked up."""
        return self.encoder + self.decoder
