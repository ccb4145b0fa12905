"""Calibration: between which values each tensor of a network lies, measured on pictures.

``min-max`` takes the extremes; ``percentile`` leaves out the rarest values, one in ten thousand at either
end; ``mse`` takes the range whose 256 levels represent the values with the least squared error. See Nagel et
al. 2021, arXiv:2106.08295, section 3.1. What leaves the network keeps its extremes with every method: among a
detector's scores the rarest are the galaxies.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np

from ..errors import ExportError
from .reader import POSTPROCESS, Graph, read_tflite

METHODS = ("min-max", "percentile", "mse")
PERCENTILE = 99.99
SAMPLES_PER_IMAGE = 512
"""So many values of a tensor are drawn from each picture, for the methods that need more than extremes."""
LEVELS = 256
RANGE_SHARES = np.linspace(0.4, 1.0, 31)
"""Shares of the full range among which ``mse`` chooses."""

PASSTHROUGH_OPS = ("RESHAPE", "CONCATENATION", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "PACK")
"""Operators that hand values on as they are."""

Ranges = dict[str, tuple[float, float]]


def measure_ranges(content: bytes, pictures: np.ndarray, method: str = "min-max") -> Ranges:
    """Measure the range of every computed float tensor of a float TFLite network.

    Args:
        content: the file, with one input (1, H, W, 3) float32 that takes levels 0..255.
        pictures: (n, H, W, 3) uint8; method: one of `METHODS`.

    Returns:
        Tensor name -> lowest, highest value; 0 is always within. That of the input is 0..255, so that its scale is 1
        and pixels need no arithmetic.

    Raises:
        ExportError: a tensor holds what is no number: the training has diverged.
    """
    extremes: dict[str, list[tuple[float, float]]] = {}
    kept: dict[str, list[np.ndarray]] = {}
    rng = np.random.default_rng(1)
    for values in activations(content, pictures):
        for name, value in values.items():
            extremes.setdefault(name, []).append((float(value.min()), float(value.max())))
            if method != "min-max":
                # Drawn, not every n-th: channels come last, and a step over them would always meet the same ones.
                kept.setdefault(name, []).append(value.reshape(-1)[rng.integers(0, value.size, SAMPLES_PER_IMAGE)])
    ranges = {}
    graph = read_tflite(content).graph
    whole = _output_tensors(graph)
    # Of a list of detections only the first `num_detections` are written; the rest may be anything.
    unread = {graph.tensors[number].name for op in graph.ops if op.name == POSTPROCESS for number in op.outputs}
    for name, pairs in extremes.items():
        low, high = min(pair[0] for pair in pairs), max(pair[1] for pair in pairs)
        if name not in unread and not np.isfinite(pairs).all():
            raise ExportError(f"the network cannot be quantised: {name} has values that are not finite; train it anew")
        if name in whole:
            pass
        elif method == "percentile":
            low, high = np.percentile(np.concatenate(kept[name]), (100 - PERCENTILE, PERCENTILE))
        elif method == "mse":
            low, high = least_error_range(np.concatenate(kept[name]), low, high)
        ranges[name] = (min(float(low), 0.0), max(float(high), 0.0))
    return ranges | {graph.tensors[number].name: (0.0, 255.0) for number in graph.inputs}


def activations(content: bytes, pictures: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
    """Run a TFLite network on pictures (n, H, W, 3) uint8; yield every computed tensor of each by name.

    Float tensors come as they are, quantised ones as the real values they stand for. The arrays are valid until the
    next picture.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    from ...runtime.system.native_output import suppress_native_stderr

    with suppress_native_stderr(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*experimental_preserve_all_tensors")  # it costs memory: known
        # Without the delegate, which would fuse operators and leave their inner tensors empty.
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
    for picture in pictures:
        pixels = picture[None]
        if entry["dtype"] == np.int8:
            pixels = (pixels ^ 0x80).view(np.int8)
        interpreter.set_tensor(entry["index"], pixels.astype(entry["dtype"], copy=False))
        interpreter.invoke()
        values = {}
        for number, tensor in chosen:
            value = interpreter.get_tensor(number)
            if len(tensor.scales) == 1:
                value = (value.astype(np.float32) - np.float32(tensor.zero_points[0])) * tensor.scales[0]
            if value.dtype == np.float32 and value.size:
                values[tensor.name] = value
        yield values


def _output_tensors(graph: Graph) -> set[str]:
    """Name the tensors whose values leave the network as they are."""
    numbers = set(graph.outputs)
    for op in reversed(graph.ops):
        if op.name in PASSTHROUGH_OPS and numbers & set(op.outputs):
            numbers |= set(op.inputs)
    return {graph.tensors[number].name for number in numbers if number >= 0}


def least_error_range(values: np.ndarray, low: float, high: float) -> tuple[float, float]:
    """Choose the range within low..high, 0 in it, whose 256 levels represent values with the least squared error."""
    low, high = min(low, 0.0), max(high, 0.0)
    best, least = (low, high), np.inf
    for share in RANGE_SHARES:
        bottom, top = low * share, high * share
        step = max((top - bottom) / (LEVELS - 1), 1e-12)
        rounded = np.clip(np.round((values - bottom) / step), 0, LEVELS - 1) * step + bottom
        error = float(np.mean((rounded - values) ** 2))
        if error <= least:  # of equals the widest
            best, least = (bottom, top), error
    return best
