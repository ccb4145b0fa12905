"""Read the size and depth of an image from its header.

Nothing of the image is decoded before.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

from ...errors import ImageError
from .memory import check_memory

MIN_SIDE = 16
MAX_SIDE = 32_000
MAX_PIXELS = 200_000_000

FITS_SUFFIXES = (".fits", ".fit", ".fts", ".fz", ".fits.gz", ".fit.gz", ".fts.gz", ".fits.bz2", ".fit.bz2", ".fts.bz2")
DNG_SUFFIX = ".dng"
TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""First bytes of TIFF files, then of BigTIFF files, in both byte orders."""
COMPRESSED_MAGIC = (b"\x1f\x8b", b"BZh")
"""First bytes of gzip and bzip2 files."""


def validate_image_size(width: int, height: int, name: str) -> None:
    """Refuse an image that is too small, or larger than any camera's.

    Raises:
        ImageError: it is smaller than 16 or larger than 32,000 pixels a side, or has more than 200 million.
    """
    if min(width, height) < MIN_SIDE:
        raise ImageError(name, f"{width}x{height} pixels is too small; the minimum is {MIN_SIDE} a side")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        maximum = f"{MAX_SIDE} a side and {MAX_PIXELS // 10**6} million"
        raise ImageError(name, f"{width}x{height} pixels is too large; the maximum is {maximum}")


@dataclass(frozen=True)
class ImageHeader:
    """The size and depth of an image, from its header.

    Attributes:
        width, height: in pixels, as stored.
        pixel_bytes: bytes of a decoded pixel, all channels.
        raw_bytes: bytes of a pixel that are kept in addition to 8-bit RGB, as uint16 or float32; 0 for 8 bits.
        extra_bytes: additional bytes per pixel that the decoder needs.
    """

    width: int
    height: int
    pixel_bytes: int
    raw_bytes: int = 0
    extra_bytes: int = 0

    def check(self, held: int, name: str) -> tuple[int, int]:
        """Refuse an image that is too small, or too large for the memory.

        Args:
            held: bytes that are in use while it is decoded, such as the file's content.
            name: for the message.

        Returns:
            The bytes that decoding and developing it takes, and those that stay while it is in use.

        Raises:
            ImageError: it is too small or too large.
        """
        validate_image_size(self.width, self.height, name)
        pixels = self.width * self.height
        developing = max(self.pixel_bytes + max(self.raw_bytes, 3), self.raw_bytes + 6)
        needed = max(held + pixels * (self.pixel_bytes + self.extra_bytes), pixels * developing)
        check_memory(needed, name)
        return needed, pixels * (self.raw_bytes + 3)


def read_header(content: bytes, name: str) -> ImageHeader:
    """Read the header of a PNG, JPEG or BMP; check that the file is complete.

    Raises:
        ImageError: it is not such an image, or is truncated.
    """
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png_header(content, name)
    if content.startswith(b"\xff\xd8"):
        return _jpeg_header(content, name)
    if content.startswith(b"BM"):
        return ImageHeader(*_bmp_size(content, name), 4)
    raise ImageError(name, "it is not a PNG, JPEG, TIFF, BMP or FITS image")


def _png_header(content: bytes, name: str) -> ImageHeader:
    if content[12:16] != b"IHDR" or len(content) < 33:
        raise ImageError(name, "the PNG is damaged: its header is missing")
    width, height, bits, colours = struct.unpack_from(">IIBB", content, 16)
    offset, images = 8, 1
    while content[offset + 4 : offset + 8] != b"IEND":  # what follows the end is not read
        if content[offset + 4 : offset + 8] == b"acTL":  # OpenCV keeps several images of an animation
            images = 3
        offset += 12 + int.from_bytes(content[offset : offset + 4])
        if offset + 12 > len(content):
            raise ImageError(name, "the PNG is truncated: its end is missing")
    channels = {0: 1, 2: 3, 3: 4, 4: 4}.get(colours, 4)  # OpenCV makes RGBA of grey with transparency, and of palettes
    decoded = channels * (2 if bits == 16 else 1)
    # The decoder of an interlaced PNG holds a second image.
    return ImageHeader(width, height, decoded, decoded if bits == 16 else 0, images * decoded)


def _jpeg_header(content: bytes, name: str) -> ImageHeader:
    offset, header, progressive, channels = 2, None, False, 3
    try:
        while content[offset] == 0xFF:
            marker = content[offset + 1]
            if marker == 0xFF:
                offset += 1
                continue
            (length,) = struct.unpack(">H", content[offset + 2 : offset + 4])
            if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
                height, width, channels = struct.unpack(">HHB", content[offset + 5 : offset + 10])
                if header is not None:
                    raise ImageError(name, "the JPEG is damaged: it has two headers")
                header, progressive = ImageHeader(width, height, 3), marker & 3 == 2
            if marker == 0xDA and header is not None and (progressive or content[offset + 4] < channels):
                # The decoder holds all coefficients of an image of several scans until its end, 2 bytes each.
                header = replace(header, extra_bytes=2 * channels)
            offset += 2 + length
            if marker == 0xDA:  # the scan begins; in it, only a real end marker is FF D9
                break
    except (IndexError, struct.error):
        raise ImageError(name, "the JPEG is truncated: its header is incomplete") from None
    if header is None:
        raise ImageError(name, "the JPEG is damaged: its header gives no size")
    if content.rfind(b"\xff\xd9", offset) < 0:  # searched from the end, where it is
        raise ImageError(name, "the JPEG is truncated: its end is missing")
    return header


def _bmp_size(content: bytes, name: str) -> tuple[int, int]:
    try:
        offset, header = struct.unpack_from("<II", content, 10)
        if header == 12:  # OS/2
            width, height, _, bits = struct.unpack_from("<HHHH", content, 18)
            compression = 0
        else:
            width, height, _, bits, compression = struct.unpack_from("<iiHHI", content, 18)
    except struct.error:
        raise ImageError(name, "the BMP is truncated: its header is incomplete") from None
    height = abs(height)  # negative where the rows run from the top
    if compression in (0, 3) and offset + (abs(width) * bits + 31) // 32 * 4 * height > len(content):
        raise ImageError(name, "the BMP is truncated: pixels are missing")
    return width, height
