"""Read tensors, operators and metadata of a TFLite file without running it.

Uses the flatbuffer bindings of LiteRT. A file may come from an untrusted source, so every length is checked against
the file's size before it is used: a damaged or hostile file raises `ExportError` and never causes a crash or a hang.
File format: https://github.com/google-ai-edge/LiteRT, tflite/converter/schema/schema.fbs.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import ExportError

IDENTIFIER = b"TFL3"
FLOAT_DTYPES = frozenset(
    {"float16", "float32", "float64", "bfloat16", "complex64", "complex128", "float8_e4m3fn", "float8_e5m2"}
)
INTEGER_DTYPES = frozenset({"int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"})
POSTPROCESS = "TFLite_Detection_PostProcess"
"""TFLite's operator that decodes boxes and does non-maximum suppression, in float."""
_OPTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "CONV_2D": ("Conv2DOptions", ("FusedActivationFunction", "DilationWFactor", "DilationHFactor", "StrideW")),
    "DEPTHWISE_CONV_2D": (
        "DepthwiseConv2DOptions",
        ("FusedActivationFunction", "DilationWFactor", "DilationHFactor", "StrideW"),
    ),
    "AVERAGE_POOL_2D": ("Pool2DOptions", ("FusedActivationFunction",)),
    "MAX_POOL_2D": ("Pool2DOptions", ("FusedActivationFunction",)),
    "CONCATENATION": ("ConcatenationOptions", ("FusedActivationFunction", "Axis")),
    "FULLY_CONNECTED": ("FullyConnectedOptions", ("FusedActivationFunction", "WeightsFormat")),
    "PACK": ("PackOptions", ("Axis",)),
    "RESIZE_BILINEAR": ("ResizeBilinearOptions", ("AlignCorners", "HalfPixelCenters")),
    "RESIZE_NEAREST_NEIGHBOR": ("ResizeNearestNeighborOptions", ("AlignCorners", "HalfPixelCenters")),
    "STRIDED_SLICE": ("StridedSliceOptions", ("BeginMask", "EndMask", "EllipsisMask", "NewAxisMask", "ShrinkAxisMask")),
}


@dataclass(frozen=True)
class Tensor:
    """A tensor: its name, shape, dtype and quantisation.

    Without scales it is not quantised.

    Attributes:
        constant: (first byte, byte count) of its values in the file, or None if they are computed.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scales: np.ndarray
    zero_points: np.ndarray
    axis: int
    constant: tuple[int, int] | None


@dataclass(frozen=True)
class Op:
    """An operator: its name, and the indices of its tensors (-1: none).

    The name is e.g. ``CONV_2D``, or that of a custom operator.

    `custom_options` are those of a custom operator, a flexbuffer.
    """

    name: str
    custom: bool
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, int]
    custom_options: bytes = b""


@dataclass(frozen=True)
class Graph:
    """One graph of a file: tensors, and operators in order of execution.

    `content` is the whole file.
    """

    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    content: bytes = field(default=b"", repr=False)

    def values(self, index: int) -> np.ndarray | None:
        """Return the values of a constant tensor, flat.

        The result is None if they are computed or are not integers.
        """
        tensor = self.tensors[index]
        if tensor.constant is None or tensor.dtype not in INTEGER_DTYPES:
            return None
        (first, count), kind = tensor.constant, np.dtype(tensor.dtype)
        return np.frombuffer(self.content[first : first + count // kind.itemsize * kind.itemsize], kind)


@dataclass(frozen=True)
class TFLiteFile:
    """The contents of a file. `metadata` holds named blobs, e.g. ``TFLITE_METADATA``."""

    graphs: tuple[Graph, ...]
    metadata: dict[str, bytes] = field(default_factory=dict)

    @property
    def graph(self) -> Graph:
        """The main graph."""
        return self.graphs[0]


def read_tflite(content: bytes, where: str = "the file") -> TFLiteFile:
    """Read a TFLite file.

    Args:
        content: the file; where: its name in error messages.

    Raises:
        ExportError: it is not a TFLite file, or it is truncated or damaged.
    """
    if len(content) < 20 or content[4:8] != IDENTIFIER:
        raise ExportError(f"{where} is not a TFLite file: it does not begin with {IDENTIFIER.decode()} at byte 4")
    try:
        return _Reader(content).file()
    except (struct.error, IndexError, ValueError, TypeError, OverflowError, KeyError) as error:
        raise ExportError(f"{where} is a damaged TFLite file: {error}") from None


class _Reader:
    """Reader of a file.

    `_left` limits the number of items that it may still read, in case parts overlap.
    """

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._schema: Any = schema
        self._content = content
        self._left = len(content)
        self._model = schema.Model.GetRootAs(content, 0)

    def file(self) -> TFLiteFile:
        model = self._model
        codes = [self._code(model.OperatorCodes(number)) for number in self._count(model.OperatorCodesLength())]
        buffers = [self._span(model.Buffers(number)) for number in self._count(model.BuffersLength())]
        graphs = [
            self._graph(model.Subgraphs(number), codes, buffers) for number in self._count(model.SubgraphsLength())
        ]
        if not graphs:
            raise ValueError("it contains no graph")
        metadata = {}
        for number in self._count(model.MetadataLength()):
            entry = model.Metadata(number)
            span = buffers[entry.Buffer()]
            if span is not None:
                first, size = span
                self._count(size)
                metadata[self._text(entry.Name())] = self._content[first : first + size]
        return TFLiteFile(tuple(graphs), metadata)

    def _graph(self, graph: Any, codes: list[tuple[str, bool]], buffers: list[tuple[int, int] | None]) -> Graph:
        tensors = [self._tensor(graph.Tensors(number), buffers) for number in self._count(graph.TensorsLength())]

        def checked(numbers: tuple[int, ...]) -> tuple[int, ...]:
            if any(not -1 <= number < len(tensors) for number in numbers):
                raise ValueError("an operator refers to a tensor that does not exist")
            return numbers

        ops = []
        for number in self._count(graph.OperatorsLength()):
            op = graph.Operators(number)
            name, custom = codes[op.OpcodeIndex()]
            inputs = checked(self._numbers(op.InputsLength(), op.InputsAsNumpy))
            ops.append(
                Op(
                    name,
                    custom,
                    inputs,
                    checked(self._numbers(op.OutputsLength(), op.OutputsAsNumpy)),
                    self._options(name, op),
                    bytes(self._numbers(op.CustomOptionsLength(), op.CustomOptionsAsNumpy)) if custom else b"",
                )
            )
        interface = [
            checked(self._numbers(graph.InputsLength(), graph.InputsAsNumpy)),
            checked(self._numbers(graph.OutputsLength(), graph.OutputsAsNumpy)),
        ]
        if any(number < 0 for numbers in interface for number in numbers):
            raise ValueError("the graph has an input or output that does not exist")
        return Graph(tuple(tensors), tuple(ops), interface[0], interface[1], self._content)

    def _tensor(self, tensor: Any, buffers: list[tuple[int, int] | None]) -> Tensor:
        quantised = tensor.Quantization()
        scales: np.ndarray = np.zeros(0, np.float32)
        zero_points: np.ndarray = np.zeros(0, np.int64)
        axis = 0
        if quantised is not None:
            scales = np.asarray(self._numbers(quantised.ScaleLength(), quantised.ScaleAsNumpy), np.float32)
            zero_points = np.asarray(self._numbers(quantised.ZeroPointLength(), quantised.ZeroPointAsNumpy), np.int64)
            axis = quantised.QuantizedDimension()
        return Tensor(
            self._text(tensor.Name()),
            self._numbers(tensor.ShapeLength(), tensor.ShapeAsNumpy),
            self._name(self._schema.TensorType, tensor.Type()).lower(),
            scales,
            zero_points,
            axis,
            buffers[tensor.Buffer()],
        )

    def _code(self, code: Any) -> tuple[str, bool]:
        # Codes above 127 were added later and are stored in another field, for compatibility with old readers.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if number == self._schema.BuiltinOperator.CUSTOM:
            return self._text(code.CustomCode()), True
        return self._name(self._schema.BuiltinOperator, number), False

    def _span(self, buffer: Any) -> tuple[int, int] | None:
        """Return (first byte, size) of a buffer, or None for an empty one."""
        if buffer.Offset() > 1:  # after the flatbuffer, in files larger than 2 GB
            first, size = buffer.Offset(), buffer.Size()
        elif buffer.DataLength():
            table = buffer._tab
            first, size = table.Vector(table.Offset(4)), buffer.DataLength()
        else:
            return None
        if first < 0 or first + size > len(self._content):
            raise ValueError("a buffer extends beyond the end of the file")
        return first, size

    def _options(self, name: str, op: Any) -> dict[str, int]:
        if name not in _OPTIONS or op.BuiltinOptions() is None:
            return {}
        kind, keys = _OPTIONS[name]
        options = getattr(self._schema, kind)()
        options.Init(op.BuiltinOptions().Bytes, op.BuiltinOptions().Pos)
        return {key: int(getattr(options, key)()) for key in keys}

    def _numbers(self, length: int, whole: Any) -> tuple[Any, ...]:
        self._count(length)
        return tuple(whole().tolist()) if length else ()

    def _count(self, length: int) -> Iterator[int]:
        self._left -= length
        if self._left < 0:
            raise ValueError("a length is greater than the file")
        return iter(range(length))

    def _text(self, content: bytes | None) -> str:
        self._count(len(content or b""))
        return (content or b"").decode("utf-8")

    def _name(self, kind: type, number: int) -> str:
        names = _names(kind)
        if number not in names:
            raise ValueError(f"{number} is not a known {kind.__name__}")
        return names[number]


@functools.cache
def _names(kind: type) -> dict[int, str]:
    """Map the values of a schema enumeration to their names.

    A value with several names gets the first of them.
    """
    result: dict[int, str] = {}
    for name, value in vars(kind).items():
        if isinstance(value, int) and not name.startswith("_"):
            result.setdefault(value, name)
    return result
