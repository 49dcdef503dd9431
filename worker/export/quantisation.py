"""From fp32 ONNX to int8: weights ahead of time, activations as they come."""

from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.quant_utils import add_pre_process_metadata


def quantise_onnx(source: Path, target: Path) -> None:
    """Write the int8 form of an fp32 file, embeddings included.

    One scale a channel, and seven bits: on CPUs without VNNI eight would overflow the 16-bit sums, and on
    those with it the predictions were also nearer to fp32.
    """
    model = onnx.load(source)
    _read_shared_weights_directly(model)
    _part_shared_tables(model)
    # Without the mark the quantiser asks for shape inference, which only static quantisation uses,
    # through logging.warning, and that installs a handler on the root logger.
    add_pre_process_metadata(model)
    quantize_dynamic(model, target, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True)


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


def _part_shared_tables(model: onnx.ModelProto) -> None:
    """Give a lookup a table of its own where a product has it too: quantised, the two lie differently."""
    tables = {tensor.name: tensor for tensor in model.graph.initializer}
    multiplied = {
        name for node in model.graph.node if node.op_type in ("Gemm", "MatMul") for name in node.input
    }
    for node in model.graph.node:
        if node.op_type == "Gather" and node.input[0] in tables.keys() & multiplied:
            table = onnx.TensorProto()
            table.CopyFrom(tables[node.input[0]])
            table.name = node.input[0] = f"{table.name}.looked_up"
            model.graph.initializer.append(table)
