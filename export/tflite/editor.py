"""Edit quantised TFLite files.

Needless float operators are removed, and the types of inputs and outputs are changed.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

SELECTION_OPS = ("RELU6", "RELU_N1_TO_1", "REDUCE_MAX", "SQUEEZE", "EXPAND_DIMS")
"""Operators that select or clip values: on integers of one scale they compute the same as on real numbers."""


def remove_float_around_selections(content: bytes) -> bytes:
    """Remove the DEQUANTIZE before an operator whose result is quantised again.

    The operator is one of `SELECTION_OPS`.

    The operator then works on integers with the scale of its input, and QUANTIZE converts from that scale to the one of
    its output.
    """
    from ai_edge_litert.tools import flatbuffer_utils as tools

    model = tools.read_model_from_bytearray(bytearray(content))
    graph = model.subgraphs[0]
    names = [tools.opcode_to_name(model, number) for number in range(len(model.operatorCodes))]
    producers = {int(op.outputs[0]): op for op in graph.operators}
    uses: dict[int, list[Any]] = {}
    for op in graph.operators:
        for number in op.inputs:
            uses.setdefault(int(number), []).append(op)
    removed = []
    for op in graph.operators:
        before, after = producers.get(int(op.inputs[0])), uses.get(int(op.outputs[0]), [])
        if (
            names[op.opcodeIndex] in SELECTION_OPS
            and before is not None
            and names[before.opcodeIndex] == "DEQUANTIZE"
            and after
            and all(names[user.opcodeIndex] == "QUANTIZE" for user in after)
        ):
            op.inputs = [before.inputs[0], *list(op.inputs)[1:]]
            source, result = graph.tensors[int(before.inputs[0])], graph.tensors[int(op.outputs[0])]
            result.type, result.quantization = source.type, copy.deepcopy(source.quantization)
            if len(uses[int(before.outputs[0])]) == 1:
                removed.append(before)
    if not removed:
        return content
    graph.operators = [op for op in graph.operators if not any(op is other for other in removed)]
    _drop_unused(model)
    return bytes(tools.convert_object_to_bytearray(model))


def set_interface(content: bytes, input_type: str, output_type: str) -> bytes:
    """Change int8 inputs and outputs of a network to the given types.

    Each gets a QUANTIZE.

    Args:
        input_type, output_type: ``uint8`` or ``int8``; inputs and outputs that are not int8 are not changed.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils as tools

    model = tools.read_model_from_bytearray(bytearray(content))
    graph = model.subgraphs[0]
    first: list[Any] = []
    last: list[Any] = []
    for wanted, numbers, ops in ((input_type, graph.inputs, first), (output_type, graph.outputs, last)):
        for number in [int(n) for n in numbers]:
            tensor = graph.tensors[number]
            if wanted == "uint8" and tensor.type == schema.TensorType.INT8:
                # The old index stays the input or output, so that signatures need no change.
                inside = len(graph.tensors)
                graph.tensors.append(_inner(tensor))
                tensor.type = schema.TensorType.UINT8
                tensor.quantization = copy.deepcopy(tensor.quantization)
                tensor.quantization.zeroPoint = [int(zero) + 128 for zero in tensor.quantization.zeroPoint]
                _replace(graph.operators, number, inside)
                pair = (number, inside) if ops is first else (inside, number)
                ops.append(_quantise_op(schema, model, *pair))
    if not first and not last:
        return content
    graph.operators = [*first, *graph.operators, *last]
    return bytes(tools.convert_object_to_bytearray(model))


def _drop_unused(model: Any) -> None:
    """Remove tensors that no operator uses."""
    graph = model.subgraphs[0]
    lists = [(op, key) for op in graph.operators for key in ("inputs", "outputs")]
    lists += [(graph, "inputs"), (graph, "outputs")]
    used = sorted({int(number) for owner, key in lists for number in getattr(owner, key) if number >= 0})
    new_index = {old: new for new, old in enumerate(used)} | {-1: -1}
    graph.tensors = [graph.tensors[index] for index in used]
    for owner, key in lists:
        setattr(owner, key, np.asarray([new_index[int(number)] for number in getattr(owner, key)], np.int32))
    for signature in model.signatureDefs or []:
        for end in [*(signature.inputs or []), *(signature.outputs or [])]:
            end.tensorIndex = new_index[end.tensorIndex]


def _inner(tensor: Any) -> Any:
    inner = copy.deepcopy(tensor)
    inner.name = bytes(tensor.name) + b"_int8"
    return inner


def _replace(ops: list[Any], old: int, new: int) -> None:
    for op in ops:
        op.inputs = np.asarray([new if int(n) == old else int(n) for n in op.inputs], np.int32)
        op.outputs = np.asarray([new if int(n) == old else int(n) for n in op.outputs], np.int32)


def _quantise_op(schema: Any, model: Any, source: int, target: int) -> Any:
    number = schema.BuiltinOperator.QUANTIZE
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    if number not in codes:
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = number
        code.version = 1
        model.operatorCodes.append(code)
        codes.append(number)
    op = schema.OperatorT()
    op.opcodeIndex, op.inputs, op.outputs = codes.index(number), [source], [target]
    op.builtinOptionsType, op.builtinOptions = schema.BuiltinOptions.QuantizeOptions, schema.QuantizeOptionsT()
    return op
