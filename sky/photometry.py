"""Measure the depth of a solved frame with the stars of Tycho-2.

A star's light is measured with a Gaussian of the stars' width, which is the best filter for faint ones, and the noise
is that of the filtered sky: neither depends on gain, nor on whether a stack has made the noise smoother.
numpy and OpenCV only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from .stars import find_stars, sky_background
from .tycho2 import Tycho2
from .wcs import Wcs

SIGMAS = 5.0
"""Signal over noise of a star at the limiting magnitude."""
MIN_STARS = 4
"""Minimum number of stars of the catalogue for a zero point."""
MAX_STARS = 300
"""Maximum number of them that are measured, the brightest that are not saturated."""
_FWHM = 2.3548
MIN_FWHM = 1.665
"""Minimum width in pixels of the filter and apertures; the stars of small telescopes are narrower."""
_SEARCH = 2
"""Pixels around a star's predicted position in which its peak is searched."""
_SATURATED = 0.8
"""Share of the highest value of a frame, or of its type, from which a star's peak may be cut."""
_PEDESTAL_KEYS = ("PEDESTAL", "BLKLEVEL")
_PEDESTALS = {"Seestar S50": 395.0, "Seestar S30": 395.0}
"""Level without light of cameras whose headers do not say it, see docs/simulation.md."""


@dataclass(frozen=True)
class Photometry:
    """The depth of a frame or stack; NaN where it cannot be measured.

    Attributes:
        stars: number of catalogued stars that the zero point rests on.
        zero_point: magnitude (VT) of a star whose light in the frame is one unit of its values.
        zero_point_error: standard error of it, from the scatter of the stars.
        limiting_magnitude: magnitude of a star of 5 sigma.
        fwhm: of stars in arcsec, the median; elongation: of stars, the median, at least 1.
        sky_level: median of the frame's values; noise: standard deviation of its sky.
        sky_brightness: mag/arcsec2; NaN also where the level without light is unknown.
    """

    stars: int
    zero_point: float
    zero_point_error: float
    limiting_magnitude: float
    fwhm: float
    elongation: float
    sky_level: float
    noise: float
    sky_brightness: float


def measure_depth(light: np.ndarray, wcs: Wcs, catalogue: Tycho2, pedestal: float | None = None) -> Photometry:
    """Measure a frame or stack.

    Args:
        light: (h, w) linear: green superpixels, or mono, above 0 for more light.
        wcs: of an image of this size, see `Wcs.binned`.
        catalogue: of stars.
        pedestal: level without light; None if unknown.
    """
    light = np.ascontiguousarray(light, np.float32)
    level = float(np.median(light[::3, ::3]))
    found = find_stars(light)
    # The brightest are the least noisy; the very brightest may be saturated.
    fwhm = float(np.median(found.fwhm[:100])) if len(found) >= 3 else math.nan
    elongation = float(np.median(found.elongation[:100])) if len(found) >= 3 else math.nan
    if not math.isfinite(fwhm):
        unknown = math.nan
        return Photometry(0, unknown, unknown, unknown, unknown, unknown, level, unknown, unknown)
    measured, fwhm = fwhm, max(fwhm, MIN_FWHM)
    flat = light - sky_background(light, max(32, round(8 * fwhm)))
    spread = 1.4826 * float(np.median(np.abs(flat[::3, ::3])))
    sigma = fwhm / _FWHM
    filtered, noise = _filtered(flat, sigma)
    xy, magnitude = catalogued_pixels(wcs, catalogue, margin=4 * fwhm)
    peaks = star_peaks(flat, filtered, xy, saturation_level(light) - level)
    usable = np.isfinite(peaks) & (peaks > 2 * SIGMAS * noise) & isolated_stars(xy, magnitude, 5 * fwhm)
    chosen = np.flatnonzero(usable)[:MAX_STARS]
    zeros = magnitude[chosen] + 2.5 * np.log10(peaks[chosen])
    zero, error, kept = clipped_median(zeros)
    if kept < MIN_STARS:
        return Photometry(kept, math.nan, math.nan, math.nan, measured * wcs.scale, elongation, level, spread, math.nan)
    limit = zero - 2.5 * math.log10(SIGMAS * noise)
    total = _total_zero_point(flat, xy[chosen], magnitude[chosen], fwhm)
    sky = math.nan
    if pedestal is not None and level > pedestal and math.isfinite(total):
        sky = total - 2.5 * math.log10((level - pedestal) / wcs.scale**2)
    return Photometry(kept, total, error, limit, measured * wcs.scale, elongation, level, spread, sky)


def pedestal_of(header: Mapping[str, Any]) -> float | None:
    """Return the level without light by a FITS header; None if unknown.

    It is that of a keyword, or that which the camera is known for.
    """
    for key in _PEDESTAL_KEYS:
        try:
            value = float(header[key])
        except (KeyError, TypeError, ValueError):
            continue
        if math.isfinite(value):
            return abs(value)  # some programs write what is to be added
    return _PEDESTALS.get(str(header.get("INSTRUME", "")).strip())


def _filtered(flat: np.ndarray, sigma: float) -> tuple[np.ndarray, float]:
    """Return the frame filtered with a Gaussian, and the noise of its sky.

    The squares of the filter sum to 1.
    """
    radius = max(2, math.ceil(4 * sigma))
    line = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    line /= math.sqrt(float((line**2).sum()))
    kernel = line.astype(np.float32)
    filtered = cv2.sepFilter2D(flat, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT)
    sample = filtered[radius:-radius:3, radius:-radius:3]
    middle = np.median(sample)
    below = sample[sample < middle] - middle  # galaxies and faint stars are above
    return filtered - np.float32(middle), float(1.4826 * np.median(np.abs(below)))


def catalogued_pixels(wcs: Wcs, catalogue: Tycho2, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels (N, 2) and magnitudes (N,) of a frame's stars, brightest first."""
    stars = catalogue.within(*wcs.centre, wcs.radius)
    xy = wcs.to_pixels(np.stack([stars.ra, stars.dec], axis=1))
    inside = np.all((xy > margin) & (xy < np.array([wcs.width, wcs.height]) - margin), axis=1)
    return xy[inside], stars.magnitude[inside]


def star_peaks(flat: np.ndarray, filtered: np.ndarray, xy: np.ndarray, saturation: float) -> np.ndarray:
    """Return the filtered frame's values at the peaks of stars: (N,).

    NaN for saturated ones.
    """
    result = np.full(len(xy), np.nan)
    for number, (x, y) in enumerate(np.floor(xy).astype(int)):
        reach = _SEARCH + 2
        part = filtered[y - reach : y + reach + 1, x - reach : x + reach + 1]
        if part.shape != (2 * reach + 1, 2 * reach + 1):
            continue
        inner = part[2:-2, 2:-2]
        row, column = np.unravel_index(int(np.argmax(inner)), inner.shape)
        if flat[y - reach : y + reach + 1, x - reach : x + reach + 1].max() < saturation:
            result[number] = _vertex(part[row + 1 : row + 4, column + 1 : column + 4])
    return result


def _vertex(part: np.ndarray) -> float:
    """Return the height of the parabola through the middle of (3, 3) pixels."""
    (_, up, _), (left, middle, right), (_, down, _) = part.astype(float).tolist()
    height = middle
    for before, after in ((left, right), (up, down)):
        bend = before + after - 2 * middle
        if bend < 0:
            height -= (after - before) ** 2 / (8 * bend)
    return float(height)


def isolated_stars(xy: np.ndarray, magnitude: np.ndarray, distance: float) -> np.ndarray:
    """Return which stars (N,) have no other of similar brightness near them."""
    if len(xy) < 2:
        return np.ones(len(xy), bool)
    near = np.hypot(xy[:, None, 0] - xy[None, :, 0], xy[:, None, 1] - xy[None, :, 1]) < distance
    similar = magnitude[None, :] < magnitude[:, None] + 3
    np.fill_diagonal(near, False)
    return np.asarray(~(near & similar).any(axis=1))


def saturation_level(light: np.ndarray) -> float:
    """Return the value from which a peak may be cut.

    It is below a flat top of the frame, or 80 percent of 16 bits.
    """
    highest = float(light.max())
    if int((light >= 0.98 * highest).sum()) >= 8:
        return _SATURATED * highest
    return max(highest + 1, 1.0) if highest < 52000 else 52000.0


def clipped_median(values: np.ndarray) -> tuple[float, float, int]:
    """Return median, standard error and number of the values without outliers."""
    for _ in range(3):
        if not len(values):
            return math.nan, math.nan, 0
        middle = float(np.median(values))
        spread = max(1.4826 * float(np.median(np.abs(values - middle))), 0.02)
        values = values[np.abs(values - middle) <= 3 * spread]
    return middle, 1.2533 * spread / math.sqrt(max(1, len(values))), len(values)


def _total_zero_point(flat: np.ndarray, xy: np.ndarray, magnitude: np.ndarray, fwhm: float) -> float:
    """Return the zero point of all of a star's light.

    It is measured in apertures of three widths around the brightest stars.
    """
    radius = max(3, math.ceil(3 * fwhm))
    offsets = np.arange(-2 * radius, 2 * radius + 1)
    zeros = []
    for (x, y), mag in zip(np.floor(xy[:25]).astype(int), magnitude[:25], strict=True):
        part = flat[y - 2 * radius : y + 2 * radius + 1, x - 2 * radius : x + 2 * radius + 1]
        if part.shape != (len(offsets), len(offsets)):
            continue
        distance = np.hypot(offsets[None, :], offsets[:, None])
        inside, ring = distance <= radius, (distance > 1.4 * radius) & (distance <= 2 * radius)
        flux = float((part[inside] - np.median(part[ring])).sum())
        if flux > 0:
            zeros.append(float(mag) + 2.5 * math.log10(flux))
    return clipped_median(np.array(zeros))[0]
