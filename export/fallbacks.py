"""Alternatives for an int8 variant that loses too much accuracy.

Tried in order: other calibration methods, the same with half of the images, then 16-bit activations layer by layer.
The first file that passes every gate of its variant is kept and recorded in the manifest. Other ranges do not slow a
device down. LiteRT runs layers with 16-bit activations (TFLite only; their weights keep 8 bits) several times slower.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np

from .calibration_images import pick_evenly
from .errors import ExportError
from .onnx.convert import METHODS as ONNX_METHODS
from .onnx.convert import quantise_onnx
from .settings import Settings
from .tflite.calibration_ranges import METHODS
from .tflite.layer_errors import layer_errors
from .tflite.reader import read_tflite
from .variants import Convert, convert_here, quantise_to_int8

QUANTISED_FORMATS = ("tflite-int8", "tflite-postprocess", "onnx-int8")
"""Formats that have alternatives."""
NO_FALLBACK = "nothing helped"
"""Recorded in the manifest if no alternative passed."""
FIRST_WIDE_LAYERS = 4
"""Number of the worst layers that get 16 bits first; it is doubled until all have them."""
ERROR_IMAGES = 16
"""Number of calibration images on which layer errors are measured."""

logger = logging.getLogger(__name__)


def fallbacks(
    name: str,
    source: bytes,
    content: bytes,
    settings: Settings,
    calibration: np.ndarray,
    convert: Convert = convert_here,
) -> Iterator[tuple[str, bytes]]:
    """Yield alternative files of a variant, each with how it was made.

    Args:
        name: format, one of `QUANTISED_FORMATS`; source: the float file it is made from; content: the rejected file.
        calibration: (n, H, W, 3) uint8 network inputs; convert: see `BuiltVariants`.
    """
    onnx = name == "onnx-int8"
    methods, first = (ONNX_METHODS, settings.onnx_method) if onnx else (METHODS, settings.tflite_method)
    half = pick_evenly(calibration, max(1, len(calibration) // 2))
    attempts = [(method, method, calibration) for method in methods if method != first]
    # Unusual images widen the ranges; without some of them, more levels may remain for the others.
    attempts += [(f"{method} of half the images", method, half) for method in methods]
    for description, method, images in attempts:
        logger.info("fallback for %s: %s", name, description)
        try:
            if onnx:
                yield description, convert(quantise_onnx, source, images, method)
            else:
                yield description, convert(quantise_to_int8, source, settings, images, (), method)
        except ExportError as error:
            logger.info("fallback for %s: %s", name, error)
    if name == "tflite-int8":
        yield from _wider_activations(source, content, settings, calibration, convert)


def _wider_activations(
    source: bytes, content: bytes, settings: Settings, calibration: np.ndarray, convert: Convert
) -> Iterator[tuple[str, bytes]]:
    """Yield TFLite files with 16-bit activations in more and more layers."""
    errors = layer_errors(source, content, pick_evenly(calibration, ERROR_IMAGES))
    weighted = [error.layer for error in errors if error.op in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")]
    graph = read_tflite(source).graph
    interface = {
        graph.tensors[op.outputs[0]].name
        for op in graph.ops
        if set(op.inputs) & set(graph.inputs) or set(op.outputs) & set(graph.outputs)
    }
    count = FIRST_WIDE_LAYERS
    while weighted:
        chosen = [layer for layer in weighted[:count] if layer not in interface]  # inputs and outputs stay 8-bit
        description = f"int16 activations in {len(chosen)} of {len(weighted)} layers"
        logger.info("fallback for tflite-int8: %s", description)
        try:
            yield description, convert(quantise_to_int8, source, settings, calibration, chosen)
        except ExportError as error:
            logger.info("fallback for tflite-int8: %s", error)
        if count >= len(weighted):
            break
        count *= 2
