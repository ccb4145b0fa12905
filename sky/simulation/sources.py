"""What is on a simulated sky: stars, galaxies of OpenNGC, a new star."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..catalogue.combined import open_catalogue
from ..catalogue.objects import CatalogueObject
from ..tycho2 import Tycho2
from ..wcs import Wcs

DRAWN_FROM = 11.5
"""Magnitude from which stars are drawn: Tycho-2 is complete to about it."""
_SLOPE = 0.35
"""Growth of star counts: log10 of the ratio from one magnitude to the next."""


@dataclass(frozen=True)
class SkyStars:
    """Stars of a field: (N,) arrays, brightest of Tycho-2 first.

    Attributes:
        ra, dec: degrees; magnitude: in green, which is VT; colour: blue minus red in magnitudes, without the sensor's.
        drawn: whether a star is drawn and in no catalogue.
    """

    ra: np.ndarray
    dec: np.ndarray
    magnitude: np.ndarray
    colour: np.ndarray
    drawn: np.ndarray


@dataclass(frozen=True)
class SkyGalaxy:
    """A galaxy with everything that an image needs: arcsec, degrees."""

    entry: CatalogueObject
    magnitude: float
    major: float
    minor: float
    angle: float
    bulge: float


@dataclass(frozen=True)
class NewStar:
    """A star that appears.

    Position in degrees, magnitude, the number from 0 of its first frame, and the galaxy that it is in.
    """

    ra: float
    dec: float
    magnitude: float
    first_frame: int
    host: str


def stars_of(catalogue: Tycho2, ra: float, dec: float, radius: float, faintest: float, seed: int) -> SkyStars:
    """Return the stars within a radius.

    Real ones, and drawn ones from where the catalogue ends up to `faintest`.
    """
    real = catalogue.within(ra, dec, radius)
    rng = np.random.default_rng([seed, 1])
    wide = catalogue.within(ra, dec, max(radius, 3.0), DRAWN_FROM).magnitude
    counted = float(((wide > 9.5) & (wide <= 11.0)).sum()) * (radius / max(radius, 3.0)) ** 2
    per_step = 10 ** (_SLOPE * (faintest - 11.0)) - 10 ** (_SLOPE * (DRAWN_FROM - 11.0))
    count = int(counted * max(per_step, 0.0) / (1 - 10 ** (-_SLOPE * 1.5)))
    low, high = 10 ** (_SLOPE * DRAWN_FROM), 10 ** (_SLOPE * max(faintest, DRAWN_FROM))
    magnitudes = np.log10(rng.uniform(low, high, count)) / _SLOPE
    r, angle = radius * np.sqrt(rng.uniform(0, 1, count)), rng.uniform(0, 2 * math.pi, count)
    here = Wcs((ra, dec), (0.0, 0.0), np.array([[1.0, 0.0], [0.0, 1.0]]), 1, 1)
    positions = here.to_sky(np.stack([r * np.sin(angle), r * np.cos(angle)], axis=1))
    total = len(real) + count
    return SkyStars(
        np.concatenate([real.ra, positions[:, 0]]),
        np.concatenate([real.dec, positions[:, 1]]),
        np.concatenate([real.magnitude, magnitudes]),
        rng.normal(0.0, 0.35, total),
        np.arange(total) >= len(real),
    )


def galaxies_of(ra: float, dec: float, radius: float) -> list[SkyGalaxy]:
    """Return the galaxies of OpenNGC that reach into a circle, all in degrees.

    Those without size or magnitude are left out.

    Raises:
        MissingExtra: PyOngc is not installed.
    """
    found = []
    for entry in open_catalogue().within(ra, dec, radius, extent=True):
        if entry.kind != "galaxy" or not entry.major_arcsec or entry.magnitude is None:
            continue
        minor = entry.minor_arcsec or entry.major_arcsec
        angle = entry.position_angle if entry.position_angle is not None else 0.0
        bulge = _bulge(entry.hubble_type or "")
        found.append(SkyGalaxy(entry, entry.magnitude, entry.major_arcsec, minor, angle, bulge))
    return found


def _bulge(hubble_type: str) -> float:
    """Return the bulge's share of the light by the Hubble type."""
    for beginning, share in (("E", 0.8), ("S0", 0.5), ("I", 0.0)):
        if hubble_type.startswith(beginning):
            return share
    stage = hubble_type.replace("S", "").replace("B", "")[:1].lower()
    return {"a": 0.35, "b": 0.2, "c": 0.1, "d": 0.0}.get(stage, 0.2)


def new_star(
    galaxies: list[SkyGalaxy], centre: tuple[float, float], magnitude: float, first: int, seed: int
) -> NewStar:
    """Place a new star at 0.3 to 0.8 radii of the largest galaxy.

    Without galaxies, it is near the centre.
    """
    rng = np.random.default_rng([seed, 2])
    host = max(galaxies, key=lambda galaxy: galaxy.major, default=None)
    ra, dec = (host.entry.ra, host.entry.dec) if host else centre
    major, minor, angle = (host.major, host.minor, host.angle) if host else (120.0, 120.0, 0.0)
    share, turn = rng.uniform(0.3, 0.8), rng.uniform(0, 2 * math.pi)
    along, across = share * major / 7200 * math.cos(turn), share * minor / 7200 * math.sin(turn)
    sine, cosine = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    here = Wcs((ra, dec), (0.0, 0.0), np.array([[1.0, 0.0], [0.0, 1.0]]), 1, 1)
    offset = np.array([[along * sine + across * cosine, along * cosine - across * sine]])
    position = here.to_sky(offset)[0]
    return NewStar(float(position[0]), float(position[1]), magnitude, first, host.entry.name if host else "")
