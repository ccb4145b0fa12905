"""Estimate which operators of an int8 network an Edge TPU would run.

If its compiler is installed, it can be called from here.

The compiler maps operators from the input up to the first that it cannot map; the operators after it run on the
processor ("it can map only one consecutive subgraph"). Sources: coral.ai/docs/edgetpu/models-intro (table of supported
operations, model requirements) and coral.ai/docs/edgetpu/compiler. Not verified on hardware.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ExportError
from .reader import Graph, Op

COMPILER = "edgetpu_compiler"
COMMAND = f"{COMPILER} --show_operations int8.tflite"
MAX_SECONDS = 600
EIGHT_BIT = ("int8", "uint8")
ALLOWED_DTYPES = (*EIGHT_BIT, "int32", "int64", "bool")
MAX_SOFTMAX = 16_000
MAX_RESIZE = 128 * 128 * 512
"""Minimum number of elements of a resize that the compiler leaves on the processor; an estimate, since the
documentation says only "depending on input/output size"."""

UNCONDITIONAL_OPS = frozenset(
    {
        "ADD",
        "EXPAND_DIMS",
        "L2_NORMALIZATION",
        "LOGISTIC",
        "MAXIMUM",
        "MINIMUM",
        "MUL",
        "QUANTIZE",
        "RELU",
        "RELU6",
        "RELU_N1_TO_1",
        "RESHAPE",
        "RSQRT",
        "SLICE",
        "SPACE_TO_DEPTH",
        "SQUARED_DIFFERENCE",
        "SUB",
        "TANH",
    }
)
"""Operators that are supported without conditions that can be checked in the file."""


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OpMapping:
    """Where an operator would run.

    Attributes:
        index: of the operator; op: its name; output: its first output tensor; macs: its multiplications (estimate).
        reason: why it stays on the processor, or "" if it is mapped.
    """

    index: int
    op: str
    output: str
    macs: int
    reason: str


@dataclass(frozen=True)
class Mappability:
    """The mapping of a graph: one `OpMapping` per operator, in order of execution."""

    ops: tuple[OpMapping, ...]

    def summary(self) -> dict[str, Any]:
        """Return a summary of the mapping for manifests.

        It has counts, the share of multiplications, and what stays on the processor and why.
        """
        mapped = [op for op in self.ops if not op.reason]
        work = sum(op.macs for op in self.ops)
        reasons: dict[str, int] = {}
        for op in self.ops:
            if op.reason:
                reasons[f"{op.op}: {op.reason}"] = reasons.get(f"{op.op}: {op.reason}", 0) + 1
        return {
            "operators": len(self.ops),
            "mapped": len(mapped),
            "share_of_macs": round(sum(op.macs for op in mapped) / work, 4) if work else float(bool(mapped)),
            "on_processor": [f"{count} x {reason}" for reason, count in reasons.items()],
            "command": COMMAND,
        }


def mappability(graph: Graph) -> Mappability:
    """Return which operators an Edge TPU would run."""
    unmapped: set[int] = set()
    ops = []
    for index, op in enumerate(graph.ops):
        reason = unsupported(graph, op)
        if not reason and any(tensor in unmapped for tensor in op.inputs):
            reason = "comes after an operator that is not mapped"
        if reason:
            unmapped |= set(op.outputs)
        output = graph.tensors[op.outputs[0]].name if op.outputs and op.outputs[0] >= 0 else ""
        ops.append(OpMapping(index, op.name, output, _macs(graph, op), reason))
    return Mappability(tuple(ops))


def unsupported(graph: Graph, op: Op) -> str:
    """Return why an Edge TPU cannot run an operator, regardless of those before it.

    The text is empty if it can.
    """
    if op.custom:
        return "custom operators run on the processor"
    if op.name not in UNCONDITIONAL_OPS and op.name not in _CONDITIONS:
        return "not in the table of supported operations"
    for number in op.inputs[1:3] if op.name in _WEIGHTED_OPS else ():
        if number >= 0 and graph.tensors[number].constant is None:
            return "weights or biases are not constant"
    tensors = [graph.tensors[number] for number in (*op.inputs, *op.outputs) if number >= 0]
    for tensor in tensors:
        if tensor.dtype not in ALLOWED_DTYPES:
            return f"a tensor is {tensor.dtype}, not 8-bit"
        if any(size < 0 for size in tensor.shape):
            return "a tensor's size is not fixed"
        # "Tensors are 1-, 2- or 3-dimensional; of more, only the three innermost may be greater than 1."
        if tensor.constant is None and any(size > 1 for size in tensor.shape[:-3]):
            return f"a tensor has more than three dimensions above 1: {list(tensor.shape)}"
    return _CONDITIONS[op.name](graph, op) if op.name in _CONDITIONS else ""


def compile_for_edgetpu(content: bytes) -> bytes | None:
    """Compile an int8 file.

    If the compiler is not on PATH, log the command to run later and return None.

    Raises:
        ExportError: the compiler reports an error or takes longer than ten minutes.
    """
    compiler = shutil.which(COMPILER)
    if compiler is None:
        logger.info(
            "%s is not on PATH: no Edge TPU file. On x86-64 with it installed, run in the bundle: %s", COMPILER, COMMAND
        )
        return None
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "int8.tflite"
        source.write_bytes(content)
        command = [compiler, "--show_operations", "--out_dir", folder, str(source)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=MAX_SECONDS, cwd=folder)
        except subprocess.TimeoutExpired:
            raise ExportError(f"{COMPILER} was stopped after {MAX_SECONDS} s") from None
        result = Path(folder) / "int8_edgetpu.tflite"
        if done.returncode != 0 or not result.is_file():
            raise ExportError(f"{COMPILER} failed: {(done.stderr or done.stdout).strip() or done.returncode}")
        return result.read_bytes()


def _shape(graph: Graph, op: Op, position: int = 0) -> tuple[int, ...]:
    return graph.tensors[op.inputs[position]].shape


def _no_fused(graph: Graph, op: Op) -> str:
    return "has a fused activation" if op.options.get("FusedActivationFunction") else ""


def _dilation(graph: Graph, op: Op) -> str:
    same = op.options.get("DilationWFactor", 1) == op.options.get("DilationHFactor", 1)
    return "" if same else "dilation differs in x and y"


def _concatenation(graph: Graph, op: Op) -> str:
    constants = [number for number in op.inputs if number >= 0 and graph.tensors[number].constant is not None]
    if constants and len(op.inputs) != 2:
        return "joins a constant with more than one other tensor"
    for number in constants:
        values, zero = graph.values(number), graph.tensors[number].zero_points[:1]
        if values is None or np.any(values != (zero[0] if len(zero) else 0)):  # zeros are padding, which is supported
            return "joins a constant that is not all zeros"
    return _no_fused(graph, op)


def _fully_connected(graph: Graph, op: Op) -> str:
    if op.options.get("WeightsFormat"):
        return "weights are not in the default format"
    shape = graph.tensors[op.outputs[0]].shape
    return "" if int(np.prod(shape[:-1])) == 1 else "its output is not one-dimensional"


def _resize(graph: Graph, op: Op) -> str:
    size = max(int(np.prod(graph.tensors[number].shape)) for number in (op.inputs[0], op.outputs[0]))
    return "the tensor is large (an estimate)" if size > MAX_RESIZE else ""


def _reduction(graph: Graph, op: Op) -> str:
    # The size of the batch must not change.
    before, after = _shape(graph, op), graph.tensors[op.outputs[0]].shape
    return "" if before and (before[0] == 1 or (after and after[0] == before[0])) else "reduces the batch"


def _mean(graph: Graph, op: Op) -> str:
    before, after = _shape(graph, op), graph.tensors[op.outputs[0]].shape
    if before and (not after or after[-1] != before[-1]) and before[-1] % 4:
        return "reduces channels whose number is not a multiple of 4"
    return _reduction(graph, op)


def _softmax(graph: Graph, op: Op) -> str:
    shape = _shape(graph, op)
    if any(size > 1 for size in shape[:-1]):
        return "its input is not one-dimensional"
    return "" if shape and shape[-1] <= MAX_SOFTMAX else f"its input has more than {MAX_SOFTMAX} values"


def _split(graph: Graph, op: Op) -> str:
    # The first input of SPLIT is the axis, the second is the tensor to split.
    return "" if _shape(graph, op, 1)[:1] == graph.tensors[op.outputs[0]].shape[:1] else "splits the batch"


def _squeeze(graph: Graph, op: Op) -> str:
    before, after = _shape(graph, op), graph.tensors[op.outputs[0]].shape
    return "" if before[len(before) - len(after) :] == after else "removes dimensions other than leading ones"


def _strided(graph: Graph, op: Op) -> str:
    if any(op.options.get(key) for key in ("EllipsisMask", "NewAxisMask")):
        return "has an ellipsis or a new axis"
    strides = graph.values(op.inputs[3]) if len(op.inputs) > 3 else None
    return "" if strides is None or np.all(strides == 1) else "a stride is not 1"


def _pad(graph: Graph, op: Op) -> str:
    return "" if _shape(graph, op)[:1] == graph.tensors[op.outputs[0]].shape[:1] else "pads the batch"


def _pack(graph: Graph, op: Op) -> str:
    return "packs along the batch" if op.options.get("Axis") == 0 else ""


def _prelu(graph: Graph, op: Op) -> str:
    return "alpha has more than one dimension" if any(n > 1 for n in _shape(graph, op, 1)[:-1]) else ""


_WEIGHTED_OPS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
_CONDITIONS: dict[str, Callable[[Graph, Op], str]] = {
    "AVERAGE_POOL_2D": _no_fused,
    "MAX_POOL_2D": _no_fused,
    "CONCATENATION": _concatenation,
    "CONV_2D": _dilation,
    "DEPTHWISE_CONV_2D": _dilation,
    "FULLY_CONNECTED": _fully_connected,
    "MEAN": _mean,
    "REDUCE_MAX": _reduction,
    "REDUCE_MIN": _reduction,
    "PACK": _pack,
    "PAD": _pad,
    "PRELU": _prelu,
    "RESIZE_BILINEAR": _resize,
    "RESIZE_NEAREST_NEIGHBOR": _resize,
    "SOFTMAX": _softmax,
    "SPLIT": _split,
    "SQUEEZE": _squeeze,
    "STRIDED_SLICE": _strided,
    "SUM": _reduction,
    "TRANSPOSE_CONV": _dilation,
}


def _macs(graph: Graph, op: Op) -> int:
    if op.name not in _WEIGHTED_OPS or len(op.inputs) < 2:
        return 0
    weights, result = graph.tensors[op.inputs[1]].shape, graph.tensors[op.outputs[0]].shape
    inner = {"CONV_2D": weights[1:], "TRANSPOSE_CONV": weights[1:], "DEPTHWISE_CONV_2D": weights[1:3]}.get(
        op.name, weights[-1:]
    )
    return int(np.prod(result, dtype=np.int64) * np.prod(inner, dtype=np.int64))
