"""Activations in int8 with a scale for each token: an answer does not depend on the rest of its batch.

The library's quantiser takes one scale from the largest value of a whole tensor: what a text's values are
rounded to then depends on the other texts. Here each token's values are divided by the largest of them, and
the products are multiplied by it again. All operators are of plain ONNX, in the form in which ONNX Runtime
fuses a product with the scales of its weights.

Shapes: K values a token, N outputs.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

_LEVELS: Final = 127
"""From 0 to the largest value."""
_ZERO: Final = "token_scales.zero_level"
_ONE: Final = "token_scales.one"
_STEP: Final = "token_scales.step"
_TINY: Final = "token_scales.tiny"
_CONSTANTS: Final = {
    _ZERO: np.uint8(128),
    _ONE: np.float32(1),
    _STEP: np.float32(1 / _LEVELS),
    _TINY: np.float32(1e-12),  # of a token whose values are all 0
}
_COUNTED_ONE: Final = "token_scales.counted_one"
_PER_BATCH: Final = frozenset(("DynamicQuantizeLinear", "DynamicQuantizeLSTM"))


def activation_scales(files: Sequence[Path]) -> Literal["per_token", "per_batch"]:
    """What activations are scaled by in int8 files, those of earlier versions included."""
    nodes = (node for file in files for node in onnx.load(file).graph.node)
    return "per_batch" if any(node.op_type in _PER_BATCH for node in nodes) else "per_token"


def scale_by_token(model: onnx.ModelProto) -> None:
    """Give each token a scale of its own wherever a quantised file has one for a whole tensor.

    Args:
        model: as ``quantize_dynamic`` leaves it.
    """
    graph = model.graph
    replaced: dict[str, Sequence[NodeProto]] = {}
    for node in graph.node:
        if node.op_type == "DynamicQuantizeLinear":
            replaced |= _scaled_by_token(graph, node)
    if not replaced:
        return
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name) for name, value in _CONSTANTS.items()
    )
    nodes = [*_count_one(graph.input[0].name)]
    for node in graph.node:
        nodes.extend(replaced.get(node.output[0], (node,)))
    graph.ClearField("node")
    graph.node.extend(nodes)


def _scaled_by_token(graph: onnx.GraphProto, quantiser: NodeProto) -> dict[str, Sequence[NodeProto]]:
    """What stands in place of a quantiser and of what its scale goes into, by the first output of each."""
    [values] = quantiser.input
    quantised, old_scale, _ = quantiser.output
    scale = f"{values}_token_scales"
    readers = _readers(graph)
    found: dict[str, Sequence[NodeProto]] = {quantised: [*_quantise(values, quantised, scale)]}
    for product in readers[quantised]:
        product.input[2] = _ZERO
    for scales in readers[old_scale]:
        [of_weights] = [name for name in scales.input if name != old_scale]
        scales.input[:] = [_COUNTED_ONE, of_weights]
        for result in readers[scales.output[0]]:
            [output] = result.output
            unscaled = f"{output}_unscaled"
            widened = helper.make_node("Mul", list(result.input), [unscaled])
            found[output] = [widened, helper.make_node("Mul", [unscaled, scale], [output])]
    return found


def _quantise(values: str, quantised: str, scale: str) -> Iterator[NodeProto]:
    """(..., K) to levels from 1 to 255, and the scales (..., 1)."""
    sizes, largest, step, shares = (
        f"{values}_token_{part}" for part in ("sizes", "largest", "step", "shares")
    )
    yield helper.make_node("Abs", [values], [sizes])
    yield helper.make_node("ReduceMax", [sizes], [largest], axes=[-1], keepdims=1)
    yield helper.make_node("Mul", [largest, _STEP], [step])
    yield helper.make_node("Add", [step, _TINY], [scale])
    yield helper.make_node("Div", [values, scale], [shares])
    yield helper.make_node("QuantizeLinear", [shares, _ONE, _ZERO], [quantised])


def _count_one(network_input: str) -> Iterator[NodeProto]:
    """A 1 that no optimiser knows beforehand.

    ONNX Runtime fuses a product with its scales where they are the product of two; of a constant and the
    scales of weights it would make one constant first, and not see the pattern any more.
    """
    count, is_there, none = (f"token_scales.{part}" for part in ("count", "is_there", "none"))
    minus_one = helper.make_tensor("value", TensorProto.INT64, [], [-1])
    yield helper.make_node("Constant", [], [none], value=minus_one)
    yield helper.make_node("Size", [network_input], [count])
    yield helper.make_node("Greater", [count, none], [is_there])
    yield helper.make_node("Cast", [is_there], [_COUNTED_ONE], to=TensorProto.FLOAT)


def _readers(graph: onnx.GraphProto) -> dict[str, list[NodeProto]]:
    """Nodes by the names that they read."""
    readers = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)
    return readers
