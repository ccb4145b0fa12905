"""The interface of an engine, and its raw outputs.

An engine is a callable that takes a (1, H, W, 3) uint8 RGB batch and returns the raw outputs by name. The bundle
states which tensor is which output; a file that does not agree is refused.
"""

from __future__ import annotations

from types import EllipsisType
from typing import NamedTuple, Protocol

import numpy as np


class RawTensor(NamedTuple):
    """A raw output, quantised or not: real value = (value - zero_point) * scale.

    Attributes:
        values: as the network returned them, without the batch axis.
        scale: step between quantised values; 0 if the values are not quantised.
        zero_point: the quantised value of 0.
    """

    values: np.ndarray
    scale: float
    zero_point: int

    def dequantize(self, rows: np.ndarray | slice | EllipsisType = ...) -> np.ndarray:
        """Return the real values as float32, of `rows` only."""
        values = np.asarray(self.values)[rows].astype(np.float32)
        return values if self.scale == 0.0 else (values - self.zero_point) * np.float32(self.scale)

    def threshold(self, level: float) -> float:
        """Return the raw value of the real value `level`, for comparisons."""
        return level if self.scale == 0.0 else level / self.scale + self.zero_point


class Engine(Protocol):
    """Runs one network."""

    @property
    def name(self) -> str:
        """Name of the engine, one of `devices.engines.ENGINE_NAMES`."""
        ...

    def __call__(self, batch: np.ndarray) -> dict[str, RawTensor]:
        """Run on a (1, H, W, 3) uint8 RGB batch.

        Return the raw outputs, without the batch axis, by name.
        """
        ...
