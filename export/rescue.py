"""When int8 loses more than it may: other ranges, then 16-bit activations in the layers that lose most, then in all.

The first after which int8 passes its gates is kept, and the manifest says which it was. Other ranges cost a device
nothing; layers with 16-bit activations (their weights keep 8) LiteRT runs several times slower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from .errors import ExportError
from .forms import int8_of
from .layers import layer_errors
from .ranges import METHODS
from .settings import REFERENCE, Settings
from .tflite_file import read_tflite
from .writing import spread

WORST = 4
"""So many of the worst layers get 16 bits first, then twice as many, until all have them."""
LOOKED_AT = 16


def rescued(files: dict[str, bytes], settings: Settings, calibration: np.ndarray, say: Callable[[str], None],
            ) -> Iterator[tuple[str, bytes]]:
    """Offer int8 TFLite files that may lose less: what was done, and the file."""
    content = files[REFERENCE]
    for method in METHODS:
        if method != settings.tflite_method:
            say(f"rescue: {method}")
            yield method, int8_of(content, settings, calibration, method=method)
    errors = layer_errors(content, files["tflite-int8"], spread(calibration, LOOKED_AT))
    weighted = [error.layer for error in errors if error.op in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")]
    graph = read_tflite(content).graph
    first = {graph.tensors[op.outputs[0]].name for op in graph.ops if set(op.inputs) & set(graph.inputs)}
    count = WORST
    while weighted:
        chosen = [layer for layer in weighted[:count] if layer not in first]  # pixels stay bytes
        told = f"int16 activations in {len(chosen)} of {len(weighted)} layers"
        say(f"rescue: {told}")
        try:
            yield told, int8_of(content, settings, calibration, wide=chosen)
        except ExportError as problem:
            say(f"rescue: {problem}")
        if count >= len(weighted):
            break
        count *= 2
