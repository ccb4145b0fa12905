"""Measure the int8 error of every layer.

Each computed tensor is compared with that of the float network.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .calibration_ranges import activations
from .reader import read_tflite


@dataclass(frozen=True)
class LayerError:
    """The error of a layer.

    Attributes:
        layer: the tensor's name in both files; op: the operator that computes it; shape: its shape.
        relative: root mean square error over the root mean square of the float values.
        largest: maximum error, in the units of the float values.
    """

    layer: str
    op: str
    shape: list[int]
    relative: float
    largest: float


def layer_errors(before: bytes, after: bytes, images: np.ndarray) -> list[LayerError]:
    """Compare a quantised file with its float file, tensor by tensor.

    The error of a layer includes those of the layers before it.

    Args:
        before, after: the float and the quantised TFLite file; images: (n, H, W, 3) uint8 network inputs.

    Returns:
        The layers that both files have, the largest error first.
    """
    squares: dict[str, list[tuple[float, float, float]]] = {}
    for exact, rounded in zip(activations(before, images), activations(after, images), strict=True):
        for name in exact.keys() & rounded.keys():
            if exact[name].shape == rounded[name].shape:
                error = np.abs(rounded[name] - exact[name])
                squares.setdefault(name, []).append(
                    (float(np.mean(error**2)), float(np.mean(exact[name] ** 2)), float(error.max()))
                )
    graph = read_tflite(before).graph
    errors = []
    for op in graph.ops:
        for tensor in (graph.tensors[index] for index in op.outputs if index >= 0):
            if tensor.name in squares:
                error, size, largest = np.asarray(squares[tensor.name]).T
                relative = float(np.sqrt(error.mean() / max(size.mean(), 1e-20)))
                errors.append(
                    LayerError(
                        tensor.name, op.name, list(tensor.shape), round(relative, 6), round(float(largest.max()), 6)
                    )
                )
    return sorted(errors, key=lambda layer: -layer.relative)
