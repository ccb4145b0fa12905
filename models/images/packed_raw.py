"""Unpack raw images packed as on the MIPI CSI-2 bus.

The formats are ``pRAA`` of V4L2 and ``_CSI2P`` of libcamera.
"""

from __future__ import annotations

import numpy as np

GROUPS = {10: (4, 5), 12: (2, 3), 14: (4, 7)}
"""Bits of a pixel -> pixels and bytes of a group."""


def packed_row_bytes(width: int, bits: int) -> int:
    """Return the bytes of a packed row of `width` pixels, without padding.

    The last group may be incomplete.
    """
    pixels, size = GROUPS[bits]
    return -(-width // pixels) * size


def unpack_csi2(rows: np.ndarray, width: int, bits: int) -> np.ndarray:
    """Unpack pixels of 10, 12 or 14 bits.

    In each group, the eight high bits of every pixel come first, one byte each; the low bits of all of them follow,
    those of the first pixel lowest (MIPI CSI-2 RAW10, RAW12, RAW14).

    Args:
        rows: (H, at least `packed_row_bytes`) uint8.
        width: pixels of a row.
        bits: 10, 12 or 14.

    Returns:
        (H, width) uint16, of values below 2 ** bits.
    """
    pixels, size = GROUPS[bits]
    height = len(rows)
    groups = rows[:, : packed_row_bytes(width, bits)].reshape(height, -1, size)
    values = np.empty((height, groups.shape[1], pixels), np.uint16)
    low_bits = bits - 8
    low = groups[..., pixels].astype(np.uint32)
    for index in range(1, size - pixels):
        low |= groups[..., pixels + index].astype(np.uint32) << (8 * index)
    for pixel in range(pixels):
        high = groups[..., pixel].astype(np.uint16) << low_bits
        values[..., pixel] = high | ((low >> (low_bits * pixel)) & (2**low_bits - 1)).astype(np.uint16)
    return values.reshape(height, -1)[:, :width]
