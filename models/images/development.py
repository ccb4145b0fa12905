"""Develop linear images and Bayer mosaics to 8-bit RGB.

Linear images have more than 8 bits, mosaics any depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from ..raw.stretch import Stretch
from .stretch import raw_of, to_rgb8

STRETCHES = ("auto", "none", "percentile")
"""``auto``: by the image's own noise, see `models.raw.stretch`. ``none``: linear from its minimum to its maximum.
``percentile``: asinh from the median to the 99.8th percentile, see `to_rgb8`."""


@dataclass(frozen=True)
class Development:
    """How images of more than 8 bits are reduced to 8.

    Attributes:
        kind: one of `STRETCHES`.
        stretch: parameters of ``auto``; those of the detector's manifest.
        full_size: whether the colours of a mosaic are interpolated at every pixel, in place of superpixels.

    Raises:
        ValueError: the kind is unknown.
    """

    kind: str = "auto"
    stretch: Stretch = field(default_factory=Stretch)
    full_size: bool = False

    def __post_init__(self) -> None:
        if self.kind not in STRETCHES:
            raise ValueError(f"unknown stretch '{self.kind}'; known: {', '.join(STRETCHES)}")


@dataclass(frozen=True, eq=False)
class DevelopedImage:
    """A developed image.

    Attributes:
        pixels: (h, w, 3) uint8 RGB; for a mosaic, superpixels of half the size unless it was interpolated.
        stretch: parameters of the stretch, as plain values for JSON.
        raw: the image's own values, uint16 or float32; masked pixels are NaN.
        planes: one or three linear channels (h, w), finite: 0 where `raw` is NaN; hot pixels of a mosaic replaced.
        binning: pixels of `raw` along a side of one pixel of `pixels`.
    """

    pixels: np.ndarray
    stretch: dict[str, Any]
    raw: np.ndarray
    planes: tuple[np.ndarray, ...]
    binning: int


def develop_image(image: np.ndarray, cfa: str | None = None, development: Development | None = None) -> DevelopedImage:
    """Develop an image.

    Args:
        image: (H, W) mono or mosaic, or (H, W, 3) RGB, of any real type; values that are not finite count as 0.
        cfa: Bayer pattern of a mosaic, see `models.raw.bayer.parse_pattern`; None for mono and RGB.
        development: by default, the standard stretch by noise.
    """
    from ..raw.front_end import linear_planes  # imported when the first raw image arrives, which most runs do not have

    development = development or Development()
    raw = image.astype(np.uint16) if image.dtype == np.uint8 else raw_of(image)
    assert raw is not None  # only images of 8 bits have none
    planes, replaced = linear_planes(raw, cfa, development.full_size)
    pixels, record = develop_planes(planes, development)
    binning = 2 if cfa and not development.full_size else 1
    if cfa:
        record |= {"pattern": cfa, "binning": binning, "hot_pixels": replaced}
    return DevelopedImage(pixels, record, raw, tuple(planes), binning)


def develop_planes(
    planes: Sequence[np.ndarray], development: Development | None = None
) -> tuple[np.ndarray, dict[str, Any]]:
    """Stretch one or three linear channels (h, w) to (h, w, 3) uint8.

    Also return the stretch's parameters.
    """
    development = development or Development()
    if development.kind == "percentile":
        pixels, percentiles = to_rgb8(planes[0] if len(planes) == 1 else _merged(planes))
        return pixels, percentiles or {}
    if development.kind == "none":
        return _linear(planes)
    from ..raw.front_end import measure, stretch_planes

    stretch = development.stretch
    levels = measure(planes, stretch)
    record = stretch.manifest() | {
        "balance": levels.balance,
        "sky": [_short(sky.level) for sky in levels.backgrounds],
        "noise": [_short(sky.noise) for sky in levels.backgrounds],
        "factors": [_short(factor) for factor in levels.factors],
    }
    return stretch_planes(planes, levels, stretch), record


def _linear(planes: Sequence[np.ndarray]) -> tuple[np.ndarray, dict[str, Any]]:
    """Scale all planes linearly from their common minimum to their maximum.

    The minimum becomes black, the common maximum white.
    """
    black = min(float(plane.min()) for plane in planes)
    white = max(float(plane.max()) for plane in planes)
    scale = 255.0 / (white - black) if white > black else 0.0
    scaled = [np.rint((plane.astype(np.float32) - np.float32(black)) * np.float32(scale)) for plane in planes]
    levels = [np.clip(plane, 0, 255).astype(np.uint8) for plane in scaled]
    return cv2.merge(levels if len(levels) == 3 else levels * 3), {"kind": "linear", "black": black, "white": white}


def _merged(planes: Sequence[np.ndarray]) -> np.ndarray:
    return cv2.merge([plane.astype(np.float32) for plane in planes])


def _short(value: float) -> float:
    """Round to 6 digits, to keep the record readable."""
    return float(f"{value:.6g}")
