"""Which layers lose most in int8: every computed tensor of the int8 network beside the float one's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .calibration_ranges import activations
from .reader import read_tflite


@dataclass(frozen=True)
class LayerError:
    """A layer's error.

    Attributes:
        layer: the tensor's name in both files; op: what computes it; shape: its shape.
        relative: root mean square error over the root mean square of the float values.
        largest: largest error, in the units of the float values.
    """

    layer: str
    op: str
    shape: list[int]
    relative: float
    largest: float


def layer_errors(before: bytes, after: bytes, pictures: np.ndarray) -> list[LayerError]:
    """Compare a quantised file with the float one it was made of, tensor by tensor.

    The error of a layer holds what the layers before it lost.

    Args:
        before, after: the float and the quantised TFLite file; pictures: (n, H, W, 3) uint8 network inputs.

    Returns:
        The layers that both have, the worst first.
    """
    squares: dict[str, list[tuple[float, float, float]]] = {}
    for exact, rounded in zip(activations(before, pictures), activations(after, pictures), strict=True):
        for name in exact.keys() & rounded.keys():
            if exact[name].shape == rounded[name].shape:
                wrong = np.abs(rounded[name] - exact[name])
                squares.setdefault(name, []).append(
                    (float(np.mean(wrong**2)), float(np.mean(exact[name] ** 2)), float(wrong.max()))
                )
    graph = read_tflite(before).graph
    errors = []
    for op in graph.ops:
        for tensor in (graph.tensors[number] for number in op.outputs if number >= 0):
            if tensor.name in squares:
                wrong, size, largest = np.asarray(squares[tensor.name]).T
                relative = float(np.sqrt(wrong.mean() / max(size.mean(), 1e-20)))
                errors.append(
                    LayerError(
                        tensor.name, op.name, list(tensor.shape), round(relative, 6), round(float(largest.max()), 6)
                    )
                )
    return sorted(errors, key=lambda error: -error.relative)
