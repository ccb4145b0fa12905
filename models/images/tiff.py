"""Read TIFF through OpenCV.

The directory is replaced for layouts that OpenCV misreads without an error.

OpenCV mixes up planes that are stored one after the other, truncates grey with transparency, returns black for floats
with transparency and negatives for inverted 16-bit grey. Each such image is therefore presented to OpenCV as one or
more plain grey images, by replacing the directory that describes the pixels; the result is split here. Directory: TIFF
6.0, and BigTIFF.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ...errors import ImageError
from .headers import TIFF_MAGIC, ImageHeader

"""First bytes of TIFF and BigTIFF, in both byte orders."""
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, STRIPS, ORIENTATION = 256, 257, 258, 259, 262, 273, 274
SAMPLES, STRIP_BYTES, PLANAR, PREDICTOR, TILE_WIDTH, TILE_HEIGHT = 277, 279, 284, 317, 322, 323
TILES, TILE_BYTES, EXTRA, FORMAT = 324, 325, 338, 339
DEFAULTS = {BITS: 1, COMPRESSION: 1, PHOTOMETRIC: 1, ORIENTATION: 1, SAMPLES: 1, PLANAR: 1, PREDICTOR: 1, FORMAT: 1}
LAYOUT = frozenset((*DEFAULTS, WIDTH, HEIGHT, STRIPS, STRIP_BYTES, TILE_WIDTH, TILE_HEIGHT, TILES, TILE_BYTES, EXTRA))
COMPRESSIONS = {1: "none", 2: "CCITT", 3: "CCITT", 4: "CCITT", 5: "LZW", 7: "JPEG", 8: "Deflate", 32773: "PackBits",
                32946: "Deflate"}  # fmt: skip
JPEG, INVERTED, GREY, RGB = 7, 0, 1, 2
PHOTOMETRICS = (INVERTED, GREY, RGB, 3, 5, 6, 8)
"""Known meanings of the samples: grey, RGB, palette, CMYK, YCbCr, L*a*b*."""
UINT, INT, FLOAT = 1, 2, 3
ASSOCIATED, UNASSOCIATED = 1, 2
"""Kinds of transparency: colours are already multiplied by it, or not."""
_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}


@dataclass(frozen=True)
class TiffImage:
    """The first image of a TIFF file, as its directory describes it.

    Attributes:
        order: byte order, ``<`` or ``>``.
        big: whether it is a BigTIFF, whose offsets have 8 bytes.
        values: tag -> values, of the tags in `LAYOUT`.
        entries: tag -> the directory's entry as it is stored.
    """

    order: str
    big: bool
    values: dict[int, tuple[int, ...]]
    entries: dict[int, bytes]

    def get(self, tag: int) -> int:
        """Return the first value of a tag, or its default; 0 where it has none."""
        return self.values.get(tag, (DEFAULTS.get(tag, 0),))[0]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as stored."""
        return self.get(WIDTH), self.get(HEIGHT)

    def header(self) -> ImageHeader:
        """Return the size and depth from which the image's memory is computed.

        Tiles may be larger than the image.
        """
        width, height = self.size
        samples = max(self.get(SAMPLES), 4 if self.get(BITS) <= 8 else 1)  # OpenCV decodes 8 bits through RGBA
        depth = max(1, -(-self.get(BITS) // 8))
        kept = (3 if self.get(SAMPLES) >= 3 else 1) * min(4, depth) if depth > 1 else 0
        tiles = -(-self.tile_pixels // max(1, width * height))
        return ImageHeader(
            width, height, samples * depth, kept, samples * depth * (tiles if self.is_plain else tiles + 1)
        )

    @property
    def tile_pixels(self) -> int:
        """Pixels of a tile, 0 without tiles; it may be larger than the image."""
        return self.get(TILE_WIDTH) * self.get(TILE_HEIGHT)

    @property
    def is_plain(self) -> bool:
        """Whether OpenCV reads the layout correctly."""
        samples, kind = self.get(SAMPLES), self.get(PHOTOMETRIC)
        if kind not in (INVERTED, GREY, RGB) or self.get(COMPRESSION) == JPEG or self.get(BITS) < 8:
            return True
        return self.get(PLANAR) == 1 and samples in (1, 3) and kind != INVERTED


def parse_tiff(content: bytes, name: str) -> TiffImage:
    """Read the first directory of a TIFF file.

    Raises:
        ImageError: it is damaged, gives a tag of the layout twice, or has a layout that is not read.
    """
    order, big = ("<" if content[:2] == b"II" else ">"), content[:4] in TIFF_MAGIC[2:]
    step, count_format, value_at = (20, "Q", 12) if big else (12, "H", 8)
    values: dict[int, tuple[int, ...]] = {}
    entries: dict[int, bytes] = {}
    try:
        (directory,) = struct.unpack_from(order + ("Q" if big else "I"), content, 8 if big else 4)
        (count,) = struct.unpack_from(order + count_format, content, directory)
        start = directory + struct.calcsize(count_format)
        if start + count * step > len(content):
            raise struct.error
        for offset in range(start, start + count * step, step):
            tag, kind = struct.unpack_from(order + "HH", content, offset)
            if tag in entries and tag in LAYOUT:
                raise ImageError(name, f"the TIFF is damaged: its directory gives tag {tag} twice")
            entries[tag] = content[offset : offset + step]
            if tag in LAYOUT and kind in _TYPES:
                (number,) = struct.unpack_from(order + ("Q" if big else "I"), content, offset + 4)
                length = number * struct.calcsize(_TYPES[kind])
                at = offset + value_at
                if length > step - value_at:
                    (at,) = struct.unpack_from(order + ("Q" if big else "I"), content, at)
                if number == 0 or at + length > len(content):
                    raise struct.error
                values[tag] = struct.unpack_from(f"{order}{number}{_TYPES[kind]}", content, at)
    except (struct.error, OverflowError):
        raise ImageError(name, "the TIFF is truncated: its directory is incomplete") from None
    if WIDTH not in values or HEIGHT not in values:
        raise ImageError(name, "the TIFF is damaged: its directory gives no size")
    image = TiffImage(order, big, values, entries)
    _check_layout(image, name)
    return image


def decode_tiff(content: bytes, image: TiffImage, name: str) -> np.ndarray:
    """Decode the image that `parse_tiff` described: (H, W) or (H, W, 3) RGB.

    Transparency is drawn over black, and the orientation is not applied.

    Raises:
        ImageError: it is damaged.
    """
    if image.is_plain:
        pixels = _decode_directory(content, image, {}, name)
        if pixels.ndim == 3 and pixels.shape[2] == 4:
            return cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGB)
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels) if pixels.ndim == 3 else pixels
    samples, separate = image.get(SAMPLES), image.get(PLANAR) == 2
    if separate:
        planes = [_decode_directory(content, image, _plane(image, index), name) for index in range(samples)]
    else:
        wide = _undo_predictor(_decode_directory(content, image, _wide(image), name), image)
        planes = [wide] if samples == 1 else [wide[:, index::samples] for index in range(samples)]
        del wide
    colours = 3 if samples >= 3 else 1
    pixels = planes[0] if colours == 1 else cv2.merge([np.ascontiguousarray(plane) for plane in planes[:3]])
    if image.get(PHOTOMETRIC) == INVERTED:
        pixels = np.iinfo(pixels.dtype).max - pixels if pixels.dtype.kind == "u" else -pixels
    if samples > colours and image.get(EXTRA) == UNASSOCIATED:
        pixels = multiply_alpha(np.ascontiguousarray(pixels), planes[colours])
    return np.ascontiguousarray(pixels)


def multiply_alpha(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Compose an image (H, W) or (H, W, 3) over black in place; the depth stays.

    Args:
        pixels: contiguous.
        alpha: (H, W) of the same type.
    """
    full = float(np.iinfo(pixels.dtype).max) if pixels.dtype.kind == "u" else 1.0
    for top in range(0, len(pixels), 64):  # in bands: a whole image of 64-bit floats would be large
        band = slice(top, top + 64)
        share = alpha[band].astype(np.float64) / full
        product = pixels[band] * (share if pixels.ndim == 2 else share[..., None])
        pixels[band] = np.round(product) if pixels.dtype.kind == "u" else product
    return pixels


def _check_layout(image: TiffImage, name: str) -> None:
    """Refuse layouts that would be read wrongly or not at all.

    The message names them.
    """
    bits, kind, samples = image.get(BITS), image.get(FORMAT), image.get(SAMPLES)
    compression, photometric = image.get(COMPRESSION), image.get(PHOTOMETRIC)
    fault = ""
    if compression not in COMPRESSIONS:
        known = ", ".join(dict.fromkeys(COMPRESSIONS.values()))
        fault = f"its TIFF compression {compression} is not read; save it with one of {known}"
    elif photometric not in PHOTOMETRICS:
        fault = f"its TIFF colours (PhotometricInterpretation {photometric}) are not read; save it as grey or RGB"
    elif kind not in (UINT, INT, FLOAT) or (kind == FLOAT and bits not in (32, 64)):
        fault = (
            f"its TIFF samples ({bits} bits of format {kind}) are not read; save it as 16-bit integers or 32-bit floats"
        )
    elif len(set(image.values.get(BITS, (1,)))) > 1 or len(set(image.values.get(FORMAT, (1,)))) > 1:
        fault = "the channels of the TIFF differ in depth"
    elif not image.is_plain and (samples > 4 or (kind == FLOAT and bits == 64 and samples > 1)):
        fault = f"{samples} samples of {bits} bits in a TIFF are not read; save it as grey or RGB"
    elif bits > 8 and photometric not in (INVERTED, GREY, RGB):
        fault = f"TIFF colours {photometric} of {bits} bits are not read; save it as grey or RGB"
    elif not image.is_plain and image.get(PREDICTOR) != 1 and image.tile_pixels:
        fault = "a TIFF of tiles with a predictor and transparency or separate planes is not read; save it as plain RGB"
    if fault:
        raise ImageError(name, fault)


def _plane(image: TiffImage, index: int) -> dict[int, tuple[int, ...]]:
    """Return the tags that describe one of several planes as a grey image."""
    tags: dict[int, tuple[int, ...]] = {SAMPLES: (1,), PLANAR: (1,), PHOTOMETRIC: (GREY,), BITS: (image.get(BITS),),
                                        FORMAT: (image.get(FORMAT),), EXTRA: ()}  # fmt: skip
    for tag in (STRIPS, STRIP_BYTES, TILES, TILE_BYTES):
        if tag in image.values:
            length = len(image.values[tag]) // image.get(SAMPLES)
            tags[tag] = image.values[tag][index * length : (index + 1) * length]
    return tags


def _wide(image: TiffImage) -> dict[int, tuple[int, ...]]:
    """Return the tags of interleaved samples read as a grey image.

    That image has as many columns as a row has samples.
    """
    samples = image.get(SAMPLES)
    tags: dict[int, tuple[int, ...]] = {WIDTH: (image.get(WIDTH) * samples,), SAMPLES: (1,), PHOTOMETRIC: (GREY,),
                                        BITS: (image.get(BITS),), FORMAT: (image.get(FORMAT),), EXTRA: (),
                                        PREDICTOR: (1,) if samples > 1 else (image.get(PREDICTOR),)}  # fmt: skip
    if image.tile_pixels:
        tags[TILE_WIDTH] = (image.get(TILE_WIDTH) * samples,)
    return tags


def _undo_predictor(wide: np.ndarray, image: TiffImage) -> np.ndarray:
    """Undo the differences between the pixels of a row.

    libtiff undoes them only for one sample per pixel.
    """
    predictor, samples = image.get(PREDICTOR), image.get(SAMPLES)
    if predictor == 1 or samples == 1:
        return wide
    height, columns = wide.shape
    if predictor == 2:
        return np.cumsum(wide.reshape(height, -1, samples), axis=1, dtype=wide.dtype).reshape(height, columns)
    if image.order == ">":
        wide = wide.byteswap()
    stored = np.ascontiguousarray(wide).view(np.uint8).reshape(height, -1, samples)
    planes = np.cumsum(stored, axis=1, dtype=np.uint8).reshape(height, wide.itemsize, columns)[:, ::-1]
    return np.ascontiguousarray(planes.transpose(0, 2, 1)).view(wide.dtype).reshape(height, columns)


def _decode_directory(content: bytes, image: TiffImage, tags: dict[int, tuple[int, ...]], name: str) -> np.ndarray:
    """Decode with some tags replaced (an empty value removes one).

    The orientation is left out, because OpenCV may apply it.
    """
    changed = {ORIENTATION: (), **tags}
    file = bytearray(content)
    entries = dict(image.entries)
    for tag, values in changed.items():
        entries.pop(tag, None)
        if values:
            entries[tag] = _entry(file, image, tag, values)
    offset, count = ("Q", "Q") if image.big else ("I", "H")
    if len(file) % 2:
        file += b"\0"
    struct.pack_into(image.order + offset, file, 8 if image.big else 4, len(file))
    file += struct.pack(image.order + count, len(entries)) + b"".join(entries[tag] for tag in sorted(entries))
    file += struct.pack(image.order + offset, 0)
    try:
        pixels: Any = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise ImageError(name, "it cannot be decoded; it may be damaged")
    return np.asarray(pixels)


def _entry(file: bytearray, image: TiffImage, tag: int, values: tuple[int, ...]) -> bytes:
    """Return a directory entry of long values.

    Values that do not fit in are appended to the file.
    """
    offset, room, kind = ("Q", 8, 16) if image.big else ("I", 4, 4)
    packed = struct.pack(f"{image.order}{len(values)}{offset}", *values)
    if tag in (BITS, SAMPLES, PHOTOMETRIC, PLANAR, FORMAT, PREDICTOR):  # libtiff wants short values here
        kind, packed = 3, struct.pack(f"{image.order}{len(values)}H", *values)
    if len(packed) > room:
        file += b"\0" * (len(file) % 2)
        at = len(file)
        file += packed
        packed = struct.pack(image.order + offset, at)
    return struct.pack(f"{image.order}HH{offset}", tag, kind, len(values)) + packed.ljust(room, b"\0")
