"""From a transformers network to ONNX with dynamic batch and sequence."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from app.domain.architectures import BYTES_PER_PARAMETER, MAX_ONNX_BYTES
from app.domain.errors import JobError
from worker.networks.decoding import SourceReader, WritingStep
from worker.networks.forward import answer_logits
from worker.networks.fused import joined
from worker.networks.pooled import PooledEncoder

_OPSET = 17


def export_onnx(network: PreTrainedModel, path: Path) -> None:
    """Write an encoder with its head as fp32 ONNX, weights inline.

    Inputs are int64 (batch, sequence), see ``input_names``; the output is ``logits``, (batch, outputs), or
    (batch, sequence, outputs) of a network that answers for tokens, or ``sentence_embedding``, (batch,
    dimensions): the names that other servers read.
    The network comes back as it was given.

    Raises:
        JobError: the weights do not fit into one file.
    """
    _require_one_file(network)
    names = input_names(network)
    example = torch.ones((2, 8), dtype=torch.int64, device=network.device)
    sequences = {0: "batch", 1: "sequence"}
    with torch.no_grad():
        answers_for_tokens = answer_logits(network(input_ids=example)).ndim == example.ndim + 1
    axes = dict.fromkeys(names, sequences)
    output = "sentence_embedding" if isinstance(network, PooledEncoder) else "logits"
    axes[output] = sequences if answers_for_tokens else {0: "batch"}
    with _prepared(network), joined(network), _words_flattened(network):
        _trace(_Logits(network, names), dict.fromkeys(names, example), path, outputs=[output], axes=axes)


def export_translator(network: PreTrainedModel, encoder: Path, decoder: Path) -> None:
    """Write a translation model as two fp32 files: what reads the source, and a step of what writes.

    See ``SourceReader`` and ``WritingStep`` for what goes in and out: ``cross`` of the one is an input of the
    other, and ``present`` is the next step's ``past``, which may be empty.

    Raises:
        JobError: the weights do not fit into one file.
    """
    _require_one_file(network)
    ids = torch.ones((2, 8), dtype=torch.int64, device=network.device)
    source = {0: "batch", 1: "source"}
    cross_axes = {2: "batch", 4: "source"}
    with _prepared(network):
        reader = SourceReader(network.eval())
        _trace(
            reader,
            {"input_ids": ids, "attention_mask": ids},
            encoder,
            outputs=["cross"],
            axes={"input_ids": source, "attention_mask": source, "cross": cross_axes},
        )
        with torch.no_grad():
            cross = reader(ids, ids)
        _trace(
            WritingStep(network),
            {"input_ids": ids[:, :1], "attention_mask": ids, "cross": cross, "past": cross[:, :, :, :, :3]},
            decoder,
            outputs=["logits", "present"],
            axes={
                "input_ids": {0: "batch"},
                "attention_mask": source,
                "cross": cross_axes,
                "past": {2: "batch", 4: "written"},
                "logits": {0: "batch"},
                "present": {2: "batch", 4: "written_now"},
            },
        )


def _require_one_file(network: PreTrainedModel) -> None:
    # Not the state's tensors: a table that several layers share is there once for each.
    weight_bytes = BYTES_PER_PARAMETER["fp32"] * sum(weight.numel() for weight in network.parameters())
    if weight_bytes > MAX_ONNX_BYTES:
        raise JobError(
            "onnx_too_large",
            f"The network has {weight_bytes / 1e9:.2f} GB of fp32 weights; an ONNX file is limited to "
            f"{MAX_ONNX_BYTES / 1e9:.2f} GB. Use a smaller target.",
            weight_bytes=weight_bytes,
        )


def _trace(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    path: Path,
    *,
    outputs: Sequence[str],
    axes: Mapping[str, Mapping[int, str]],
) -> None:
    with _tracing_warnings_silenced():
        torch.onnx.export(
            # The exporter leaves its argument in the mode it found, all submodules included.
            module.eval(),
            tuple(inputs.values()),
            str(path),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes=axes,
            opset_version=_OPSET,
            # The tracing exporter: several times quicker, and its graphs quantise as they are.
            dynamo=False,
        )


def input_names(network: PreTrainedModel) -> list[str]:
    """The inputs of the network's ONNX graph: token types only where there is more than one."""
    names = ["input_ids", "attention_mask"]
    if getattr(network.config, "type_vocab_size", 0) > 1:
        names.append("token_type_ids")
    return names


class _Logits(nn.Module):
    """The network with positional inputs and one tensor as output, as tracing wants it."""

    def __init__(self, network: PreTrainedModel, names: list[str]) -> None:
        super().__init__()
        self.network = network
        self.names = names

    def forward(self, *inputs: Tensor) -> Tensor:
        return answer_logits(self.network(**dict(zip(self.names, inputs, strict=True))))


@contextmanager
def _prepared(network: PreTrainedModel) -> Iterator[None]:
    """Eager attention, which ONNX Runtime runs faster than the traced SDPA, and the network's mode kept."""
    attention, is_training = network.config._attn_implementation, network.training
    network.set_attn_implementation("eager")
    try:
        yield
    finally:
        network.set_attn_implementation(attention)
        network.train(is_training)


@contextmanager
def _words_flattened(network: PreTrainedModel) -> Iterator[None]:
    """Bring an output of words all rows at once, (B, T, d) as (B T, d), if the network has one.

    A product of two matrices reads the word table as it lies; of more than two dimensions, one turned about,
    and the file would hold the table twice.
    """
    output = network.get_output_embeddings()
    if output is None:
        yield
        return
    rows: list[Tensor] = []

    def flatten(_: nn.Module, inputs: tuple[Tensor]) -> Tensor:
        rows[:] = inputs
        return inputs[0].flatten(0, 1)

    def unflatten(_: nn.Module, __: object, logits: Tensor) -> Tensor:
        return logits.view(*rows[0].shape[:2], -1)

    hooks = [output.register_forward_pre_hook(flatten), output.register_forward_hook(unflatten)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def _tracing_warnings_silenced() -> Iterator[None]:
    with warnings.catch_warnings():
        for message, category in (
            ("You are using the legacy TorchScript-based ONNX export", DeprecationWarning),
            ("The feature will be removed", DeprecationWarning),
            # Guards on shapes; that the graph holds at other shapes is what the parity check is for.
            ("Converting a tensor to a Python boolean", Warning),
            # Of head sizes and numbers of buckets, which are the same for all texts.
            ("torch.tensor results are registered as constants", Warning),
            ("To copy construct from a tensor", UserWarning),
            ("Exporting aten::index operator of advanced indexing", UserWarning),
            # Of an LSTM, whose first states the graph makes as many of as there are texts.
            ("Exporting a model to ONNX with a batch_size other than 1", UserWarning),
        ):
            warnings.filterwarnings("ignore", message=message, category=category)
        yield
