"""Turn a run's SavedModel into TFLite: float32, and full int8 by post-training quantisation.

The network takes raw RGB levels 0..255; normalisation is in the graph. In int8 the input is uint8 with scale 1, so the
pixels go in as they are, and every tensor inside is integer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.system.native_output import suppress_native_stderr
from ..errors import ExportError
from .calibration_ranges import measure_ranges
from .quantise import quantise
from .reader import FLOAT_DTYPES, Tensor, read_tflite


def to_tflite(saved_model: Path, calibration: np.ndarray | None) -> bytes:
    """Convert a SavedModel of batch 1.

    Args:
        saved_model: folder with the signature ``serving_default``.
        calibration: (n, H, W, 3) uint8 network inputs for int8; None for float32.

    Raises:
        ExportError: TensorFlow is missing, or the network cannot be converted.
    """
    content = convert_saved_model(saved_model)
    return content if calibration is None else quantise(content, measure_ranges(content, calibration, "mse"))


def convert_saved_model(saved_model: Path, custom: bool = False) -> bytes:
    """Convert a SavedModel of batch 1 to float TFLite; `custom` lets operators of other people in."""
    try:
        import tensorflow as tf
    except ImportError:
        raise ExportError("export needs TensorFlow: pip install 'galaxy-edge[export]'") from None
    from tensorflow.lite.python.convert_phase import ConverterError

    try:
        with suppress_native_stderr():
            converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
            converter.allow_custom_ops = custom
            return converter.convert()
    except (ConverterError, tf.errors.OpError, OSError, LookupError, ValueError, RuntimeError) as problem:
        reason = next((line for line in str(problem).splitlines() if line.strip()), repr(problem))
        raise ExportError(f"{saved_model} cannot be converted to TFLite: {reason}") from problem


def describe_outputs(content: bytes, names: list[str]) -> list[dict[str, Any]]:
    """Find which tensor is which output, by the signature that the converter wrote into the file.

    Returns:
        One table an output, in the order of `names`: name, tensor, shape, dtype.
    """
    from ai_edge_litert.interpreter import Interpreter

    with suppress_native_stderr():
        interpreter = Interpreter(model_content=content)
    details = interpreter.get_signature_runner().get_output_details()
    missing = [name for name in names if name not in details]
    if missing:
        raise ExportError(f"the network has no output {', '.join(missing)}; it has {', '.join(details)}")
    return [
        {
            "name": name,
            "tensor": details[name]["name"],
            "shape": [int(n) for n in details[name]["shape"]],
            "dtype": np.dtype(details[name]["dtype"]).name,
        }
        for name in names
    ]


def float_tensors(content: bytes) -> list[str]:
    """Name every float tensor in a TFLite file; an int8 network has none."""
    return [
        tensor.name for graph in read_tflite(content).graphs for tensor in graph.tensors if tensor.dtype in FLOAT_DTYPES
    ]


def input_is_raw(content: bytes) -> bool:
    """Tell whether the input takes levels as they are: uint8 with scale 1 and zero point 0, or int8 with -128."""
    graph = read_tflite(content).graph
    if len(graph.inputs) != 1:
        return False
    tensor: Tensor = graph.tensors[graph.inputs[0]]
    zero_point = {"uint8": 0, "int8": -128}.get(tensor.dtype)
    return (
        len(tensor.scales) == 1
        and abs(float(tensor.scales[0]) - 1.0) < 1e-6
        and tensor.zero_points.tolist() == [zero_point]
    )
