"""TIFF layouts that OpenCV misreads are decoded correctly, or refused by name."""

import struct
import zlib

import numpy as np
import pytest
from galaxy_edge.errors import ImageError
from galaxy_edge.models.images.decoder import decode_image

HEIGHT, WIDTH = 24, 32
RGB = (np.arange(HEIGHT * WIDTH * 3).reshape(HEIGHT, WIDTH, 3) * 17 % 60_000 + 100).astype(np.uint16)
GREY = RGB[..., 1]
OPAQUE = np.full((HEIGHT, WIDTH), 65_535, np.uint16)


def tiff(image, photometric, extra=None, planar=False, predictor=1, order="<", big=False, **changes):
    """Encode (H, W) or (H, W, C) as a Deflate TIFF.

    `changes` replaces tags, as ``t259=...``.
    """
    samples = 1 if image.ndim == 2 else image.shape[2]
    values = image.astype(image.dtype.newbyteorder(order))
    if predictor == 2:
        values = np.diff(image, axis=1, prepend=image[:, :1] * 0).astype(values.dtype)
    parts = [zlib.compress(values[..., index].tobytes()) for index in range(samples)] if planar else None
    parts = parts or [zlib.compress(values.tobytes())]
    start = 16 if big else 8
    offsets = [start + sum(map(len, parts[:index])) for index in range(len(parts))]
    kind = {"u": 1, "i": 2, "f": 3}[image.dtype.kind]
    tags = {256: [image.shape[1]], 257: [image.shape[0]], 258: [8 * image.dtype.itemsize] * samples, 259: [8],
            262: [photometric], 273: offsets, 277: [samples], 278: [image.shape[0]], 279: [len(part) for part in parts],
            284: [2 if planar else 1], 317: [predictor], 339: [kind] * samples}  # fmt: skip
    if extra is not None:
        tags[338] = [extra]
    tags |= {int(key[1:]): [value] for key, value in changes.items()}
    body, long = b"".join(parts), "Q" if big else "I"
    room, entries = (8 if big else 4), b""
    for tag, numbers in sorted(tags.items()):
        layout = long if tag in (273, 279) else "H"
        packed = struct.pack(f"{order}{len(numbers)}{layout}", *numbers)
        if len(packed) > room:
            body += packed
            packed = struct.pack(order + long, start + len(body) - len(packed))
        entry = struct.pack(f"{order}HH{long}", tag, {"H": 3, "I": 4, "Q": 16}[layout], len(numbers))
        entries += entry + packed.ljust(room, b"\0")
    mark = b"II" if order == "<" else b"MM"
    magic = (
        struct.pack(order + "HHHQ", 43, 8, 0, 16 + len(body)) if big else struct.pack(order + "HI", 42, 8 + len(body))
    )
    count = struct.pack(order + ("Q" if big else "H"), len(tags))
    return mark + magic + body + count + entries + bytes(room)


FLOATS = (RGB / 65_536).astype(np.float32)
CASES = {
    "rgb": (tiff(RGB, 2), RGB),
    "planar": (tiff(RGB, 2, planar=True), RGB),
    "planar big-endian": (tiff(RGB, 2, planar=True, order=">"), RGB),
    "planar floats": (tiff(FLOATS, 2, planar=True), FLOATS),
    "float RGBA": (tiff(np.dstack([FLOATS, FLOATS * 0 + 1])[..., :4], 2, extra=2), FLOATS),
    "inverted": (tiff(65_535 - GREY, 0), GREY),
    "inverted with a predictor": (tiff(65_535 - GREY, 0, predictor=2), GREY),
    "grey and alpha": (tiff(np.dstack([GREY, OPAQUE]), 1, extra=2), GREY),
    "grey and alpha with a predictor": (tiff(np.dstack([GREY, OPAQUE]), 1, extra=2, predictor=2), GREY),
    "RGBA": (tiff(np.dstack([RGB, OPAQUE]), 2, extra=2), RGB),
    "half transparent": (tiff(np.dstack([GREY // 2 * 2, OPAQUE // 2 + 1]), 1, extra=2), GREY // 2),
    "a fourth channel that is no transparency": (tiff(np.dstack([RGB, OPAQUE * 0]), 2, extra=0), RGB),
    "colours multiplied by transparency": (tiff(np.dstack([RGB, OPAQUE // 2]), 2, extra=1), RGB),
    "BigTIFF": (tiff(RGB, 2, big=True), RGB),
    "BigTIFF, big-endian, planar": (tiff(RGB, 2, big=True, order=">", planar=True), RGB),
    "BigTIFF turned": (tiff(RGB, 2, big=True, t274=3), RGB[::-1, ::-1]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_the_file(name):
    content, expected = CASES[name]
    raw = decode_image(content, "sky.tif").raw
    assert raw.dtype == expected.dtype and raw.shape == expected.shape
    assert np.abs(raw.astype(float) - expected).max() <= (1 if name == "half transparent" else 0)


@pytest.mark.parametrize("content, reason", [
    (tiff(FLOATS.astype(np.float16), 2), "16 bits of format 3"),
    (tiff(RGB, 2, t259=50_000), "compression 50000 is not read"),
    (tiff(RGB, 32_803), "PhotometricInterpretation 32803"),
    (tiff(np.dstack([RGB, RGB]), 2), "6 samples of 16 bits"),
])  # fmt: skip
def test_layouts_that_are_not_read_are_refused_by_name(content, reason):
    with pytest.raises(ImageError, match=reason):
        decode_image(content, "sky.tif")


def test_content_decides_where_the_name_is_wrong():
    assert decode_image(tiff(GREY, 1), "sky.fits").raw.shape == GREY.shape
