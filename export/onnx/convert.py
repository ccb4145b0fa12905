"""ONNX: float32 by tf2onnx, and int8 in QDQ form by ONNX Runtime's static quantisation.

Weights take all 8 bits. On x86 without VNNI, ONNX Runtime adds products of 8-bit pairs in 16 bits, which overflow; our
engine asks it not to (`runtime.engine_onnx`). Other programs must do the same: ``session.x64quantprecision`` = 1.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.system.native_output import suppress_native_stderr
from ..errors import ExportError
from ..tflite.calibration_ranges import PERCENTILE
from .calibration_ranges import least_error_ranges

METHODS = ("min-max", "percentile", "mse", "entropy")
IN_MEMORY_METHODS = ("percentile", "entropy")
OPSET = 17
MAX_PIXELS_IN_MEMORY = 1_500_000
"""Of pictures, for the methods (`IN_MEMORY_METHODS`) that keep every value of every tensor in memory until the end."""
WEIGHTED_OPS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def to_onnx(saved_model: Path) -> bytes:
    """Convert a SavedModel of batch 1; its input becomes raw uint8 pixels, whatever it was.

    Raises:
        ExportError: a package is missing, or the network cannot be converted.
    """
    try:
        import tensorflow as tf
        import tf2onnx
    except ImportError as problem:
        raise ExportError(f"ONNX needs {problem.name}: pip install 'galaxy-edge[export]'") from None
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    try:
        with suppress_native_stderr():
            loaded = tf.saved_model.load(str(saved_model))
            network = loaded.signatures["serving_default"]
            ((name, spec),) = network.structured_input_signature[1].items()

            @tf.function(input_signature=[tf.TensorSpec(spec.shape, tf.uint8, name="image")])
            def raw(image: Any) -> Any:
                return network(**{name: tf.cast(image, spec.dtype)})

            model, _ = tf2onnx.convert.from_function(raw, raw.input_signature, opset=OPSET)
    except (OSError, KeyError, ValueError, RuntimeError, TypeError) as problem:
        raise ExportError(f"{saved_model} cannot be converted to ONNX: {problem}") from problem
    return _with_numbered_names(model).SerializeToString()


def tflite_to_onnx(content: bytes) -> bytes:
    """Convert a float TFLite file; its input stays float32.

    Raises:
        ExportError: tf2onnx is missing, or the network cannot be converted.
    """
    try:
        import tf2onnx
    except ImportError as problem:
        raise ExportError(f"ONNX needs {problem.name}: pip install 'galaxy-edge[export]'") from None
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.tflite"
        path.write_bytes(content)
        try:
            with suppress_native_stderr(), contextlib.redirect_stdout(io.StringIO()):
                model, _ = tf2onnx.convert.from_tflite(str(path), opset=OPSET)
        except (OSError, KeyError, ValueError, RuntimeError, TypeError) as problem:
            raise ExportError(f"the network cannot be converted to ONNX: {problem}") from problem
    return _with_numbered_names(model).SerializeToString()


def quantise_onnx(content: bytes, pictures: np.ndarray, method: str) -> bytes:
    """Quantise a float ONNX network to int8 in QDQ form: weights for each channel, activations as a whole.

    Args:
        content: the float file; pictures: (n, H, W, 3) uint8 network inputs; method: one of `METHODS`.

    Raises:
        ExportError: ONNX Runtime is missing, or cannot do it.
    """
    try:
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as problem:
        raise ExportError(f"ONNX int8 needs {problem.name}: pip install 'galaxy-edge[export]'") from None
    if method in IN_MEMORY_METHODS:
        most = max(1, MAX_PIXELS_IN_MEMORY // (pictures.shape[1] * pictures.shape[2]))
        pictures = pictures[np.linspace(0, len(pictures) - 1, min(most, len(pictures))).astype(int)]
    kinds = {"percentile": CalibrationMethod.Percentile, "entropy": CalibrationMethod.Entropy}
    with tempfile.TemporaryDirectory() as folder:
        first, ready, last = (str(Path(folder) / name) for name in ("first.onnx", "ready.onnx", "last.onnx"))
        Path(first).write_bytes(content)
        try:
            with suppress_native_stderr(), contextlib.redirect_stdout(io.StringIO()), _quiet_logging():
                quant_pre_process(first, ready, skip_symbolic_shape=True)
                Path(ready).write_bytes(_with_unshared_weights(Path(ready).read_bytes()))
                options: dict[str, Any] = {"CalibPercentile": PERCENTILE} if method == "percentile" else {}
                if method == "mse":
                    options["TensorQuantOverrides"] = least_error_ranges(
                        Path(ready).read_bytes(), _CalibrationReader(content, pictures).get_next
                    )
                quantize_static(
                    ready,
                    last,
                    _CalibrationReader(content, pictures),
                    quant_format=QuantFormat.QDQ,
                    per_channel=True,
                    activation_type=QuantType.QUInt8,
                    weight_type=QuantType.QInt8,
                    calibrate_method=kinds.get(method, CalibrationMethod.MinMax),
                    extra_options=options,
                )
        except (OSError, KeyError, ValueError, RuntimeError, TypeError) as problem:
            raise ExportError(f"the network cannot be quantised to ONNX int8: {problem}") from problem
        return Path(last).read_bytes()


def describe_onnx(content: bytes, names: list[str]) -> list[dict[str, Any]]:
    """Find the outputs of a file by their names.

    Returns:
        One table an output, in the order of `names`: name, tensor, shape, dtype.

    Raises:
        ExportError: one is missing.
    """
    from ...runtime.inference.onnx_engine import OUTPUTS, session

    outputs = {tensor.name: tensor for tensor in session(content, "the ONNX file").get_outputs()}
    missing = [name for name in names if name not in outputs]
    if missing:
        raise ExportError(f"the network has no output {', '.join(missing)}; it has {', '.join(outputs)}")
    return [
        {
            "name": name,
            "tensor": name,
            "shape": [int(n) for n in outputs[name].shape],
            "dtype": OUTPUTS[outputs[name].type],
        }
        for name in names
    ]


def float_nodes(content: bytes) -> list[str]:
    """Name the weighted operators of an ONNX file that do not take quantised values; an int8 network has none."""
    import onnx

    graph = onnx.load_model_from_string(content).graph
    made = {output: node.op_type for node in graph.node for output in node.output}
    return [
        node.name or node.output[0]
        for node in graph.node
        if node.op_type in WEIGHTED_OPS and any(made.get(name) != "DequantizeLinear" for name in node.input[:2])
    ]


class _CalibrationReader:
    """Hands calibration pictures to ONNX Runtime, and two flat ones that pin the input to 0..255."""

    def __init__(self, content: bytes, pictures: np.ndarray) -> None:
        from ...runtime.inference.onnx_engine import INPUTS, session

        entry = session(content, "the ONNX file").get_inputs()[0]
        flat = np.stack([np.full(pictures.shape[1:], level, np.uint8) for level in (0, 255)])
        self._feeds: Iterator[dict[str, np.ndarray]] = (
            {entry.name: picture[None].astype(INPUTS[entry.type])} for picture in (*pictures, *flat)
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._feeds, None)


def _with_unshared_weights(content: bytes) -> bytes:
    """Give every weighted operator weights of its own.

    The layers of a head that is shared by all levels have theirs in common; ONNX Runtime, asked for exact sums, changes
    the weights of each in place and fails at the second ("Attempt to replace the existing tensor").
    """
    import onnx

    model = onnx.load_model_from_string(content)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    taken: set[str] = set()
    for number, node in enumerate(model.graph.node):
        for place, name in enumerate(node.input):
            if node.op_type in WEIGHTED_OPS and name in weights:
                if name in taken:
                    twin = onnx.TensorProto.FromString(weights[name].SerializeToString())
                    twin.name = node.input[place] = f"{name}_{number}"
                    model.graph.initializer.append(twin)
                taken.add(name)
    return bytes(model.SerializeToString())


@contextlib.contextmanager
def _quiet_logging() -> Iterator[None]:
    """Silence what the quantiser logs; its errors are raised as ever."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _with_numbered_names(model: Any) -> Any:
    """Number everything inside in the order in which it is used: tf2onnx counts over the whole process."""
    graph = model.graph
    plain = {tensor.name: tensor.name for tensor in (*graph.input, *graph.output)} | {"": ""}
    for node in graph.node:
        for name in (*node.input, *node.output):
            plain.setdefault(name, f"t{len(plain)}")
    for number, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{number}"
        node.input[:] = [plain[name] for name in node.input]
        node.output[:] = [plain[name] for name in node.output]
    weights = sorted((one for one in graph.initializer if one.name in plain), key=lambda one: int(plain[one.name][1:]))
    for one in weights:
        one.name = plain[one.name]
    kept = [type(one).FromString(one.SerializeToString()) for one in weights]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    del graph.value_info[:]
    del model.metadata_props[:]
    graph.doc_string = ""
    return model
