"""Rendered skies and encoded image files."""

import struct
import zlib

import cv2
import numpy as np


def render(blobs, width, height, level=200.0):
    """Render Gaussian blobs (x, y, sigma) on a dark sky."""
    rows, columns = np.mgrid[:height, :width]
    sky = np.full((height, width), 8.0)
    for x, y, sigma in blobs:
        sky += level * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return np.repeat(np.clip(sky, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def encode(image, suffix=".png") -> bytes:
    """Encode an RGB (or grey, or RGBA) array as an image file."""
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    done, content = cv2.imencode(suffix, image)
    assert done
    return content.tobytes()


def encode_palette_png(indices, palette) -> bytes:
    """Encode (H, W) indices and (N, 3) RGB entries as a PNG with a palette.

    OpenCV cannot write such a file.
    """
    height, width = indices.shape
    rows = b"".join(b"\0" + row.astype(np.uint8).tobytes() for row in indices)
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    colours = np.asarray(palette, np.uint8).tobytes()
    chunks = ((b"IHDR", header), (b"PLTE", colours), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, data) for kind, data in chunks)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def encode_tiff(image, orientation=1, order="<") -> bytes:
    """Encode unsigned integers as an uncompressed TIFF with an orientation tag.

    The array is (H, W) or (H, W, 3).
    """
    height, width = image.shape[:2]
    channels = 1 if image.ndim == 2 else image.shape[2]
    pixels = image.astype(image.dtype.newbyteorder(order)).tobytes()
    short, long = 3, 4
    entries = [
        (256, long, width),
        (257, long, height),
        (258, short, 8 * image.dtype.itemsize),  # one value, valid for all channels in the readers at hand
        (259, short, 1),
        (262, short, 2 if channels == 3 else 1),
        (273, long, 8),
        (274, short, orientation),
        (277, short, channels),
        (278, long, height),
        (279, long, len(pixels)),
    ]
    directory = struct.pack(order + "H", len(entries))
    for tag, kind, value in entries:
        layout = "HHIHH" if kind == short else "HHII"
        directory += struct.pack(order + layout, tag, kind, 1, value, *((0,) if kind == short else ()))
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8 + len(pixels))
    return start + pixels + directory + b"\0\0\0\0"


def add_exif_orientation(content: bytes, orientation: int) -> bytes:
    """Insert an EXIF block with nothing but the orientation into a JPEG or PNG file."""
    block = b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0) + b"\0\0\0\0"
    if content.startswith(b"\x89PNG"):
        end_of_header = 8 + 25
        return content[:end_of_header] + png_chunk(b"eXIf", block) + content[end_of_header:]
    segment = b"Exif\0\0" + block
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + content[2:]
