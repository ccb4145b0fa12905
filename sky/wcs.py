"""The world coordinate system of a frame.

Gnomonic projection (TAN), with SIP distortion where there is one. Plain numpy: a run needs no astropy to follow it.

Pixel coordinates are those of boxes: edges at whole numbers, so the centre of the first pixel is (0.5, 0.5); a pixel of
FITS is a value + 0.5. y grows downwards, from the first row of the frame. Sky coordinates are degrees, ICRS (J2000).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from .angles import separation
from .sip import Sip

MIN_SCALE, MAX_SCALE = 0.005, 3600.0
"""Arcseconds per pixel between which the WCS of a telescope's or camera lens's frame is."""
MAX_RADIUS = 80.0
"""Degrees from the reference point within which a header's WCS may be used: farther out, a pixel is nowhere certain."""
_TYPES = (("RA---TAN", "DEC--TAN"), ("RA---TAN-SIP", "DEC--TAN-SIP"))


@dataclass(frozen=True, eq=False)
class Wcs:
    """Where the pixels of a frame are on the sky.

    Attributes:
        crval: right ascension and declination of the reference point in degrees.
        crpix: its position x, y in pixels, edges at whole numbers.
        cd: (2, 2) float64, from pixel offsets to degrees east and north on the tangent plane.
        width, height: of the frame in pixels.
        sip: distortion; None for none.

    Raises:
        ValueError: a value is not finite, or the matrix has no inverse.
    """

    crval: tuple[float, float]
    crpix: tuple[float, float]
    cd: np.ndarray
    width: int
    height: int
    sip: Sip | None = None

    def __post_init__(self) -> None:
        numbers = np.array([*self.crval, *self.crpix, *np.ravel(self.cd)], float)
        if np.shape(self.cd) != (2, 2) or not np.isfinite(numbers).all():
            raise ValueError("the values of a WCS must be finite, and its matrix 2 x 2")
        with np.errstate(over="ignore", invalid="ignore"):
            determinant = abs(float(np.linalg.det(self.cd)))
        if not 1e-14 < determinant < 100 or not abs(self.crval[1]) <= 90:
            raise ValueError("the matrix or the declination of a WCS is outside its range")

    def to_sky(self, xy: np.ndarray) -> np.ndarray:
        """Return right ascension (0 to 360) and declination (N, 2) in degrees.

        Args:
            xy: (N, 2) pixels.
        """
        offsets = np.asarray(xy, float).reshape(-1, 2) - self.crpix
        if self.sip:
            offsets = self.sip.apply(offsets)
        east, north = np.radians(offsets @ self.cd.T).T
        ra, dec = np.radians(self.crval)
        down = math.cos(dec) - north * math.sin(dec)
        right_ascension = np.degrees(ra + np.arctan2(east, down)) % 360.0
        declination = np.degrees(np.arctan2(math.sin(dec) + north * math.cos(dec), np.hypot(east, down)))
        return np.stack([right_ascension, declination], axis=1)

    def to_pixels(self, radec: np.ndarray) -> np.ndarray:
        """Return pixels (N, 2) of right ascension and declination (N, 2) in degrees.

        NaN for positions 90 degrees or more from the reference point, which the projection does not show.
        """
        positions = np.radians(np.asarray(radec, float).reshape(-1, 2))
        ra, dec = np.radians(self.crval)
        delta, declination = positions[:, 0] - ra, positions[:, 1]
        near = math.sin(dec) * np.sin(declination) + math.cos(dec) * np.cos(declination) * np.cos(delta)
        near = np.where(near > 1e-6, near, np.nan)
        east = np.cos(declination) * np.sin(delta) / near
        north = (math.cos(dec) * np.sin(declination) - math.sin(dec) * np.cos(declination) * np.cos(delta)) / near
        offsets = np.degrees(np.stack([east, north], axis=1)) @ np.linalg.inv(self.cd).T
        if self.sip:
            offsets = self.sip.invert(offsets)
        return np.asarray(offsets + self.crpix)

    @cached_property
    def scale(self) -> float:
        """Arcseconds per pixel at the reference point, the mean of both axes."""
        return math.sqrt(abs(float(np.linalg.det(self.cd)))) * 3600.0

    @cached_property
    def rotation(self) -> float:
        """Position angle of the upper edge, seen from the reference point.

        -180 to 180 degrees, east of north.
        """
        east, north = -self.cd[:, 1]
        return math.degrees(math.atan2(east, north))

    @cached_property
    def mirrored(self) -> bool:
        """Whether the frame, with its first row at the top, is a mirror image of the sky."""
        return float(np.linalg.det(self.cd)) < 0

    @cached_property
    def centre(self) -> tuple[float, float]:
        """Right ascension and declination of the frame's centre in degrees."""
        ra, dec = self.to_sky(np.array([[self.width / 2, self.height / 2]]))[0]
        return float(ra), float(dec)

    @cached_property
    def radius(self) -> float:
        """Degrees from the centre to the farthest corner."""
        corners = self.to_sky(np.array([[0, 0], [self.width, 0], [0, self.height], [self.width, self.height]]))
        return float(separation(*self.centre, corners[:, 0], corners[:, 1]).max())

    def shifted(self, matrix: np.ndarray) -> Wcs:
        """Return the WCS of a frame to which the sky has moved.

        Args:
            matrix: (2, 3) or (3, 3), from pixels of this frame to pixels of the other, edges at whole numbers.
        """
        turn, shift = np.asarray(matrix, float)[:2, :2], np.asarray(matrix, float)[:2, 2]
        x, y = turn @ self.crpix + shift
        sip = self.sip.transformed(turn, float(max(self.width, self.height))) if self.sip else None
        return replace(self, crpix=(float(x), float(y)), cd=self.cd @ np.linalg.inv(turn), sip=sip)

    def cropped(self, x0: float, y0: float, width: int | None = None, height: int | None = None) -> Wcs:
        """Return the WCS of a crop whose upper left corner is (x0, y0).

        Without a size, the crop reaches to the frame's edges.
        """
        x, y = self.crpix
        width = max(1, math.ceil(self.width - x0)) if width is None else width
        height = max(1, math.ceil(self.height - y0)) if height is None else height
        return replace(self, crpix=(x - x0, y - y0), width=width, height=height)

    def binned(self, n: float) -> Wcs:
        """Return the WCS of the frame with n x n pixels joined; n below 1 magnifies."""
        smaller = self.shifted(np.array([[1 / n, 0.0, 0.0], [0.0, 1 / n, 0.0]]))
        return replace(smaller, width=max(1, int(self.width / n)), height=max(1, int(self.height / n)))

    @classmethod
    def from_header(cls, header: Mapping[str, Any], width: int = 0, height: int = 0) -> Wcs | None:
        """Read the WCS of FITS keywords; None where they hold none that can be used.

        TAN and TAN-SIP in equatorial J2000 or ICRS coordinates, with a CD matrix, PC matrix and CDELT, or CROTA2. What
        no telescope sees is not used: an impossible scale, a reference point far outside the frame, a distortion that
        moves pixels across the frame.

        Args:
            header: keywords in capitals, with plain values.
            width, height: of the frame; 0 for NAXIS1 and NAXIS2.
        """
        try:
            if (str(header["CTYPE1"]).strip(), str(header["CTYPE2"]).strip()) not in _TYPES:
                return None
            values = [float(header[key]) for key in ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2")]
            usual = 180.0 if values[1] < 90 else 0.0  # where a header says nothing
            if not _is_j2000(header) or float(header.get("LONPOLE", usual)) != 180.0:
                return None
            has_sip = str(header["CTYPE1"]).strip().endswith("SIP")
            wcs = cls(
                (values[0] % 360.0, values[1]), (values[2] - 0.5, values[3] - 0.5), _matrix(header),
                int(width or header["NAXIS1"]), int(height or header["NAXIS2"]),
                Sip.from_header(header) if has_sip else None,
            )  # fmt: skip
            return wcs if abs(values[0]) <= 720.0 and _is_plausible(wcs) else None
        except (KeyError, TypeError, ValueError, OverflowError):
            return None

    def to_header(self) -> dict[str, Any]:
        """Return the FITS keywords, without NAXIS1 and NAXIS2."""
        suffix = "-SIP" if self.sip else ""
        (a, b), (c, d) = self.cd.tolist()
        cards: dict[str, Any] = {
            "WCSAXES": 2, "CTYPE1": f"RA---TAN{suffix}", "CTYPE2": f"DEC--TAN{suffix}", "CUNIT1": "deg",
            "CUNIT2": "deg", "CRVAL1": self.crval[0], "CRVAL2": self.crval[1], "CRPIX1": self.crpix[0] + 0.5,
            "CRPIX2": self.crpix[1] + 0.5, "CD1_1": a, "CD1_2": b, "CD2_1": c, "CD2_2": d, "LONPOLE": 180.0,
            "RADESYS": "ICRS",
        }  # fmt: skip
        return cards | (self.sip.to_header() if self.sip else {})


def _is_plausible(wcs: Wcs) -> bool:
    """Return whether a telescope's or a lens's frame may have a WCS."""
    corners = np.array([[0, 0], [wcs.width, 0], [0, wcs.height], [wcs.width, wcs.height]]) - np.array(wcs.crpix)
    with np.errstate(over="ignore", invalid="ignore"):
        shift = wcs.sip.apply(corners) - corners if wcs.sip else np.zeros((1, 2))
        spread = np.ptp(shift, axis=0).max()  # a crop far from the reference point is moved as a whole
        reach = np.hypot(*(corners @ wcs.cd.T).T).max()  # degrees on the tangent plane
    is_near = reach < math.degrees(math.tan(math.radians(MAX_RADIUS)))
    is_steady = spread < max(wcs.width, wcs.height) / 2
    return MIN_SCALE < wcs.scale < MAX_SCALE and bool(is_near and is_steady)


def _is_j2000(header: Mapping[str, Any]) -> bool:
    """Return whether coordinates are ICRS or J2000; what says nothing is."""
    system = str(header.get("RADESYS", header.get("RADECSYS", "ICRS"))).strip().upper()
    equinox = str(header.get("EQUINOX", "")).strip().upper().removeprefix("J") or "2000"
    return system in ("ICRS", "FK5", "") and float(equinox) == 2000.0


def _matrix(header: Mapping[str, Any]) -> np.ndarray:
    """Return the CD matrix (2, 2) of a header.

    Raises:
        KeyError: it has none.
    """
    names = ("1_1", "1_2", "2_1", "2_2")
    if any(f"CD{name}" in header for name in names):
        return np.array([float(header.get(f"CD{name}", 0.0)) for name in names]).reshape(2, 2)
    steps = np.array([float(header["CDELT1"]), float(header["CDELT2"])])
    if any(f"PC{name}" in header for name in names):
        turn = [float(header.get(f"PC{name}", float(name in ("1_1", "2_2")))) for name in names]
        return np.asarray(steps[:, np.newaxis] * np.array(turn).reshape(2, 2))
    angle = math.radians(float(header.get("CROTA2", 0.0)))
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.array([[steps[0] * cosine, -steps[1] * sine], [steps[0] * sine, steps[1] * cosine]])
