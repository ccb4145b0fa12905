"""Altitudes, angles and texts of positions on the sky."""

from __future__ import annotations

import math

import numpy as np

from .night import Place

_J2000 = 946_728_000.0
"""2000-01-01T12:00:00 UTC in seconds since 1970."""


def altitudes(ra: float, dec: float, seconds: np.ndarray, place: Place) -> np.ndarray:
    """Return the altitudes of a position, without refraction, to about 0.4 degrees.

    Precession since J2000 is left out.

    Args:
        ra, dec: J2000, degrees.
        seconds: (N,) times since 1970.
        place: of the telescope.

    Returns:
        (N,) degrees above the horizon.
    """
    days = (seconds - _J2000) / 86_400.0
    sidereal = 280.46061837 + 360.98564736629 * days + place.longitude  # Meeus (1998), equation 12.4
    hour_angle, latitude, declination = np.radians(sidereal - ra), math.radians(place.latitude), math.radians(dec)
    cosines = math.cos(latitude) * math.cos(declination) * np.cos(hour_angle)
    sine = math.sin(latitude) * math.sin(declination) + cosines
    return np.asarray(np.degrees(np.arcsin(np.clip(sine, -1.0, 1.0))))


def project(ra: np.ndarray, dec: np.ndarray, centre: tuple[float, float]) -> np.ndarray:
    """Project positions onto the tangent plane at a centre.

    Args:
        ra, dec: (N,) degrees.
        centre: right ascension and declination in degrees.

    Returns:
        (N, 2) degrees to the east and to the north of the centre; NaN beyond 80 degrees from it.
    """
    east, north = np.radians(ra - centre[0]), np.radians(dec)
    middle = math.radians(centre[1])
    cosine = math.sin(middle) * np.sin(north) + math.cos(middle) * np.cos(north) * np.cos(east)
    cosine = np.where(cosine > math.cos(math.radians(80)), cosine, np.nan)
    x = np.cos(north) * np.sin(east) / cosine
    y = (math.cos(middle) * np.sin(north) - math.sin(middle) * np.cos(north) * np.cos(east)) / cosine
    return np.asarray(np.degrees(np.stack([x, y], axis=1)))


def mean_position(ra: np.ndarray, dec: np.ndarray) -> tuple[float, float]:
    """Return the centre of positions (N,) in degrees, also around the poles and RA 0."""
    a, d = np.radians(ra), np.radians(dec)
    x, y, z = ((np.cos(d) * np.cos(a)).mean(), (np.cos(d) * np.sin(a)).mean(), np.sin(d).mean())
    return math.degrees(math.atan2(y, x)) % 360.0, math.degrees(math.atan2(z, math.hypot(x, y)))


def dec_text(dec: float) -> str:
    """Write a declination as ``+41°07′13″``."""
    seconds = round(abs(dec) * 3600)
    sign = "−" if dec < 0 and seconds else "+"
    return f"{sign}{seconds // 3600:02d}°{seconds // 60 % 60:02d}′{seconds % 60:02d}″"


def angle_text(arcsec: float) -> str:
    """Write an angle in arcseconds, arcminutes or degrees."""
    if arcsec < 60:
        return f"{arcsec:.0f}″" if arcsec >= 10 else f"{arcsec:.1f}″"
    return f"{arcsec / 60:.1f}′" if arcsec < 3600 else f"{arcsec / 3600:.1f}°"
