"""The layers of MobileNetV2 at any width, to build it and to count its cost.

See Sandler et al. 2018, arXiv:1801.04381.
"""

from __future__ import annotations

BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, number of blocks and first stride of every stage."""

INPUT_SCALE, INPUT_OFFSET = 1.0 / 127.5, -1.0
"""Scale and offset from levels 0..255 to the range -1..1 that the pretrained backbone expects."""

CHANNEL_MULTIPLE = 4
"""Channels are a multiple of this at every width, as in the published networks and in the detector's backbone."""


def scale_channels(channels: int, width: float) -> int:
    """Scale a number of channels to a multiple of `CHANNEL_MULTIPLE`.

    The result is at most a tenth below `channels` times `width`.
    """
    exact = channels * width
    rounded = max(CHANNEL_MULTIPLE, int(exact + CHANNEL_MULTIPLE / 2) // CHANNEL_MULTIPLE * CHANNEL_MULTIPLE)
    return rounded if rounded >= 0.9 * exact else rounded + CHANNEL_MULTIPLE
