"""Turn a run's SavedModel into TFLite: float32, and full int8 by post-training quantisation.

The network takes raw RGB levels 0..255; normalisation is in the graph. In int8 the input is uint8 with scale 1, so the
pixels go in as they are, and every tensor inside is integer.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..runtime.native import quiet_native


class ExportError(UserError):
    """An export that cannot go on; the message says why and what to do."""


def to_tflite(saved_model: Path, calibration: np.ndarray | None) -> bytes:
    """Convert a SavedModel of batch 1.

    Args:
        saved_model: folder with the signature ``serving_default``.
        calibration: (n, H, W, 3) uint8 network inputs for int8; None for float32.

    Raises:
        ExportError: TensorFlow is missing, or the network cannot be converted.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import tensorflow as tf
    except ImportError:
        raise ExportError("export needs TensorFlow: pip install 'galaxy-edge[export]'") from None
    from tensorflow.lite.python.convert_phase import ConverterError

    try:
        with quiet_native():
            converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
            if calibration is not None:
                _ask_for_int8(tf, converter, calibration, _input_dtype(tf, saved_model))
            return converter.convert()
    except (ConverterError, OSError, KeyError, ValueError, RuntimeError) as problem:
        reason = next((line for line in str(problem).splitlines() if line.strip()), repr(problem))
        raise ExportError(f"{saved_model} cannot be converted to TFLite: {reason}") from problem


def _ask_for_int8(tf: Any, converter: Any, calibration: np.ndarray, dtype: Any) -> None:
    """Set a converter up for full int8, calibrated on (n, H, W, 3) uint8 pictures."""
    # Two flat pictures pin the input range to 0..255, so that its scale is 1 and pixels need no arithmetic.
    flat = [np.full(calibration.shape[1:], level, np.uint8) for level in (0, 255)]

    def pictures() -> Iterator[list[np.ndarray]]:
        for picture in [*calibration, *flat]:
            yield [picture[None].astype(dtype)]

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = pictures
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.int8


def _input_dtype(tf: Any, saved_model: Path) -> Any:
    loaded = tf.saved_model.load(str(saved_model))
    (tensor,) = loaded.signatures["serving_default"].structured_input_signature[1].values()
    return tensor.dtype.as_numpy_dtype


def describe_outputs(content: bytes, names: list[str]) -> list[dict[str, Any]]:
    """Find which tensor is which output, by the signature that the converter wrote into the file.

    Returns:
        One table an output, in the order of `names`: name, tensor, shape, dtype.
    """
    from ai_edge_litert.interpreter import Interpreter

    with quiet_native():
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
    """Name every float tensor in a TFLite file; an int8 network has none. Delegates are off, so all are seen."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=content, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    return [
        tensor["name"] for tensor in interpreter.get_tensor_details()
        if np.issubdtype(tensor["dtype"], np.floating)
    ]


def input_is_raw(content: bytes) -> bool:
    """Tell whether the input is uint8 with scale 1 and zero point 0: pixels as they are."""
    from ai_edge_litert.interpreter import Interpreter

    tensor = Interpreter(model_content=content).get_input_details()[0]
    scale, zero_point = tensor["quantization"]
    return tensor["dtype"] == np.uint8 and abs(scale - 1.0) < 1e-6 and zero_point == 0
