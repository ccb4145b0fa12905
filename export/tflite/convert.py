"""Convert a SavedModel to float32 TFLite.

Inputs and outputs of TFLite files are described here too.

Networks take raw RGB levels 0..255; normalisation is in the graph. An int8 input is uint8 with scale 1 (or int8 with
zero point -128), so that pixels need no arithmetic.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...extras import extra_command
from ...models.manifest import OutputSpec
from ...runtime.system.native_output import suppress_native_stderr
from ..errors import ExportError
from .reader import Tensor, read_tflite


def convert_saved_model(saved_model: Path, custom: bool = False) -> bytes:
    """Convert a SavedModel of batch size 1 to float TFLite.

    `custom` allows custom operators.
    """
    try:
        import tensorflow as tf
    except ImportError:
        raise ExportError(f"export needs TensorFlow: {extra_command('export')}") from None
    from tensorflow.lite.python.convert_phase import ConverterError

    try:
        with suppress_native_stderr():
            converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
            converter.allow_custom_ops = custom
            return bytes(converter.convert())
    except (ConverterError, tf.errors.OpError, OSError, LookupError, ValueError, RuntimeError) as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), repr(error))
        raise ExportError(f"{saved_model} cannot be converted to TFLite: {reason}") from error


def describe_outputs(content: bytes, names: list[str]) -> list[OutputSpec]:
    """Describe the outputs with the given names, in their order.

    They are found by the signature that the converter wrote.

    Raises:
        ExportError: an output is missing.
    """
    from ai_edge_litert.interpreter import Interpreter

    with suppress_native_stderr():
        interpreter = Interpreter(model_content=content)
    details = interpreter.get_signature_runner().get_output_details()
    missing = [name for name in names if name not in details]
    if missing:
        raise ExportError(f"the network has no output {', '.join(missing)}; it has {', '.join(details)}")
    return [
        OutputSpec(
            name,
            details[name]["name"],
            tuple(int(n) for n in details[name]["shape"]),
            np.dtype(details[name]["dtype"]).name,
        )
        for name in names
    ]


def input_is_raw(content: bytes) -> bool:
    """Return whether the input takes raw levels.

    It does with scale 1, and uint8 with zero point 0 or int8 with -128.
    """
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
