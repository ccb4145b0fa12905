"""Images in layouts and units that readers get wrong without a message."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

from .....errors import ImageError
from .....models.images.decoder import decode_image
from .....models.raw.front_end import develop
from ...attack import Attack, Outcome

SHAPE = 48, 64
UNITS = 1.0, 1e-15, 1e-4, 1e9
"""Factors of the same exposure: ADU, fluxes, shares of the full well, and scaled counts."""


def run(count: int, folder: Path) -> Outcome:
    """Read `count` random images in random layouts and units.

    Each must give the values that were written, be refused, or, in another unit or with a border of zeros, be shown as
    the same picture.
    """
    random = np.random.default_rng(1)
    wrong = refused = dark = 0
    for number in range(count):
        values, content = _tiff(random, number)
        try:
            image = decode_image(content, "light.tif")
        except ImageError:
            refused += 1
            continue
        wrong += image.raw is None or not np.allclose(image.raw, values, atol=1)
        dark += not number % 10 and _changes_with_unit(random)
    figures: dict[str, int | float | str] = {"files": count, "wrong": wrong, "refused": refused}
    return Outcome(figures | {"units_that_change_the_picture": dark}, not wrong and not dark and refused == 0)


def _tiff(random: np.random.Generator, number: int) -> tuple[np.ndarray, bytes]:
    """Return values and a Deflate TIFF of them in a random layout.

    It has planes or alpha, is inverted, or has floats, in either byte order.
    """
    floats, planar = bool(random.integers(2)), bool(random.integers(2))
    order = "<>"[int(random.integers(2))]
    kind = ("grey", "inverted", "grey+alpha", "rgb", "rgba")[number % 5]
    colours = 3 if kind.startswith("rgb") else 1
    alpha = kind in ("grey+alpha", "rgba")
    floats = floats and kind != "inverted"
    values = random.integers(0, 65_536, (*SHAPE, colours)).astype(np.uint16)
    if floats:
        values = (values / 65_536).astype(np.float32)
    opaque = np.full((*SHAPE, 1), 1 if floats else 65_535, values.dtype)
    stored = np.concatenate([values, opaque], axis=2) if alpha else values
    stored = 65_535 - stored if kind == "inverted" else stored
    photometric = {"inverted": 0, "rgb": 2, "rgba": 2}.get(kind, 1)
    return np.squeeze(values), _encode(stored, photometric, alpha, planar, order)


def _encode(stored: np.ndarray, photometric: int, alpha: bool, planar: bool, order: str) -> bytes:
    height, width, samples = stored.shape
    ordered = stored.astype(np.dtype(f"{order}{stored.dtype.kind}{stored.dtype.itemsize}"))
    planes = [ordered[..., index] for index in range(samples)] if planar else [ordered]
    parts = [zlib.compress(plane.tobytes()) for plane in planes]
    body = b"".join(parts)
    offsets = [8 + sum(map(len, parts[:index])) for index in range(len(parts))]
    tags: dict[int, list[int]] = {
        256: [width], 257: [height], 258: [8 * stored.dtype.itemsize] * samples, 259: [8], 262: [photometric],
        273: offsets, 277: [samples], 278: [height], 279: [len(part) for part in parts], 284: [1 + planar],
        339: [3 if stored.dtype.kind == "f" else 1] * samples,
    }  # fmt: skip
    if alpha:
        tags[338] = [2]
    entries = b""
    for tag, numbers in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(numbers)}I", *numbers)
        if len(packed) > 4:
            packed = struct.pack(order + "I", 8 + len(body))
            body += struct.pack(f"{order}{len(numbers)}I", *numbers)
        entries += struct.pack(f"{order}HHI", tag, 4, len(numbers)) + packed
    mark = b"II" if order == "<" else b"MM"
    header = mark + struct.pack(order + "HI", 42, 8 + len(body))
    return header + body + struct.pack(order + "H", len(tags)) + entries + bytes(4)


def _changes_with_unit(random: np.random.Generator) -> bool:
    """Return whether an exposure develops differently in another unit.

    Every unit is tried, and a border of zeros.
    """
    exposure = random.normal(1000, 10, (160, 200)).astype(np.float32)
    rows, columns = np.mgrid[:160, :200]
    exposure += 300 * np.exp(-((rows - 80) ** 2 + (columns - 100) ** 2) / 2 / 12**2).astype(np.float32)
    first = develop(exposure, None).pixels.astype(int)
    differs = any(np.abs(develop(exposure * np.float32(unit), None).pixels - first).max() > 2 for unit in UNITS)
    bordered = exposure.copy()
    bordered[:, :60] = 0
    inside = np.abs(develop(bordered, None).pixels.astype(int) - first)[:, 64:]
    return bool(differs or np.median(inside) > 8)


ATTACK = Attack(
    promise="Pixels are read as they were written in every layout of TIFF, and shown alike in every unit; what cannot "
    "be read is refused.",
    method="{count} random TIFF files (grey, inverted, with alpha, RGB and RGBA, planes, floats, both byte orders), "
    "and a tenth as many exposures in four units and with a border of zeros",
    run=run,
    count=2000,
    small_count=40,
)
