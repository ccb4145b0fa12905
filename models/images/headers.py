"""The size that a picture's header tells, before anything of it is decoded."""

from __future__ import annotations

import struct

from ...errors import ImageError

MIN_SIDE = 16
MAX_SIDE = 32_000
MAX_PIXELS = 200_000_000


def validate_image_size(width: int, height: int, name: str) -> None:
    """Refuse a picture that is too small or too large.

    Raises:
        BadPicture: it is smaller than 16 or larger than 32,000 pixels a side, or has more than 200 million.
    """
    if min(width, height) < MIN_SIDE:
        raise ImageError(name, f"{width}x{height} pixels is too small; the least is {MIN_SIDE} a side")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        most = f"{MAX_SIDE} a side and {MAX_PIXELS // 10**6} million"
        raise ImageError(name, f"{width}x{height} pixels is too large; the most is {most}")


def read_image_size(content: bytes, name: str) -> tuple[int, int] | None:
    """Read width and height from a PNG, JPEG or TIFF header, and see that the file is whole.

    Returns:
        None when the header does not tell in the usual place (some TIFF).

    Raises:
        BadPicture: it is no such picture, or breaks off.
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
    raise ImageError(name, "it is no PNG, JPEG, TIFF or FITS picture")


def _jpeg_size(content: bytes, name: str) -> tuple[int, int]:
    place, size = 2, None
    try:
        while content[place] == 0xFF:
            marker = content[place + 1]
            if marker == 0xFF:
                place += 1
                continue
            (length,) = struct.unpack(">H", content[place + 2 : place + 4])
            if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
                height, width = struct.unpack(">HH", content[place + 5 : place + 9])
                size = (width, height)
            place += 2 + length
            if marker == 0xDA:  # the scan begins; in it, only a real end marker is FF D9
                break
    except (IndexError, struct.error):
        raise ImageError(name, "the JPEG is truncated: its header breaks off") from None
    if size is None:
        raise ImageError(name, "the JPEG is damaged: it does not say its size")
    if content.rfind(b"\xff\xd9", place) < 0:  # from the end, where it is
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
