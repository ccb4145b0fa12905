"""The cost of a network."""

from __future__ import annotations

from typing import NamedTuple


class Cost(NamedTuple):
    """Multiply-adds for one image, float parameters, and bytes of the int8 TFLite file."""

    macs: int
    parameters: int
    int8_bytes: int
