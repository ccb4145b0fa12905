"""Calibration ranges of least squared error for ONNX.

ONNX Runtime does not offer them.

The method is that of `export.tflite.calibration_ranges`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..tflite.calibration_ranges import SAMPLES_PER_IMAGE, least_error_range

Overrides = dict[str, list[dict[str, np.ndarray]]]


def least_error_ranges(content: bytes, feeds: Callable[[], dict[str, np.ndarray] | None]) -> Overrides:
    """Measure every computed float tensor of an ONNX network on calibration inputs.

    Args:
        content: the float file with inferred shapes; feeds: returns one network input per call, None at the end.

    Returns:
        Tensor -> its range, as ``TensorQuantOverrides`` of ONNX Runtime's quantiser. Inputs and outputs of the network
        are not included: they keep their extremes.
    """
    import onnx

    from ...runtime.inference.onnx_engine import session

    model = onnx.load_model_from_string(content)
    outputs = {value.name for value in model.graph.output}
    floats = [
        value.name
        for value in model.graph.value_info
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT and value.name not in outputs
    ]
    model.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in floats)
    network = session(model.SerializeToString(), "the ONNX file")
    extremes: dict[str, list[tuple[float, float]]] = {name: [] for name in floats}
    samples: dict[str, list[np.ndarray]] = {name: [] for name in floats}
    rng = np.random.default_rng(1)
    while (feed := feeds()) is not None:
        for name, value in zip(floats, network.run(floats, feed), strict=True):
            if value.size:
                extremes[name].append((float(value.min()), float(value.max())))
                samples[name].append(value.reshape(-1)[rng.integers(0, value.size, SAMPLES_PER_IMAGE)])
    return {name: _override(np.asarray(extremes[name]), samples[name]) for name in floats if extremes[name]}


def _override(extremes: np.ndarray, samples: list[np.ndarray]) -> list[dict[str, Any]]:
    low, high = least_error_range(np.concatenate(samples), float(extremes[:, 0].min()), float(extremes[:, 1].max()))
    return [{"rmin": np.float32(low), "rmax": np.float32(high)}]
