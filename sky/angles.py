"""Angles on the sphere, in degrees."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def separation(ra: ArrayLike, dec: ArrayLike, to_ra: ArrayLike, to_dec: ArrayLike) -> np.ndarray:
    """Return the angular distance in degrees between positions in degrees.

    Arrays of any shapes that broadcast, also plain numbers. Accurate for small and for large angles (Vincenty's form).
    """
    first, second = np.radians(dec), np.radians(to_dec)
    delta = np.radians(np.subtract(to_ra, ra))
    across = np.hypot(
        np.cos(second) * np.sin(delta),
        np.cos(first) * np.sin(second) - np.sin(first) * np.cos(second) * np.cos(delta),
    )
    along = np.sin(first) * np.sin(second) + np.cos(first) * np.cos(second) * np.cos(delta)
    return np.asarray(np.degrees(np.arctan2(across, along)))


def direction(ra: ArrayLike, dec: ArrayLike, to_ra: ArrayLike, to_dec: ArrayLike) -> np.ndarray:
    """Return position angles in degrees east of north, 0 to 360.

    They are the directions from positions to others.
    """
    first, second = np.radians(dec), np.radians(to_dec)
    delta = np.radians(np.subtract(to_ra, ra))
    east = np.cos(second) * np.sin(delta)
    north = np.cos(first) * np.sin(second) - np.sin(first) * np.cos(second) * np.cos(delta)
    return np.asarray(np.degrees(np.arctan2(east, north)) % 360.0)
