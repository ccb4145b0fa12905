"""Raw pixel formats of V4L2 cameras.

They are grey and Bayer mosaics of 8 to 16 bits, in words or packed.
"""

from __future__ import annotations

from ....devices.v4l2.structures import fourcc
from ..raw_layout import RawLayout

_PATTERNS = {"RG": "RGGB", "GR": "GRBG", "GB": "GBRG", "BG": "BGGR"}
_GREY = {
    "Y10": RawLayout(10), "Y12": RawLayout(12), "Y14": RawLayout(14), "Y16": RawLayout(16),
    "Y16-BE": RawLayout(16, order=">"), "Y10P": RawLayout(10, packed=True), "Y12P": RawLayout(12, packed=True),
    "Y14P": RawLayout(14, packed=True),
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
RAW_FORMATS: dict[int, RawLayout] = {
    fourcc(name): layout
    for name, layout in {
        **_GREY,
        **{name: RawLayout(8, cfa) for name, cfa in _BAYER_8.items()},
        **{name: RawLayout(bits, _PATTERNS[row]) for name, (bits, row) in _BAYER_WORDS.items()},
        **{name: RawLayout(bits, cfa, packed=True) for name, (bits, cfa) in _BAYER_PACKED.items()},
    }.items()
}
"""By the kernel's code (linux/videodev2.h; pixfmt-yuv-luma and pixfmt-bayer in its documentation)."""


def best_raw_format(codes: list[int]) -> int | None:
    """Return the raw format to read a camera in: the deepest, unpacked before packed.

    None where there is none.
    """
    known = [code for code in codes if code in RAW_FORMATS]
    return max(known, key=lambda code: (RAW_FORMATS[code].bits, not RAW_FORMATS[code].packed), default=None)
