"""A bidirectional LSTM over word pieces, with a head for texts or for tokens, as a transformers network.

Shapes: B rows, T tokens, E embedding, H width of each direction, P projection, C outputs.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput, TokenClassifierOutput

from app.domain.architectures import BiLstmArchitecture


class BiLstmConfig(PretrainedConfig):
    """Everything that a BiLSTM's parameters and answers depend on."""

    model_type = "bilstm"

    def __init__(
        self,
        *,
        vocab_size: int = 30_522,
        embedding_size: int = 100,
        hidden_size: int = 200,
        projection_size: int = 384,
        dropout: float = 0.2,
        pad_token_id: int = 0,
        max_position_embeddings: int = 512,
        **common: Any,
    ) -> None:
        """Describe a network.

        Args:
            vocab_size: rows of the word table.
            embedding_size: E.
            hidden_size: H.
            projection_size: P.
            dropout: of word embeddings, of LSTM states and of the projection, while training.
            pad_token_id: fills up batches.
            max_position_embeddings: the longest text in tokens that the tokenizer is to leave; the network
                itself has no limit.
            common: what every config of transformers has.
        """
        self.vocab_size = vocab_size
        self.embedding_size = embedding_size
        self.hidden_size = hidden_size
        self.projection_size = projection_size
        self.dropout = dropout
        self.max_position_embeddings = max_position_embeddings
        super().__init__(**common)
        self.pad_token_id = pad_token_id


class BiLstm(PreTrainedModel):
    """What both kinds share: ids -> embeddings -> states -> [pool] -> projection -> GELU -> logits.

    Texts of a batch are padded on the right; an answer does not depend on by how much.
    """

    config_class = BiLstmConfig
    config: BiLstmConfig
    base_model_prefix = "bilstm"

    def __init__(self, config: BiLstmConfig) -> None:
        super().__init__(config)
        self.word_embeddings = nn.Embedding(config.vocab_size, config.embedding_size)
        self.lstm = nn.LSTM(config.embedding_size, config.hidden_size, batch_first=True, bidirectional=True)
        self.projection = nn.Linear(2 * config.hidden_size, config.projection_size)
        self.classifier = nn.Linear(config.projection_size, config.num_labels)
        self.dropout = nn.Dropout(config.dropout)
        self.post_init()

    def set_dropout(self, probability: float) -> None:
        self.config.dropout = self.dropout.p = probability

    def get_input_embeddings(self) -> nn.Embedding:
        return self.word_embeddings

    def states(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """Of both directions: (B, T) and (B, T) -> (B, T, 2H), 0 where there is no token."""
        embeddings = self.dropout(self.word_embeddings(input_ids))  # (B, T, E)
        lengths = mask.sum(1)
        is_exported = torch.onnx.is_in_onnx_export()
        # One LSTM node is what ONNX Runtime runs fastest, and cuDNN packs natively.
        if is_exported or embeddings.is_cuda:
            # The node takes lengths in any order: a graph need not sort them, as PyTorch must.
            return packed_states(self.lstm, embeddings, lengths, sorts=not is_exported)
        return states_by_direction(self.lstm, embeddings, lengths) * mask.unsqueeze(-1)

    def logits(self, projected: Tensor) -> Tensor:
        """(…, P) -> (…, C)."""
        logits: Tensor = self.classifier(self.dropout(functional.gelu(projected)))
        return logits

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        match module:
            case nn.Embedding():
                nn.init.normal_(module.weight, std=0.1)
            case nn.Linear():
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
            case nn.LSTM():
                _init_lstm(module)


class BiLstmForSequenceClassification(BiLstm):
    """Answers for a text, from the largest value that each state takes in it."""

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **_: Any
    ) -> SequenceClassifierOutput:
        """Logits (B, C); ``hidden_states`` holds the projection, (B, P)."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        states = self.states(input_ids, mask)  # (B, T, 2H)
        pooled = states.masked_fill(mask.unsqueeze(-1) == 0, -1.0).amax(1)  # a state is above -1
        projected = self.projection(self.dropout(pooled))
        return SequenceClassifierOutput(logits=self.logits(projected), hidden_states=(projected,))


class BiLstmForTokenClassification(BiLstm):
    """Answers for each token."""

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **_: Any
    ) -> TokenClassifierOutput:
        """Logits (B, T, C); ``hidden_states`` holds the projections, (B, T, P)."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        projected = self.projection(self.dropout(self.states(input_ids, mask)))
        return TokenClassifierOutput(logits=self.logits(projected), hidden_states=(projected,))


def bilstm_config(architecture: BiLstmArchitecture, *, pad_id: int) -> BiLstmConfig:
    """The config of an architecture's networks."""
    return BiLstmConfig(**architecture.config_values(), pad_token_id=pad_id)


def packed_states(lstm: nn.LSTM, inputs: Tensor, lengths: Tensor, *, sorts: bool = True) -> Tensor:
    """States (B, T, 2H) of padded texts (B, T, E), by torch's own way; of no meaning where a text is padded.

    Args:
        lstm: of one bidirectional layer.
        inputs: word embeddings.
        lengths: (B,).
        sorts: whether the texts may come in any order.
    """
    packed = pack_padded_sequence(inputs, lengths.cpu(), batch_first=True, enforce_sorted=not sorts)
    states: Tensor = pad_packed_sequence(lstm(packed)[0], batch_first=True)[0]
    return states


def states_by_direction(lstm: nn.LSTM, inputs: Tensor, lengths: Tensor) -> Tensor:
    """The same as ``packed_states``, by the CPU's fused kernel: 2 to 4 times quicker.

    That kernel takes no packed texts. The second direction reads each text reversed, so that what pads it
    comes last for both.
    """
    steps = torch.arange(inputs.shape[1], device=inputs.device).unsqueeze(0)
    last = lengths.unsqueeze(1) - 1
    reversal = torch.where(steps <= last, last - steps, steps).unsqueeze(-1)  # (B, T, 1)

    def reverse(values: Tensor) -> Tensor:
        return values.gather(1, reversal.expand(-1, -1, values.shape[2]))

    def run(values: Tensor, suffix: str) -> Tensor:
        parts = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        weights = [getattr(lstm, f"{part}_l0{suffix}") for part in parts]
        start = values.new_zeros(1, len(values), lstm.hidden_size)
        output: Tensor = torch.lstm(
            values, (start, start), weights, True, 1, 0.0, lstm.training, False, True
        )[0]
        return output

    return torch.cat([run(inputs, ""), reverse(run(reverse(inputs), "_reverse"))], dim=2)


def _init_lstm(lstm: nn.LSTM) -> None:
    """Orthogonal recurrence, and gates that begin by remembering (Jozefowicz et al., 2015)."""
    for name, parameter in lstm.named_parameters():
        if name.startswith("weight_ih"):
            nn.init.xavier_uniform_(parameter)
        elif name.startswith("weight_hh"):
            nn.init.orthogonal_(parameter)
        else:
            nn.init.zeros_(parameter)
            if name.startswith("bias_ih"):
                nn.init.ones_(parameter[lstm.hidden_size : 2 * lstm.hidden_size])
