"""Copy an image file without its metadata.

JPEG and PNG keep the compressed pixels as they are, FITS the uncompressed ones. All other files are decoded and written
again: with more than 8 bits as FITS, else as PNG.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import cv2
import numpy as np

from ...errors import UserError
from ...models.images.decoder import decode_image
from ...models.images.exif import ORIENTATION_TAG, SHORT, read_orientation
from .clean_fits import clean_fits, fits_from_pixels

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"sBIT", b"IDAT", b"IEND")
_STANDALONE = (0x01, *range(0xD0, 0xD8))
_FRAME_MARKERS = frozenset({*range(0xC0, 0xD0), 0xDA, 0xDB, 0xDD}) - {0xC8}
"""JPEG segments that the pixels need: frame, tables and scans."""
NAMES = {"COM": "comment", "eXIf": "EXIF", "tEXt": "text", "zTXt": "text", "iTXt": "text", "tIME": "time"}


@dataclass(frozen=True)
class CleanImage:
    """An image file without metadata.

    Attributes:
        content: the file.
        suffix: its format, e.g. ``.fits``.
        removed: what was left out: names of keywords and parts, never their values.
    """

    content: bytes
    suffix: str
    removed: tuple[str, ...]


def clean_image(content: bytes, name: str) -> CleanImage:
    """Return an image file without metadata; its orientation is kept.

    Raises:
        ImageError: it cannot be read.
        UsageError: its format needs an extra that is not installed.
    """
    clean: tuple[bytes, list[str]] | None = None
    suffix = ""
    if content.startswith(b"\xff\xd8"):
        clean, suffix = _clean_jpeg(content), ".jpg"
    elif content.startswith(_PNG):
        clean, suffix = _clean_png(content), ".png"
    elif content.startswith(b"SIMPLE  ="):
        clean, suffix = clean_fits(content), ".fits"
    if clean is not None:
        try:
            decode_image(clean[0], f"frame{suffix}")
        except UserError:
            clean = None  # the reader needs what was left out
    if clean is not None:
        return CleanImage(clean[0], suffix, tuple(clean[1]))
    image = decode_image(content, name)
    removed = ("everything but its pixels: it was written again",)
    if image.raw is not None:
        raw = image.raw if image.raw.dtype == np.uint16 else image.raw.astype(np.float32)
        return CleanImage(fits_from_pixels(raw, image.header, image.cfa), ".fits", removed)
    _, encoded = cv2.imencode(".png", cv2.cvtColor(image.pixels, cv2.COLOR_RGB2BGR))
    return CleanImage(encoded.tobytes(), ".png", removed)


def _orientation_tiff(orientation: int) -> bytes:
    """Return an EXIF block that has the orientation and nothing else."""
    return b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, ORIENTATION_TAG, SHORT, 1, orientation, 0, 0)


def _clean_jpeg(content: bytes) -> tuple[bytes, list[str]] | None:
    """Keep the segments that the pixels need; None where the structure is damaged."""
    result, offset = bytearray(b"\xff\xd8"), 2
    removed: list[str] = []
    orientation = read_orientation(content)
    if orientation > 1:
        block = b"Exif\0\0" + _orientation_tiff(orientation)
        result += b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block
    while offset + 2 <= len(content) and content[offset] == 0xFF:
        marker = content[offset + 1]
        if marker == 0xFF or marker in _STANDALONE:
            offset += 1 if marker == 0xFF else 2
            continue
        if marker == 0xD9:
            result += b"\xff\xd9"
            return bytes(result), _listed(removed, content, offset + 2)
        end = offset + 2 + int.from_bytes(content[offset + 2 : offset + 4])
        if marker in _FRAME_MARKERS:
            end = _scan_end(content, end) if marker == 0xDA else end
            result += content[offset:end]
        elif marker == 0xEE and content.startswith(b"Adobe", offset + 4) and end - offset == 16:
            result += content[offset:end]  # how colours are stored
        elif marker == 0xE0 and content.startswith(b"JFIF\0", offset + 4):
            result += b"\xff\xe0\0\x10" + content[offset + 4 : offset + 16] + b"\0\0"  # without its thumbnail
        else:
            exif = content.startswith(b"Exif", offset + 4)
            removed.append("comment" if marker == 0xFE else "EXIF" if exif else f"APP{marker - 0xE0}")
        offset = end
    return None


def _scan_end(content: bytes, offset: int) -> int:
    """Return where the compressed data that begin at `offset` end."""
    while (offset := content.find(b"\xff", offset)) >= 0 and offset + 1 < len(content):
        if content[offset + 1] not in (0, *range(0xD0, 0xD8)):
            return offset
        offset += 2
    return len(content)


def _listed(removed: list[str], content: bytes, end: int) -> list[str]:
    """Return what was removed, each once; also what follows the end of the image."""
    return sorted({*removed, *(["all that follows"] if end < len(content) else [])})


def _clean_png(content: bytes) -> tuple[bytes, list[str]] | None:
    """Keep the chunks that the pixels need; None where the structure is damaged."""
    result, offset = bytearray(_PNG), 8
    removed: list[str] = []
    orientation = read_orientation(content)
    while offset + 12 <= len(content):
        end = offset + 12 + int.from_bytes(content[offset : offset + 4])
        kind = content[offset + 4 : offset + 8]
        if kind in _PNG_KEPT:
            result += content[offset:end]
        else:
            removed.append(NAMES.get(kind.decode("latin-1"), "other"))
        if kind == b"IHDR" and orientation > 1:
            block = b"eXIf" + _orientation_tiff(orientation)
            result += struct.pack(">I", len(block) - 4) + block + struct.pack(">I", zlib.crc32(block))
        if kind == b"IEND":
            return bytes(result), _listed(removed, content, end)
        offset = end
    return None
