from torch import Tensor

class SequenceClassifierOutput:
    def __init__(self, *, logits: Tensor, hidden_states: tuple[Tensor, ...] | None = ...) -> None: ...

class TokenClassifierOutput:
    def __init__(self, *, logits: Tensor, hidden_states: tuple[Tensor, ...] | None = ...) -> None: ...
