"""Engines: what runs a variant's file. One small file each; this one chooses.

An engine is a callable: a (1, H, W, 3) uint8 RGB batch in, the raw outputs by name out. It never guesses: which
tensor is which output is written in the bundle, and a file that does not agree is refused.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from ..models.bundle import Bundle
from .errors import UsageError

ENGINES = ("litert", "tflite-runtime")


class Output(NamedTuple):
    """A raw output: values as the network gave them, and how to read them: real = (value - zero_point) * scale."""

    values: np.ndarray
    scale: float
    zero_point: int

    def real(self, chosen: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return float32 values, of the rows `chosen` only."""
        values = self.values[chosen].astype(np.float32)
        return values if self.scale == 0.0 else (values - self.zero_point) * np.float32(self.scale)

    def floor(self, level: float) -> float:
        """Return the raw value above which lie the reals above `level`, to compare without dequantising."""
        return level if self.scale == 0.0 else level / self.scale + self.zero_point


class Engine(Protocol):
    """Runs one network."""

    name: str

    def __call__(self, batch: np.ndarray) -> dict[str, Output]:
        """Run on a (1, H, W, 3) uint8 RGB batch; return the raw outputs, without the batch axis, by name."""
        ...


def installed() -> list[str]:
    """Tell which engines can be loaded here."""
    from .engine_tflite import available

    return [name for name in ENGINES if available(name)]


def load(bundle: Bundle, variant: str = "int8", engine: str = "litert", threads: int = 1) -> Engine:
    """Load a variant of a bundle into an engine.

    Args:
        bundle: a verified bundle.
        variant: e.g. ``int8`` or ``fp32``.
        engine: one of `ENGINES`.
        threads: threads inside an inference, at least 1.

    Raises:
        UsageError: the engine is unknown or not installed.
        BundleError: the file does not agree with the manifest.
    """
    if engine not in ENGINES:
        raise UsageError(f"unknown engine '{engine}'; known: {', '.join(ENGINES)}")
    if threads < 1:
        raise UsageError(f"threads must be at least 1, not {threads}")
    from .engine_tflite import TFLiteEngine

    return TFLiteEngine(bundle, bundle.variant(variant), engine, threads)
