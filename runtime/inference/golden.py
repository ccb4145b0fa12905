"""Check that a bundle computes the same outputs here as where it was exported."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np

from ...errors import UserError
from ...models.bundle import Bundle
from .engine import Engine
from .load import load_engine, select_variant

EXACT = {"int8", "uint8"}
"""Types of outputs that must be bit-identical."""
RELATIVE, ABSOLUTE = 1e-2, 5e-2
"""Tolerance of float outputs, whose sums depend on the processor."""
MINOR_STEPS = 16
"""Quantised steps of 256 by which outputs may differ in a run, as other processors and libraries round differently
(tflite-runtime by up to 10 in a detector's scores)."""
START_SECONDS = 1.0
"""Time after which no further golden input is computed at the start of a run: a large network may take seconds each."""

logger = logging.getLogger(__name__)


class GoldenMismatch(UserError):
    """A network whose outputs here differ from those where it was exported."""


@dataclass(frozen=True)
class Difference:
    """Where outputs differ from the golden ones.

    Attributes:
        output: name of the output.
        sample: number of the golden input.
        largest: largest difference: in quantised steps for integers, else in real units; NaN or infinity if values are
            not finite.
        different, values: number of values that differ, and of all values.
        is_minor: whether rounding explains it.
    """

    output: str
    sample: int
    largest: float
    different: int
    values: int
    is_minor: bool

    def __str__(self) -> str:
        share = f"{self.different} of {self.values} values"
        return f"output {self.output} of golden input {self.sample} differs by up to {self.largest:g} ({share})"


def check_golden(bundle: Bundle) -> str:
    """Compare the outputs of the golden inputs: integers exactly, floats nearly.

    Returns:
        A sentence with the number of outputs that were equal.

    Raises:
        GoldenMismatch: an output differs, or there are no golden outputs.
    """
    vectors = bundle.golden()
    exact = 0
    for name, variant in bundle.variants.items():
        if variant.runtime != "tflite":  # the results of other runtimes depend on the processor
            continue
        found = differences(bundle, name, load_engine(bundle, name), vectors)
        if found:
            raise GoldenMismatch(f"{bundle.path}: {name} differs here: {found[0]}")
        exact += len(vectors["inputs"]) * sum(spec.dtype in EXACT for spec in variant.outputs)
    return f"{exact} integer outputs identical to the golden ones"


def check_golden_at_start(bundle: Bundle, variant: str, engine: Engine) -> None:
    """Run golden inputs in a run's engine for `START_SECONDS`, at least one of them.

    A difference that rounding explains is logged as a warning. Variants of ONNX Runtime have no golden outputs.

    Args:
        bundle: the bundle.
        variant: name of the variant that was asked for; the one that the engine runs is checked.
        engine: runs it.

    Raises:
        GoldenMismatch: an output differs by more, or there are no golden outputs.
    """
    chosen, _ = select_variant(bundle, variant, engine.name)
    if chosen.runtime != "tflite":
        return
    found = differences(bundle, chosen.name, engine, bundle.golden(chosen.name), START_SECONDS)
    if not found:
        return
    worst = next((difference for difference in found if not difference.is_minor), None)
    if worst:
        raise GoldenMismatch(
            f"{bundle.path}: {chosen.name} computes other outputs in {engine.name} on this machine than where it "
            f"was exported: {worst}. Try another --engine, or export the bundle again"
        )
    logger.warning("%s: %s rounds differently in %s on this machine: %s; results may differ slightly",
                   bundle.path, chosen.name, engine.name, max(found, key=lambda entry: entry.largest))  # fmt: skip


def differences(
    bundle: Bundle, variant: str, engine: Engine, vectors: dict[str, np.ndarray], seconds: float = inf
) -> list[Difference]:
    """Return the outputs that differ, in the order of the golden inputs.

    Raises:
        GoldenMismatch: there are no golden outputs of the variant.
    """
    missing = [spec.name for spec in bundle.variants[variant].outputs if f"{variant}.{spec.name}" not in vectors]
    if missing:
        raise GoldenMismatch(f"{bundle.path} has no golden outputs of {variant}: {', '.join(missing)}")
    deadline = time.monotonic() + seconds
    found = []
    for sample, image in enumerate(vectors["inputs"]):
        for output, raw in engine(image[None]).items():
            expected = vectors[f"{variant}.{output}"][sample]
            if difference := _compare(output, sample, raw.values, expected):
                found.append(difference)
        if time.monotonic() > deadline:
            break
    return found


def _compare(output: str, sample: int, values: np.ndarray, expected: np.ndarray) -> Difference | None:
    if values.shape != expected.shape or values.dtype != expected.dtype:
        return Difference(output, sample, inf, values.size, values.size, is_minor=False)
    real: Any = np.abs(values.astype(np.float64) - expected.astype(np.float64))
    if values.dtype.name in EXACT:
        wrong, is_minor = real > 0, bool((real <= MINOR_STEPS).all())
    else:
        wrong, is_minor = ~np.isclose(values, expected, rtol=RELATIVE, atol=ABSOLUTE), False
    if not wrong.any():
        return None
    return Difference(output, sample, float(real[wrong].max()), int(wrong.sum()), wrong.size, is_minor)
