"""What a person wants to know of a bundle, and of two."""

from __future__ import annotations

import numpy as np

from ...errors import UserError
from ...models.bundle import Bundle
from .load import load_engine

EXACT = {"int8", "uint8"}


class GoldenMismatch(UserError):
    """A network that does not compute here what it computed where it was exported."""


def check_golden(bundle: Bundle) -> str:
    """Run the golden inputs: integer outputs must come out to the bit, float ones nearly.

    Raises:
        GoldenMismatch: they do not, or there are none.
    """
    vectors = bundle.golden()
    exact = 0
    for name, variant in bundle.variants.items():
        if variant.runtime != "tflite":  # what others give depends on the processor
            continue
        missing = [spec.name for spec in variant.outputs if f"{name}.{spec.name}" not in vectors]
        if missing:
            raise GoldenMismatch(f"{bundle.path} has no golden outputs of {name}: {', '.join(missing)}")
        engine = load_engine(bundle, name)
        for number, picture in enumerate(vectors["inputs"]):
            for output, raw in engine(picture[None]).items():
                wanted = vectors[f"{name}.{output}"][number]
                same = (
                    np.array_equal(raw.values, wanted)
                    if raw.values.dtype.name in EXACT
                    else np.allclose(raw.values, wanted, rtol=1e-2, atol=5e-2)
                )
                if not same:
                    raise GoldenMismatch(f"{bundle.path}: {name} gives another {output} for golden input {number} here")
                exact += raw.values.dtype.name in EXACT
    return f"{exact} integer outputs equal to the golden ones, to the bit"
