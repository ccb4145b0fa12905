"""Convolutions with their normalisation folded in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...errors import UserError


class WeightsError(UserError):
    """Pretrained weights that are missing or do not fit the network.

    The message says which.
    """


class Folded(NamedTuple):
    """A convolution with its normalisation folded in.

    `kernel` is (k, k, in, out), or (k, k, in, 1) of a depthwise convolution; `bias` has one value per output channel.
    """

    name: str
    kernel: np.ndarray
    bias: np.ndarray
