"""Ranges of least squared error for ONNX, as `ranges` finds them for TFLite: ONNX Runtime has no such method itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..tflite.calibration_ranges import SAMPLES_PER_IMAGE, least_error_range

Overrides = dict[str, list[dict[str, np.ndarray]]]


def least_error_ranges(content: bytes, feeds: Callable[[], dict[str, np.ndarray] | None]) -> Overrides:
    """Measure every computed float tensor of an ONNX network on calibration inputs.

    Args:
        content: the float file with inferred shapes; feeds: gives one input of the network a call, None at the end.

    Returns:
        Tensor -> its range, as ``TensorQuantOverrides`` of ONNX Runtime's quantiser. Inputs and outputs of the network
        are not among them: those keep their extremes.
    """
    import onnx

    from ...runtime.inference.onnx_engine import session

    model = onnx.load_model_from_string(content)
    ends = {one.name for one in model.graph.output}
    floats = [
        one.name
        for one in model.graph.value_info
        if one.type.tensor_type.elem_type == onnx.TensorProto.FLOAT and one.name not in ends
    ]
    model.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in floats)
    network = session(model.SerializeToString(), "the ONNX file")
    extremes: dict[str, list[tuple[float, float]]] = {name: [] for name in floats}
    kept: dict[str, list[np.ndarray]] = {name: [] for name in floats}
    rng = np.random.default_rng(1)
    while (feed := feeds()) is not None:
        for name, value in zip(floats, network.run(floats, feed), strict=True):
            if value.size:
                extremes[name].append((float(value.min()), float(value.max())))
                kept[name].append(value.reshape(-1)[rng.integers(0, value.size, SAMPLES_PER_IMAGE)])
    return {name: _override(np.asarray(extremes[name]), kept[name]) for name in floats if extremes[name]}


def _override(extremes: np.ndarray, kept: list[np.ndarray]) -> list[dict[str, Any]]:
    low, high = least_error_range(np.concatenate(kept), float(extremes[:, 0].min()), float(extremes[:, 1].max()))
    return [{"rmin": np.float32(low), "rmax": np.float32(high)}]
