"""Check that a bundle computes on this machine what it computed where it was exported."""

from __future__ import annotations

import numpy as np

from ...errors import UserError
from ...models.bundle import Bundle
from .load import load_engine

EXACT = {"int8", "uint8"}
"""Types of outputs that must be equal to the bit."""


class GoldenMismatch(UserError):
    """A network that does not compute here what it computed where it was exported."""


def check_golden(bundle: Bundle) -> str:
    """Run the golden inputs: integer outputs must be equal to the bit, float outputs nearly.

    Returns:
        A sentence that reports how many outputs were equal.

    Raises:
        GoldenMismatch: an output differs, or there are no golden outputs.
    """
    vectors = bundle.golden()
    exact = 0
    for name, variant in bundle.variants.items():
        if variant.runtime != "tflite":  # the results of other runtimes depend on the processor
            continue
        missing = [spec.name for spec in variant.outputs if f"{name}.{spec.name}" not in vectors]
        if missing:
            raise GoldenMismatch(f"{bundle.path} has no golden outputs of {name}: {', '.join(missing)}")
        engine = load_engine(bundle, name)
        for number, image in enumerate(vectors["inputs"]):
            for output, raw in engine(image[None]).items():
                expected = vectors[f"{name}.{output}"][number]
                same = (
                    np.array_equal(raw.values, expected)
                    if raw.values.dtype.name in EXACT
                    else np.allclose(raw.values, expected, rtol=1e-2, atol=5e-2)
                )
                if not same:
                    raise GoldenMismatch(
                        f"{bundle.path}: output {output} of {name} differs here for golden input {number}"
                    )
                exact += raw.values.dtype.name in EXACT
    return f"{exact} integer outputs equal to the golden ones, to the bit"
