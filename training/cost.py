"""The cost of a network."""

from __future__ import annotations

from typing import NamedTuple


class Cost(NamedTuple):
    """What a network costs: multiply-adds for one picture, float parameters, and bytes of its int8 TFLite file."""

    macs: int
    parameters: int
    int8_bytes: int
