"""Raw pixel formats of V4L2 cameras: grey and Bayer mosaics of 8 to 16 bits, in words or packed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ....devices.v4l2.structures import fourcc
from ....models.images.packed_raw import packed_row_bytes, unpack_csi2


@dataclass(frozen=True)
class RawFormat:
    """How the pixels of a format lie in the memory.

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
        """Return the pixels (H, width) uint16 of rows (H, at least `row_bytes`) uint8; a copy."""
        if self.packed:
            return unpack_csi2(rows, width, self.bits)
        kind = np.dtype("u1" if self.bits == 8 else f"{self.order}u2")
        return np.ascontiguousarray(rows[:, : width * kind.itemsize]).view(kind).astype(np.uint16)


_PATTERNS = {"RG": "RGGB", "GR": "GRBG", "GB": "GBRG", "BG": "BGGR"}
_GREY = {
    "Y10": RawFormat(10), "Y12": RawFormat(12), "Y14": RawFormat(14), "Y16": RawFormat(16),
    "Y16-BE": RawFormat(16, order=">"), "Y10P": RawFormat(10, packed=True), "Y12P": RawFormat(12, packed=True),
    "Y14P": RawFormat(14, packed=True),
}  # fmt: skip
_BAYER_8 = {"RGGB": "RGGB", "GRBG": "GRBG", "GBRG": "GBRG", "BA81": "BGGR"}
_BAYER_WORDS = {
    **{f"{'BA' if row == 'GR' else row}{bits}": (bits, row) for bits in (10, 12) for row in _PATTERNS},
    **{f"{row}14": (14, row) for row in _PATTERNS},
    **{"RG16": (16, "RG"), "GR16": (16, "GR"), "GB16": (16, "GB"), "BYR2": (16, "BG")},
}
_BAYER_PACKED = {
    f"p{row}{sign * 2}": (bits, pattern)
    for sign, bits in (("A", 10), ("C", 12), ("E", 14))
    for row, pattern in (("R", "RGGB"), ("g", "GRBG"), ("G", "GBRG"), ("B", "BGGR"))
}
RAW_FORMATS: dict[int, RawFormat] = {
    fourcc(name): layout
    for name, layout in {
        **_GREY,
        **{name: RawFormat(8, cfa) for name, cfa in _BAYER_8.items()},
        **{name: RawFormat(bits, _PATTERNS[row]) for name, (bits, row) in _BAYER_WORDS.items()},
        **{name: RawFormat(bits, cfa, packed=True) for name, (bits, cfa) in _BAYER_PACKED.items()},
    }.items()
}
"""By the kernel's code (linux/videodev2.h; pixfmt-yuv-luma and pixfmt-bayer in its documentation)."""


def best_raw_format(codes: list[int]) -> int | None:
    """Return the raw format to read a camera in: the deepest, unpacked before packed; None where there is none."""
    known = [code for code in codes if code in RAW_FORMATS]
    return max(known, key=lambda code: (RAW_FORMATS[code].bits, not RAW_FORMATS[code].packed), default=None)
