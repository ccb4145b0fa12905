"""Bias correction: give back to every channel the mean that quantisation took from it."""

from __future__ import annotations

import numpy as np

from .ranges import activations
from .tflite_file import Graph, read_tflite
from .writing import spread

PICTURES = 64
PASSES = 3
"""Correcting a layer changes what the next ones are given, so means are measured again."""
WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def correct_biases(before: bytes, after: bytes, calibration: np.ndarray) -> bytes:
    """Shift the int32 biases of an int8 file by the mean error of every output channel.

    Only the biases' bytes are written anew, in their place. A layer with an activation behind it is corrected by what
    is seen after the activation, which is less than what was lost.

    Args:
        before, after: the float and the int8 TFLite file; calibration: (n, H, W, 3) uint8 network inputs.
    """
    content = bytearray(after)
    pictures = spread(calibration, min(PICTURES, len(calibration)))
    exact = _means(before, pictures)
    graph = read_tflite(after).graph
    layers = [(op.outputs[0], op.inputs[2]) for op in graph.ops
              if op.name in WEIGHTED and len(op.inputs) > 2 and op.inputs[2] >= 0]
    places = [graph.tensors[bias].constant for _, bias in layers]
    shared = {place for place in places if places.count(place) > 1}
    for _ in range(PASSES):
        found = _means(bytes(content), pictures)
        for output, bias in layers:
            name = graph.tensors[output].name
            if graph.tensors[bias].constant not in shared and name in exact and name in found:
                _shift(content, graph, bias, exact[name] - found[name])
    return bytes(content)


def _means(content: bytes, pictures: np.ndarray) -> dict[str, np.ndarray]:
    """Mean of every channel of every computed tensor."""
    sums: dict[str, np.ndarray] = {}
    for values in activations(content, pictures):
        for name, value in values.items():
            mean = value.reshape(-1, value.shape[-1]).mean(axis=0, dtype=np.float64) if value.ndim else value
            sums[name] = sums.get(name, 0.0) + mean
    return {name: total / len(pictures) for name, total in sums.items()}


def _shift(content: bytearray, graph: Graph, number: int, by: np.ndarray) -> None:
    bias = graph.tensors[number]
    if bias.dtype != "int32" or bias.constant is None or not len(bias.scales) or bias.shape != by.shape:
        return
    first, size = bias.constant
    values = np.frombuffer(bytes(content[first : first + size]), "<i4").astype(np.int64)
    values += np.round(by / bias.scales).astype(np.int64)
    limits = np.iinfo(np.int32)
    content[first : first + size] = np.clip(values, limits.min, limits.max).astype("<i4").tobytes()
