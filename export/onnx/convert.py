"""Convert networks to ONNX, in float32 and int8.

tf2onnx writes float32. ONNX Runtime's static quantisation writes int8 in QDQ format.

Weights use all 8 bits. On x86 without VNNI, ONNX Runtime adds products of 8-bit pairs in 16 bits, which can overflow;
our engine disables that (`runtime.inference.onnx_engine`). Other programs must too: ``session.x64quantprecision`` = 1.
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

from ...extras import extra_command
from ...models.manifest import OutputSpec
from ...runtime.system.native_output import suppress_native_stderr
from ..errors import ExportError
from ..tflite.calibration_ranges import PERCENTILE
from .calibration_ranges import least_error_ranges

METHODS = ("min-max", "percentile", "mse", "entropy")
IN_MEMORY_METHODS = ("percentile", "entropy")
OPSET = 17
MAX_PIXELS_IN_MEMORY = 1_500_000
"""Maximum pixels of calibration images for `IN_MEMORY_METHODS`, which keep every value of every tensor in memory."""
WEIGHTED_OPS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def to_onnx(saved_model: Path) -> bytes:
    """Convert a SavedModel of batch size 1.

    The input of the result is raw uint8 pixels.

    Raises:
        ExportError: a package is missing, or the network cannot be converted.
    """
    try:
        import tensorflow as tf
        import tf2onnx
    except ImportError as error:
        raise ExportError(f"ONNX needs {error.name}: {extra_command('export')}") from None
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    try:
        with suppress_native_stderr():
            loaded = tf.saved_model.load(str(saved_model))
            network = loaded.signatures["serving_default"]
            ((name, spec),) = network.structured_input_signature[1].items()

            @tf.function(input_signature=[tf.TensorSpec(spec.shape, tf.uint8, name="image")])  # type: ignore[untyped-decorator]
            def raw(image: Any) -> Any:
                return network(**{name: tf.cast(image, spec.dtype)})

            model, _ = tf2onnx.convert.from_function(raw, raw.input_signature, opset=OPSET)
    except (OSError, KeyError, ValueError, RuntimeError, TypeError) as error:
        raise ExportError(f"{saved_model} cannot be converted to ONNX: {error}") from error
    return bytes(_with_numbered_names(model).SerializeToString())


def tflite_to_onnx(content: bytes) -> bytes:
    """Convert a float TFLite file; its input stays float32.

    Raises:
        ExportError: tf2onnx is missing, or the network cannot be converted.
    """
    try:
        import tf2onnx
    except ImportError as error:
        raise ExportError(f"ONNX needs {error.name}: {extra_command('export')}") from None
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.tflite"
        path.write_bytes(content)
        try:
            with suppress_native_stderr(), contextlib.redirect_stdout(io.StringIO()):
                model, _ = tf2onnx.convert.from_tflite(str(path), opset=OPSET)
        except (OSError, KeyError, ValueError, RuntimeError, TypeError) as error:
            raise ExportError(f"the network cannot be converted to ONNX: {error}") from error
    return bytes(_with_numbered_names(model).SerializeToString())


def quantise_onnx(content: bytes, images: np.ndarray, method: str) -> bytes:
    """Quantise a float ONNX network to int8 in QDQ format.

    Weights are quantised per channel, activations per tensor.

    Args:
        content: the float file; images: (n, H, W, 3) uint8 network inputs; method: one of `METHODS`.

    Raises:
        ExportError: ONNX Runtime is missing or reports an error.
    """
    try:
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise ExportError(f"ONNX int8 needs {error.name}: {extra_command('export')}") from None
    if method in IN_MEMORY_METHODS:
        limit = max(1, MAX_PIXELS_IN_MEMORY // (images.shape[1] * images.shape[2]))
        images = images[np.linspace(0, len(images) - 1, min(limit, len(images))).astype(int)]
    methods = {"percentile": CalibrationMethod.Percentile, "entropy": CalibrationMethod.Entropy}
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
                        Path(ready).read_bytes(), _CalibrationReader(content, images).get_next
                    )
                quantize_static(
                    ready,
                    last,
                    _CalibrationReader(content, images),
                    quant_format=QuantFormat.QDQ,
                    per_channel=True,
                    activation_type=QuantType.QUInt8,
                    weight_type=QuantType.QInt8,
                    calibrate_method=methods.get(method, CalibrationMethod.MinMax),
                    extra_options=options,
                )
        except (OSError, KeyError, ValueError, RuntimeError, TypeError) as error:
            raise ExportError(f"the network cannot be quantised to ONNX int8: {error}") from error
        return Path(last).read_bytes()


def describe_onnx(content: bytes, names: list[str]) -> list[OutputSpec]:
    """Describe the outputs with the given names, in their order.

    Raises:
        ExportError: an output is missing.
    """
    from ...runtime.inference.onnx_engine import OUTPUTS, session

    outputs = {tensor.name: tensor for tensor in session(content, "the ONNX file").get_outputs()}
    missing = [name for name in names if name not in outputs]
    if missing:
        raise ExportError(f"the network has no output {', '.join(missing)}; it has {', '.join(outputs)}")
    return [
        OutputSpec(name, name, tuple(int(n) for n in outputs[name].shape), OUTPUTS[outputs[name].type])
        for name in names
    ]


def float_nodes(content: bytes) -> list[str]:
    """Return the names of weighted operators whose inputs are not quantised.

    An int8 network has none.
    """
    import onnx

    graph = onnx.load_model_from_string(content).graph
    producers = {output: node.op_type for node in graph.node for output in node.output}
    return [
        node.name or node.output[0]
        for node in graph.node
        if node.op_type in WEIGHTED_OPS and any(producers.get(name) != "DequantizeLinear" for name in node.input[:2])
    ]


class _CalibrationReader:
    """Reader of the calibration images for ONNX Runtime.

    It adds two constant images that fix the input's range to 0..255.
    """

    def __init__(self, content: bytes, images: np.ndarray) -> None:
        from ...runtime.inference.onnx_engine import INPUTS, session

        entry = session(content, "the ONNX file").get_inputs()[0]
        constant = np.stack([np.full(images.shape[1:], level, np.uint8) for level in (0, 255)])
        self._feeds: Iterator[dict[str, np.ndarray]] = (
            {entry.name: image[None].astype(INPUTS[entry.type])} for image in (*images, *constant)
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._feeds, None)


def _with_unshared_weights(content: bytes) -> bytes:
    """Copy weights that several operators share, so that each operator has its own.

    The layers of a head that all levels share have common weights; with ``session.x64quantprecision``, ONNX Runtime
    changes the weights of each in place and fails at the second ("Attempt to replace the existing tensor").
    """
    import onnx

    model = onnx.load_model_from_string(content)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    used: set[str] = set()
    for index, node in enumerate(model.graph.node):
        for position, name in enumerate(node.input):
            if node.op_type in WEIGHTED_OPS and name in weights:
                if name in used:
                    duplicate = onnx.TensorProto.FromString(weights[name].SerializeToString())
                    duplicate.name = node.input[position] = f"{name}_{index}"
                    model.graph.initializer.append(duplicate)
                used.add(name)
    return bytes(model.SerializeToString())


@contextlib.contextmanager
def _quiet_logging() -> Iterator[None]:
    """Disable the quantiser's log messages; its exceptions are still raised."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _with_numbered_names(model: Any) -> Any:
    """Rename inner tensors and nodes by order of use.

    tf2onnx numbers them over the whole process.
    """
    graph = model.graph
    names = {tensor.name: tensor.name for tensor in (*graph.input, *graph.output)} | {"": ""}
    for node in graph.node:
        for name in (*node.input, *node.output):
            names.setdefault(name, f"t{len(names)}")
    for index, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{index}"
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    weights = sorted((w for w in graph.initializer if w.name in names), key=lambda w: int(names[w.name][1:]))
    for weight in weights:
        weight.name = names[weight.name]
    copies = [type(weight).FromString(weight.SerializeToString()) for weight in weights]
    del graph.initializer[:]
    graph.initializer.extend(copies)
    del graph.value_info[:]
    del model.metadata_props[:]
    graph.doc_string = ""
    return model
