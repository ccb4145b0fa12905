"""Build the variants of a run's network.

Each file is made from the one that it is derived from.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..models.manifest import Variant
from ..runtime.inference.detector import POSTPROCESSED
from .errors import ExportError
from .onnx.convert import describe_onnx, quantise_onnx, to_onnx
from .settings import FORMATS, POSTPROCESS_FORMAT, REFERENCE, Settings
from .tflite.calibration_ranges import measure_ranges
from .tflite.convert import convert_saved_model, describe_outputs
from .tflite.edgetpu import compile_for_edgetpu
from .tflite.postprocess import convert_with_postprocess
from .tflite.quantise import quantise
from .tflite.reader import read_tflite

NMS_IOU = 0.5
MAX_DETECTIONS = 100

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Network:
    """The network to export.

    Attributes:
        saved_model: folder of the network; task: ``classify`` or ``detect``.
        model: table ``model`` of the run's record: input, preprocess, decode, outputs, classes, parameters, macs.
    """

    saved_model: Path
    task: str
    model: dict[str, Any]


Convert = Callable[..., bytes]


def convert_here(function: Convert, *arguments: Any) -> bytes:
    """Call a conversion in this process."""
    return function(*arguments)


@dataclass(frozen=True)
class BuiltVariants:
    """The built variants of a network.

    Attributes:
        files: format -> content of its file.
        sources: quantised format -> the float file that it was made from.
        convert: calls a conversion with its arguments; for a network of unknown origin, in a separate process.
    """

    files: dict[str, bytes]
    sources: dict[str, bytes] = field(default_factory=dict)
    convert: Convert = convert_here


def build_variants(network: Network, settings: Settings, calibration: np.ndarray) -> BuiltVariants:
    """Build every requested variant.

    ``edgetpu`` is left out if its compiler is not installed.
    """
    wanted = settings.wanted(network.task)
    logger.info("converting to float32")
    files = {REFERENCE: convert_saved_model(network.saved_model)}
    _check_interface(network, files[REFERENCE])
    sources = {"tflite-int8": files[REFERENCE]}
    if "tflite-int8" in wanted:
        logger.info("quantising to int8 with %d calibration images (%s)", len(calibration), settings.tflite_method)
        files["tflite-int8"] = quantise_to_int8(files[REFERENCE], settings, calibration)
    if POSTPROCESS_FORMAT in wanted:
        logger.info("quantising with TFLite_Detection_PostProcess")
        source = convert_with_postprocess(network.saved_model, network.model, NMS_IOU, MAX_DETECTIONS)
        sources[POSTPROCESS_FORMAT] = source
        files[POSTPROCESS_FORMAT] = quantise_to_int8(source, settings, calibration)
    if "onnx-fp32" in wanted or "onnx-int8" in wanted:
        logger.info("converting to ONNX")
        source = to_onnx(network.saved_model)
        if "onnx-fp32" in wanted:
            files["onnx-fp32"] = source
        if "onnx-int8" in wanted:
            logger.info("quantising to ONNX int8 (%s)", settings.onnx_method)
            sources["onnx-int8"] = source
            files["onnx-int8"] = quantise_onnx(source, calibration, settings.onnx_method)
    if "edgetpu" in wanted:
        compiled = compile_for_edgetpu(files["tflite-int8"])
        if compiled is not None:
            files["edgetpu"] = compiled
    return BuiltVariants({name: files[name] for name in FORMATS if name in files}, sources)


def _check_interface(network: Network, content: bytes) -> None:
    """Check that inputs and outputs of the network are those of the run's record.

    Raises:
        ExportError: its input has another shape, or an output is missing.
    """
    graph = read_tflite(content).graph
    actual = [list(graph.tensors[index].shape) for index in graph.inputs]
    expected = [1, network.model["input"]["height"], network.model["input"]["width"], 3]
    if actual != [expected]:
        raise ExportError(f"{network.saved_model} takes {actual}, not one input of {expected} as its run records")
    describe_outputs(content, network.model["outputs"])


def quantise_to_int8(
    content: bytes, settings: Settings, calibration: np.ndarray, wide: Collection[str] = (), method: str | None = None
) -> bytes:
    """Quantise a float TFLite file by `settings`.

    `method` overrides theirs, `wide` is that of `quantise`.
    """
    ranges = measure_ranges(content, calibration, method or settings.tflite_method)
    return quantise(content, ranges, settings.input_type, settings.output_type, wide)


def describe_variants(files: dict[str, bytes], outputs: list[str]) -> dict[str, Variant]:
    """Return the manifest's description of each variant, by its name."""
    variants = {}
    for name, content in files.items():
        variant = FORMATS[name]
        if variant.runtime == "onnx":
            described = describe_onnx(content, outputs)
        elif name == "edgetpu":  # the compiler keeps the inputs and outputs of its source file
            described = describe_outputs(files["tflite-int8"], outputs)
        else:
            described = describe_outputs(content, list(POSTPROCESSED) if name == POSTPROCESS_FORMAT else outputs)
        variants[variant.variant] = Variant(variant.variant, variant.file, variant.runtime, tuple(described))
    return variants
