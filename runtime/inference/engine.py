"""Engines: what runs a variant's file. One small file each; this one chooses.

An engine is a callable: a (1, H, W, 3) uint8 RGB batch in, the raw outputs by name out. It never guesses: which
tensor is which output is written in the bundle, and a file that does not agree is refused.
"""

from __future__ import annotations

from types import EllipsisType
from typing import NamedTuple, Protocol

import numpy as np

ENGINES = ("litert", "tflite-runtime", "onnxruntime")
RUNS = {"tflite": ("litert", "tflite-runtime"), "onnx": ("onnxruntime",), "edgetpu": ()}
"""Which engines run a variant, by its runtime in the manifest; the first is the usual one."""


class RawTensor(NamedTuple):
    """A raw output: values as the network gave them, and how to read them: real = (value - zero_point) * scale."""

    values: np.ndarray
    scale: float
    zero_point: int

    def real(self, chosen: np.ndarray | slice | EllipsisType = ...) -> np.ndarray:
        """Return float32 values, of the rows `chosen` only."""
        values = np.asarray(self.values)[chosen].astype(np.float32)
        return values if self.scale == 0.0 else (values - self.zero_point) * np.float32(self.scale)

    def floor(self, level: float) -> float:
        """Return the raw value above which lie the reals above `level`, to compare without dequantising."""
        return level if self.scale == 0.0 else level / self.scale + self.zero_point


class Engine(Protocol):
    """Runs one network."""

    name: str

    def __call__(self, batch: np.ndarray) -> dict[str, RawTensor]:
        """Run on a (1, H, W, 3) uint8 RGB batch; return the raw outputs, without the batch axis, by name."""
        ...
