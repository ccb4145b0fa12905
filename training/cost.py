"""The cost of a network."""

from __future__ import annotations

from typing import NamedTuple


class Cost(NamedTuple):
    """Multiply-adds per image, float parameters, and size in bytes as int8 TFLite."""

    macs: int
    parameters: int
    int8_bytes: int
