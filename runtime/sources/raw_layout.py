"""How raw pixels of camera sensors lie in the memory."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from ...models.images.packed_raw import packed_row_bytes, unpack_csi2


@dataclass(frozen=True)
class RawLayout:
    """How the pixels of a raw format lie in the memory.

    Attributes:
        bits: of a pixel.
        cfa: Bayer pattern; None for grey.
        packed: whether pixels of 10, 12 or 14 bits are packed, see `models.images.packed_raw`; else each is a byte (8
            bits) or a word of 16 bits.
        order: ``<`` or ``>``: order of the bytes of a word.
    """

    bits: int
    cfa: str | None = None
    packed: bool = False
    order: str = "<"

    def row_bytes(self, width: int) -> int:
        """Return the bytes of a row without padding."""
        return packed_row_bytes(width, self.bits) if self.packed else width * (1 if self.bits == 8 else 2)

    def pixels(self, rows: np.ndarray, width: int) -> np.ndarray:
        """Return a copy of the pixels (H, width) uint16 of rows of bytes.

        The rows are (H, at least `row_bytes`) uint8.
        """
        if self.packed:
            return unpack_csi2(rows, width, self.bits)
        kind = np.dtype("u1" if self.bits == 8 else f"{self.order}u2")
        return np.ascontiguousarray(rows[:, : width * kind.itemsize]).view(kind).astype(np.uint16)


def libcamera_layout(name: str) -> RawLayout | None:
    """Return the layout of a raw format of libcamera; None of others.

    Examples are ``SRGGB12_CSI2P`` and ``R10``.
    """
    match = re.fullmatch(r"(?:S(RGGB|GRBG|GBRG|BGGR)|R)(8|10|12|14|16)(_CSI2P)?", name)
    if not match or (match[3] and match[2] == "16"):
        return None
    return RawLayout(int(match[2]), match[1], bool(match[3]) and match[2] != "8")
