"""When int8 loses more than it may: other ranges, then biases that take back the mean error, then 16-bit activations.

Each step costs the device more than the one before; the first after which int8 passes its gates is kept, and the
manifest says which it was. Bias correction is that of Nagel et al. 2019, arXiv:1906.04721, section 4.2, with measured
means. 16-bit activations (8-bit weights) are for the layers that lose most, then for all; LiteRT runs those several
times slower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from .correction import correct_biases
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
        for corrected in (False, True):
            if method == settings.method and not corrected:
                continue
            told = method + (" with corrected biases" if corrected else "")
            say(f"rescue: {told}")
            candidate = int8_of(content, settings, calibration, method=method)
            yield told, correct_biases(content, candidate, calibration) if corrected else candidate
    errors = layer_errors(content, files["tflite-int8"], spread(calibration, LOOKED_AT))
    weighted = [error.layer for error in errors if error.op in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")]
    ends = {read_tflite(content).graph.tensors[number].name for number in read_tflite(content).graph.outputs}
    count = WORST
    while weighted:
        chosen = [layer for layer in weighted[:count] if layer not in ends]
        told = f"int16 activations in {len(chosen)} of {len(weighted)} layers"
        say(f"rescue: {told}")
        try:
            yield told, int8_of(content, settings, calibration, wide=chosen)
        except ExportError as problem:
            say(f"rescue: {problem}")
        if count >= len(weighted):
            break
        count *= 2
