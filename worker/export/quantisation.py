"""From fp32 ONNX to int8: weights ahead of time, activations as they come."""

from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from worker.export.per_token import scale_by_token

_QUANTISED: Final = ["Gather", "MatMul"]
"""Also products with a bias, which are taken apart."""


def quantise_onnx(source: Path, target: Path) -> None:
    """Write the int8 form of an fp32 file, embeddings included, whose answers do not depend on the batch.

    One scale a channel of weights, and seven bits: on CPUs without VNNI eight would overflow the 16-bit sums,
    and on those with it the predictions were also nearer to fp32. One scale a token of activations. LSTMs
    compute in fp32 with weights stored in int8: their own quantised form has one scale for a whole batch.
    A file that only looks rows up has eight bits and a scale a row: tokens that are rare have larger ones.
    """
    model = onnx.load(source)
    if not any(node.op_type in _PRODUCTS for node in model.graph.node):
        _quantise_rows(model.graph)
        onnx.save(model, target)
        return
    _read_shared_weights_directly(model)
    parted = _part_shared_tables(model)
    # Without the mark the quantiser asks for shape inference, which only static quantisation uses,
    # through logging.warning, and that installs a handler on the root logger.
    add_pre_process_metadata(model)
    quantize_dynamic(
        model,
        target,
        op_types_to_quantize=_QUANTISED,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
    )
    quantised = onnx.load(target)
    for name in parted:
        _join_tables(quantised.graph, name)
    scale_by_token(quantised)
    _store_recurrent_weights(quantised.graph)
    onnx.save(quantised, target)


_PRODUCTS: Final = ("Gemm", "MatMul", "LSTM")
_MOST_LEVEL: Final = 127


def _quantise_rows(graph: onnx.GraphProto) -> None:
    """Put int8 rows, each with its own scale, in the place of tables that are looked up."""
    tables = {tensor.name: tensor for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        if node.op_type != "Gather" or node.input[0] not in tables:
            nodes.append(node)
            continue
        table = tables.pop(node.input[0])
        values = numpy_helper.to_array(table)  # (V, d)
        scales = np.maximum(np.abs(values).max(axis=1, keepdims=True), 1e-12) / _MOST_LEVEL
        levels = np.rint(values / scales).astype(np.int8)
        graph.initializer.append(numpy_helper.from_array(levels, f"{table.name}_quantized"))
        graph.initializer.append(numpy_helper.from_array(scales.astype(np.float32), f"{table.name}_scale"))
        graph.initializer.remove(table)
        [found] = node.output
        parts = [f"{found}_{what}" for what in ("levels", "values", "scales")]
        nodes += [
            helper.make_node("Gather", [f"{table.name}_quantized", node.input[1]], parts[:1]),
            helper.make_node("Cast", parts[:1], parts[1:2], to=onnx.TensorProto.FLOAT),
            helper.make_node("Gather", [f"{table.name}_scale", node.input[1]], parts[2:]),
            helper.make_node("Mul", parts[1:], [found]),
        ]
    graph.ClearField("node")
    graph.node.extend(nodes)


def _read_shared_weights_directly(model: onnx.ModelProto) -> None:
    """Take out the ``Identity`` by which the exporter lets layers share a weight.

    The quantiser looks through it and leaves it there, and the fp32 weight with it.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    shared = {
        node.output[0]: node.input[0]
        for node in model.graph.node
        if node.op_type == "Identity" and node.input[0] in weights
    }
    kept = [node for node in model.graph.node if node.output[0] not in shared]
    for node in kept:
        node.input[:] = [shared.get(name, name) for name in node.input]
    del model.graph.node[:]
    model.graph.node.extend(kept)


_LOOKED_UP = ".looked_up"


def _part_shared_tables(model: onnx.ModelProto) -> list[str]:
    """Give a lookup a table of its own where a product has it too: to the quantiser the two lie differently.

    Returns the names of such tables, to be joined again.
    """
    tables = {tensor.name: tensor for tensor in model.graph.initializer}
    multiplied = {
        name for node in model.graph.node if node.op_type in ("Gemm", "MatMul") for name in node.input
    }
    nodes, parted = [], []
    for node in model.graph.node:
        nodes.append(node)
        if node.op_type == "Gather" and node.input[0] in tables.keys() & multiplied:
            table = onnx.TensorProto()
            table.CopyFrom(tables[node.input[0]])
            parted.append(table.name)
            table.name = node.input[0] = f"{table.name}{_LOOKED_UP}"
            model.graph.initializer.append(table)
            # A product would take what is looked up in int8 as it is; this has it widened first.
            found = node.output[0]
            node.output[0] = f"{found}{_LOOKED_UP}"
            nodes.append(helper.make_node("Identity", [node.output[0]], [found]))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return parted


def _join_tables(graph: onnx.GraphProto, name: str) -> None:
    """Let the lookup read the product's quantised table, each word by its own scale, and drop the other one.

    The table lies as lookups want it, (V, d); ONNX Runtime turns it about for the product when it opens the
    file.
    """
    product, own = f"{name}_quantized", f"{name}{_LOOKED_UP}"
    lookup = next(node for node in graph.node if node.input[:1] == [f"{own}_quantized"])
    widening = next(node for node in graph.node if node.input[:1] == lookup.output[:])
    words, [found] = lookup.input[1], widening.output
    weights = {tensor.name: tensor for tensor in graph.initializer}
    rows = numpy_helper.from_array(numpy_helper.to_array(weights[product]).T.copy(), f"{name}_rows")
    last = numpy_helper.from_array(np.array([-1]), f"{name}_last_axis")
    levels, values, scales, columns = (
        f"{found}_{what}" for what in ("levels", "values", "scales", "columns")
    )
    joined = [
        helper.make_node("Transpose", [rows.name], [product], perm=[1, 0]),
        helper.make_node("Gather", [rows.name, words], [levels]),
        helper.make_node("Cast", [levels], [values], to=onnx.TensorProto.FLOAT),
        helper.make_node("Gather", [f"{name}_scale", words], [scales]),
        helper.make_node("Unsqueeze", [scales, last.name], [columns]),
        helper.make_node("Mul", [values, columns], [found]),
    ]
    at = list(graph.node).index(widening)
    nodes = [*graph.node[:at], *joined, *graph.node[at + 1 :]]
    nodes.remove(lookup)
    dropped = {product, *(f"{own}_{part}" for part in ("quantized", "scale", "zero_point"))}
    tensors = [rows, last, *(tensor for tensor in graph.initializer if tensor.name not in dropped)]
    graph.ClearField("node")
    graph.node.extend(nodes)
    graph.ClearField("initializer")
    graph.initializer.extend(tensors)


def _store_recurrent_weights(graph: onnx.GraphProto) -> None:
    """Store the matrices of LSTMs in int8, each row by its own scale; opening a file widens them."""
    matrices = {name for node in graph.node if node.op_type == "LSTM" for name in node.input[1:3]}
    tensors, nodes = [], []
    for tensor in graph.initializer:
        if tensor.name not in matrices:
            tensors.append(tensor)
            continue
        matrix = numpy_helper.to_array(tensor)
        scales = np.maximum(np.abs(matrix).max(-1, keepdims=True) / 127, 1e-12).astype(np.float32)
        levels, values, steps = (f"{tensor.name}_{what}" for what in ("levels", "values", "scales"))
        tensors.append(numpy_helper.from_array(np.rint(matrix / scales).astype(np.int8), levels))
        tensors.append(numpy_helper.from_array(scales, steps))
        nodes.append(helper.make_node("Cast", [levels], [values], to=onnx.TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", [values, steps], [tensor.name]))
    nodes.extend(graph.node)
    graph.ClearField("initializer")
    graph.initializer.extend(tensors)
    graph.ClearField("node")
    graph.node.extend(nodes)
