"""Read the size of an image from its header, before anything of it is decoded."""

from __future__ import annotations

import struct

from ...errors import ImageError

MIN_SIDE = 16
MAX_SIDE = 32_000
MAX_PIXELS = 200_000_000


def validate_image_size(width: int, height: int, name: str) -> None:
    """Refuse an image that is too small or too large.

    Raises:
        ImageError: it is smaller than 16 or larger than 32,000 pixels a side, or has more than 200 million.
    """
    if min(width, height) < MIN_SIDE:
        raise ImageError(name, f"{width}x{height} pixels is too small; the minimum is {MIN_SIDE} a side")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        maximum = f"{MAX_SIDE} a side and {MAX_PIXELS // 10**6} million"
        raise ImageError(name, f"{width}x{height} pixels is too large; the maximum is {maximum}")


def read_image_size(content: bytes, name: str) -> tuple[int, int] | None:
    """Read width and height, as stored, from a PNG, JPEG, TIFF or BMP header; check that the file is complete.

    Returns:
        None where the header does not give them in the usual place (some TIFF).

    Raises:
        ImageError: it is not such an image, or is truncated.
    """
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        if b"IEND\xaeB`\x82" not in content[-1024:]:
            raise ImageError(name, "the PNG is truncated: its end is missing")
        if content[12:16] != b"IHDR" or len(content) < 24:
            raise ImageError(name, "the PNG is damaged: its header is missing")
        width, height = struct.unpack_from(">II", content, 16)
        return width, height
    if content.startswith(b"\xff\xd8"):
        return _jpeg_size(content, name)
    if content[:4] in (b"II*\0", b"MM\0*"):
        return _tiff_size(content, name)
    if content.startswith(b"BM"):
        return _bmp_size(content, name)
    raise ImageError(name, "it is not a PNG, JPEG, TIFF, BMP or FITS image")


def _jpeg_size(content: bytes, name: str) -> tuple[int, int]:
    offset, size = 2, None
    try:
        while content[offset] == 0xFF:
            marker = content[offset + 1]
            if marker == 0xFF:
                offset += 1
                continue
            (length,) = struct.unpack(">H", content[offset + 2 : offset + 4])
            if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
                height, width = struct.unpack(">HH", content[offset + 5 : offset + 9])
                size = (width, height)
            offset += 2 + length
            if marker == 0xDA:  # the scan begins; in it, only a real end marker is FF D9
                break
    except (IndexError, struct.error):
        raise ImageError(name, "the JPEG is truncated: its header breaks off") from None
    if size is None:
        raise ImageError(name, "the JPEG is damaged: its header gives no size")
    if content.rfind(b"\xff\xd9", offset) < 0:  # searched from the end, where it is
        raise ImageError(name, "the JPEG is truncated: its end is missing")
    return size


def _tiff_size(content: bytes, name: str) -> tuple[int, int] | None:
    order = "<" if content[:2] == b"II" else ">"
    try:
        (directory,) = struct.unpack_from(order + "I", content, 4)
        (count,) = struct.unpack_from(order + "H", content, directory)
        values = {}
        for entry in range(count):
            tag, kind = struct.unpack_from(order + "HH", content, directory + 2 + 12 * entry)
            if tag in (256, 257):
                layout = order + ("H" if kind == 3 else "I")
                (values[tag],) = struct.unpack_from(layout, content, directory + 2 + 12 * entry + 8)
    except struct.error:
        raise ImageError(name, "the TIFF is truncated: its directory breaks off") from None
    return (values[256], values[257]) if len(values) == 2 else None


def _bmp_size(content: bytes, name: str) -> tuple[int, int]:
    try:
        offset, header = struct.unpack_from("<II", content, 10)
        if header == 12:  # OS/2
            width, height, _, bits = struct.unpack_from("<HHHH", content, 18)
            compression = 0
        else:
            width, height, _, bits, compression = struct.unpack_from("<iiHHI", content, 18)
    except struct.error:
        raise ImageError(name, "the BMP is truncated: its header breaks off") from None
    height = abs(height)  # negative where the rows run from the top
    if compression in (0, 3) and offset + (abs(width) * bits + 31) // 32 * 4 * height > len(content):
        raise ImageError(name, "the BMP is truncated: pixels are missing")
    return width, height
