"""Calibration: measure the range of values of each tensor of a network on images.

``min-max`` takes the extremes; ``percentile`` cuts off one value in ten thousand at either end; ``mse`` takes the range
whose 256 levels represent the values with the least squared error. See Nagel et al. 2021, arXiv:2106.08295, section
3.1. The network's outputs keep their extremes with every method, because a detector's rarest scores are those of
galaxies.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from ...runtime.system.native_output import suppress_native_stderr
from ..errors import ExportError
from .reader import POSTPROCESS, Graph, read_tflite

METHODS = ("min-max", "percentile", "mse")
PERCENTILE = 99.99
SAMPLES_PER_IMAGE = 512
"""Number of values of each tensor sampled from each image, for methods that need more than the extremes."""
LEVELS = 256
RANGE_SHARES = np.linspace(0.4, 1.0, 31)
"""Shares of the full range that ``mse`` tries."""

PASSTHROUGH_OPS = ("RESHAPE", "CONCATENATION", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "PACK")
"""Operators that do not change values."""

Ranges = dict[str, tuple[float, float]]


def measure_ranges(content: bytes, images: np.ndarray, method: str = "min-max") -> Ranges:
    """Measure the range of every computed float tensor of a float TFLite network.

    Args:
        content: the file, with one input (1, H, W, 3) float32 of levels 0..255.
        images: (n, H, W, 3) uint8; method: one of `METHODS`.

    Returns:
        Tensor name -> (minimum, maximum); the range always contains 0. The input's is 0..255, so that its scale is 1
        and pixels need no arithmetic.

    Raises:
        ExportError: a tensor has values that are not finite: the training has diverged.
    """
    extremes: dict[str, list[tuple[float, float]]] = {}
    samples: dict[str, list[np.ndarray]] = {}
    rng = np.random.default_rng(1)
    for values in activations(content, images):
        for name, value in values.items():
            extremes.setdefault(name, []).append((float(value.min()), float(value.max())))
            if method != "min-max":
                # At random: channels are the last axis, so a fixed step would always select the same channels.
                samples.setdefault(name, []).append(value.reshape(-1)[rng.integers(0, value.size, SAMPLES_PER_IMAGE)])
    ranges = {}
    graph = read_tflite(content).graph
    outputs = _output_tensors(graph)
    # Only the first `num_detections` entries of a list of detections are defined.
    undefined = {graph.tensors[number].name for op in graph.ops if op.name == POSTPROCESS for number in op.outputs}
    for name, pairs in extremes.items():
        low, high = min(pair[0] for pair in pairs), max(pair[1] for pair in pairs)
        if name not in undefined and not np.isfinite(pairs).all():
            raise ExportError(f"the network cannot be quantised: {name} has values that are not finite; train it again")
        if name in outputs:
            pass
        elif method == "percentile":
            low, high = np.percentile(np.concatenate(samples[name]), (100 - PERCENTILE, PERCENTILE))
        elif method == "mse":
            low, high = least_error_range(np.concatenate(samples[name]), low, high)
        ranges[name] = (min(float(low), 0.0), max(float(high), 0.0))
    return ranges | {graph.tensors[number].name: (0.0, 255.0) for number in graph.inputs}


@contextmanager
def suppress_interpreter_notes() -> Iterator[None]:
    """Hide LiteRT's output, and its warning about memory.

    The warning says that keeping all tensors takes memory, which is intended here.
    """
    with suppress_native_stderr(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*experimental_preserve_all_tensors")
        yield


def activations(content: bytes, images: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
    """Run a TFLite network on images (n, H, W, 3) uint8.

    Yield every computed tensor of each image by name.

    Quantised tensors are dequantised. The arrays are valid until the next image.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    with suppress_interpreter_notes():
        # The default delegate would fuse operators and leave their inner tensors empty.
        interpreter = Interpreter(
            model_content=content,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
    entry = interpreter.get_input_details()[0]
    graph = read_tflite(content).graph
    computed = sorted({number for op in graph.ops for number in op.outputs if number >= 0} | set(graph.inputs))
    chosen = [(number, graph.tensors[number]) for number in computed]
    for image in images:
        pixels = image[None]
        if entry["dtype"] == np.int8:
            pixels = (pixels ^ 0x80).view(np.int8)
        interpreter.set_tensor(entry["index"], pixels.astype(entry["dtype"], copy=False))
        interpreter.invoke()
        values = {}
        for index, tensor in chosen:
            value = interpreter.get_tensor(index)
            if len(tensor.scales) == 1:
                value = (value.astype(np.float32) - np.float32(tensor.zero_points[0])) * tensor.scales[0]
            if value.dtype == np.float32 and value.size:
                values[tensor.name] = value
        yield values


def _output_tensors(graph: Graph) -> set[str]:
    """Return the names of tensors whose values are outputs of the network."""
    numbers = set(graph.outputs)
    for op in reversed(graph.ops):
        if op.name in PASSTHROUGH_OPS and numbers & set(op.outputs):
            numbers |= set(op.inputs)
    return {graph.tensors[number].name for number in numbers if number >= 0}


def least_error_range(values: np.ndarray, low: float, high: float) -> tuple[float, float]:
    """Return the range that represents values with the least squared error.

    It lies within low..high and contains 0.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    best, min_error = (low, high), np.inf
    for share in RANGE_SHARES:
        bottom, top = low * share, high * share
        step = max((top - bottom) / (LEVELS - 1), 1e-12)
        rounded = np.clip(np.round((values - bottom) / step), 0, LEVELS - 1) * step + bottom
        error = float(np.mean((rounded - values) ** 2))
        if error <= min_error:  # of equal errors, the widest range
            best, min_error = (bottom, top), error
    return best
