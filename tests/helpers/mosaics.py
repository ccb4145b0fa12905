"""Raw frames made by hand.

Bayer mosaics of a known scene, and FITS and DNG files of them.
"""

import io
import struct

import numpy as np
import pytest

SKY_LEVELS = {"R": 900.0, "G": 1500.0, "B": 1200.0}
NOISE = 20.0


def scene(height=128, width=160, seed=1):
    """A linear scene, (height, width, 3) float64.

    Sky of three levels, noise, and a reddish blob in the middle.
    """
    rows, columns = np.mgrid[:height, :width]
    blob = np.exp(-((columns - width / 2) ** 2 + (rows - height / 2) ** 2) / (2 * (height / 10) ** 2))
    colours = np.array([SKY_LEVELS[letter] for letter in "RGB"])
    noise = np.random.default_rng(seed).normal(0, NOISE, (height, width, 1))
    return colours + blob[..., None] * np.array([4000.0, 2000.0, 1000.0]) + noise


def mosaic_of(rgb, pattern="GRBG"):
    """Sample an RGB scene through a Bayer pattern: (H, W) uint16."""
    mosaic = np.zeros(rgb.shape[:2])
    for index, letter in enumerate(pattern):
        y, x = divmod(index, 2)
        mosaic[y::2, x::2] = rgb[y::2, x::2, "RGB".index(letter)]
    return np.clip(np.rint(mosaic), 0, 65535).astype(np.uint16)


def fits_file(data, **cards):
    """Encode an array as a FITS file with some keywords."""
    fits = pytest.importorskip("astropy.io.fits", reason="needs astropy (the fits extra)")
    unit = fits.PrimaryHDU(data)
    for key, value in cards.items():
        unit.header[key] = value
    stream = io.BytesIO()
    unit.writeto(stream)
    return stream.getvalue()


def dng_file(mosaic, pattern="GRBG", side=0):
    """Encode a mosaic (H, W) uint16 as an uncompressed DNG.

    Its header states `side` x `side` pixels where given.
    """
    height, width = mosaic.shape
    byte, text, short, long, signed = 1, 2, 3, 4, 10
    colours = bytes("RGB".index(letter) for letter in pattern)
    identity = struct.pack("<18i", *(part for index in range(9) for part in (int(index % 4 == 0), 1)))
    entries = [
        (254, long, struct.pack("<I", 0)), (256, long, struct.pack("<I", side or width)),
        (257, long, struct.pack("<I", side or height)), (258, short, struct.pack("<H", 16)),
        (259, short, struct.pack("<H", 1)), (262, short, struct.pack("<H", 32803)), (271, text, b"Galaxy\0"),
        (272, text, b"Edge\0"), (273, long, struct.pack("<I", 8)), (277, short, struct.pack("<H", 1)),
        (278, long, struct.pack("<I", side or height)), (279, long, struct.pack("<I", mosaic.nbytes)),
        (33421, short, struct.pack("<HH", 2, 2)), (33422, byte, colours), (50706, byte, b"\1\4\0\0"),
        (50707, byte, b"\1\1\0\0"), (50708, text, b"Galaxy Edge\0"), (50714, short, struct.pack("<H", 512)),
        (50717, long, struct.pack("<I", 65535)), (50721, signed, identity), (50778, short, struct.pack("<H", 21)),
    ]  # fmt: skip
    sizes = {byte: 1, text: 1, short: 2, long: 4, signed: 8}
    content = bytearray(b"II*\0" + bytes(4) + mosaic.astype("<u2").tobytes())
    rows = b""
    for tag, kind, value in entries:
        rows += struct.pack("<HHI", tag, kind, len(value) // sizes[kind])
        rows += value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", len(content))
        content += value + bytes(len(value) % 2) if len(value) > 4 else b""
    struct.pack_into("<I", content, 4, len(content))
    return bytes(content) + struct.pack("<H", len(entries)) + rows + bytes(4)
