"""Make the forms of a run's network: each file from the one it is made of."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.inference.detector import POSTPROCESSED
from .errors import ExportError
from .onnx.convert import describe_onnx, quantise_onnx, to_onnx
from .settings import FORMATS, REFERENCE, Settings
from .tflite.calibration_ranges import measure_ranges
from .tflite.convert import convert_saved_model, describe_outputs
from .tflite.edgetpu import compile_for_edgetpu
from .tflite.postprocess import convert_with_postprocess
from .tflite.quantise import quantise
from .tflite.reader import read_tflite

NMS_IOU = 0.5
MAX_DETECTIONS = 100
Say = Callable[[str], None]


@dataclass(frozen=True)
class Network:
    """What an export starts from.

    Attributes:
        saved_model: folder of the network; task: ``classify`` or ``detect``.
        model: as in a run's record: input, preprocess, decode, outputs, classes, parameters, macs.
    """

    saved_model: Path
    task: str
    model: dict[str, Any]


@dataclass(frozen=True)
class BuiltVariants:
    """Forms of a network.

    Attributes:
        files: format -> content of its file.
        sources: quantised format -> the float file that it was made from.
    """

    files: dict[str, bytes]
    sources: dict[str, bytes] = field(default_factory=dict)


def build_variants(network: Network, settings: Settings, calibration: np.ndarray, say: Say) -> BuiltVariants:
    """Make every form that is wanted and can be made here; no ``edgetpu`` where its compiler is not installed."""
    wanted = settings.wanted(network.task)
    say("converting to float32")
    files = {REFERENCE: convert_saved_model(network.saved_model)}
    _check_interface(network, files[REFERENCE])
    sources = {"tflite-int8": files[REFERENCE]}
    if "tflite-int8" in wanted:
        say(f"quantising to int8 with {len(calibration)} calibration pictures ({settings.tflite_method})")
        files["tflite-int8"] = quantise_to_int8(files[REFERENCE], settings, calibration)
    if "tflite-postprocess" in wanted:
        say("quantising with TFLite_Detection_PostProcess")
        whole = convert_with_postprocess(network.saved_model, network.model, NMS_IOU, MAX_DETECTIONS)
        sources["tflite-postprocess"] = whole
        files["tflite-postprocess"] = quantise_to_int8(whole, settings, calibration)
    if "onnx-fp32" in wanted or "onnx-int8" in wanted:
        say("converting to ONNX")
        whole = to_onnx(network.saved_model)
        if "onnx-fp32" in wanted:
            files["onnx-fp32"] = whole
        if "onnx-int8" in wanted:
            say(f"quantising to ONNX int8 ({settings.onnx_method})")
            sources["onnx-int8"] = whole
            files["onnx-int8"] = quantise_onnx(whole, calibration, settings.onnx_method)
    if "edgetpu" in wanted:
        compiled = compile_for_edgetpu(files["tflite-int8"], say)
        if compiled is not None:
            files["edgetpu"] = compiled
    return BuiltVariants({name: files[name] for name in FORMATS if name in files}, sources)


def _check_interface(network: Network, content: bytes) -> None:
    """See that the network is the one that the run describes, before anything is fed to it.

    Raises:
        ExportError: its input has another shape, or an output is missing.
    """
    graph = read_tflite(content).graph
    found = [list(graph.tensors[number].shape) for number in graph.inputs]
    wanted = [1, network.model["input"]["height"], network.model["input"]["width"], 3]
    if found != [wanted]:
        raise ExportError(f"{network.saved_model} takes {found}, not one input of {wanted} as its run says")
    describe_outputs(content, network.model["outputs"])


def quantise_to_int8(
    content: bytes, settings: Settings, calibration: np.ndarray, wide: Collection[str] = (), method: str | None = None
) -> bytes:
    """Quantise a float TFLite file as `settings` say; `method` overrides theirs."""
    ranges = measure_ranges(content, calibration, method or settings.tflite_method)
    return quantise(content, ranges, settings.input_type, settings.output_type, wide)


def describe_variants(files: dict[str, bytes], outputs: list[str]) -> dict[str, dict[str, Any]]:
    """Describe every form as the manifest's ``variants`` do."""
    variants = {}
    for name, content in files.items():
        form = FORMATS[name]
        if form.runtime == "onnx":
            told = describe_onnx(content, outputs)
        elif name == "edgetpu":  # the compiler keeps the ends of the file it is given
            told = describe_outputs(files["tflite-int8"], outputs)
        else:
            told = describe_outputs(content, list(POSTPROCESSED) if name == "tflite-postprocess" else outputs)
        variants[form.variant] = {"file": form.file, "runtime": form.runtime, "outputs": told}
    return variants
