"""When int8 loses more than it may: other ranges, ranges of fewer pictures, then 16-bit activations layer by layer.

The first file that passes every gate of its form is kept, and the manifest says which it was. Other ranges cost a
device nothing; layers with 16-bit activations (TFLite only; their weights keep 8) LiteRT runs several times slower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from .bundle_writer import pick_evenly
from .errors import ExportError
from .onnx.convert import METHODS as ONNX_METHODS
from .onnx.convert import quantise_onnx
from .settings import Settings
from .tflite.calibration_ranges import METHODS
from .tflite.layer_errors import layer_errors
from .tflite.reader import read_tflite
from .variants import quantise_to_int8

QUANTISED_FORMATS = ("tflite-int8", "tflite-postprocess", "onnx-int8")
"""Forms that can be made in another way."""
NO_FALLBACK = "nothing helped"
FIRST_WIDE_LAYERS = 4
"""So many of the worst layers get 16 bits first, then twice as many, until all have them."""
ERROR_IMAGES = 16


def fallbacks(
    form: str, source: bytes, content: bytes, settings: Settings, calibration: np.ndarray, say: Callable[[str], None]
) -> Iterator[tuple[str, bytes]]:
    """Offer files of a form that may lose less: what was done, and the file.

    Args:
        form: one of `QUANTISED_FORMATS`; source: the float file it is made from; content: the one that loses too much.
        calibration: (n, H, W, 3) uint8 network inputs.
    """
    onnx = form == "onnx-int8"
    methods, first = (ONNX_METHODS, settings.onnx_method) if onnx else (METHODS, settings.tflite_method)
    fewer = pick_evenly(calibration, max(1, len(calibration) // 2))
    tries = [(method, method, calibration) for method in methods if method != first]
    # Odd pictures widen ranges: with fewer of them the others may keep more levels.
    tries += [(f"{method} of half the pictures", method, fewer) for method in methods]
    for told, method, pictures in tries:
        say(f"rescue of {form}: {told}")
        try:
            yield (
                told,
                (
                    quantise_onnx(source, pictures, method)
                    if onnx
                    else quantise_to_int8(source, settings, pictures, method=method)
                ),
            )
        except ExportError as problem:
            say(f"rescue of {form}: {problem}")
    if form == "tflite-int8":
        yield from _wider_activations(source, content, settings, calibration, say)


def _wider_activations(
    source: bytes,
    content: bytes,
    settings: Settings,
    calibration: np.ndarray,
    say: Callable[[str], None],
) -> Iterator[tuple[str, bytes]]:
    """Offer TFLite files with 16-bit activations in more and more layers."""
    errors = layer_errors(source, content, pick_evenly(calibration, ERROR_IMAGES))
    weighted = [error.layer for error in errors if error.op in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")]
    graph = read_tflite(source).graph
    ends = {
        graph.tensors[op.outputs[0]].name
        for op in graph.ops
        if set(op.inputs) & set(graph.inputs) or set(op.outputs) & set(graph.outputs)
    }
    count = FIRST_WIDE_LAYERS
    while weighted:
        chosen = [layer for layer in weighted[:count] if layer not in ends]  # what goes in and comes out stays bytes
        told = f"int16 activations in {len(chosen)} of {len(weighted)} layers"
        say(f"rescue of tflite-int8: {told}")
        try:
            yield told, quantise_to_int8(source, settings, calibration, wide=chosen)
        except ExportError as problem:
            say(f"rescue of tflite-int8: {problem}")
        if count >= len(weighted):
            break
        count *= 2
