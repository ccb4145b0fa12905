"""Check a solution by the stars of the frame, and refine it.

A solver may lie: a wrong pattern, another field, an old file. Catalogued stars are projected to the frame; enough of
them must be where stars were found, more than chance would put there. The stars that match then correct the WCS.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ..errors import UserError
from .solvers.solver import Candidate, Field
from .wcs import MAX_SCALE, MIN_SCALE, Wcs

MIN_MATCHES = 4
MIN_SHARE = 0.25
"""Minimum share of the catalogued stars, or of the frame's stars if these are fewer, that must match."""
MAX_CHANCE = 1e-6
"""Maximum probability that stars placed at random would match as well."""
MAX_REFERENCES, MAX_FOUND = 100, 300
MIN_TOLERANCE = 3.0
"""Pixels within which a star matches; the stars' own width if that is more."""
MIN_FOR_DISTORTION = 20
"""Minimum number of matches for a distortion."""
_AFFINE, _SIMILARITY = 12, 4
"""Minimum number of matches for a correction by six and by four numbers."""


@dataclass(frozen=True, eq=False)
class Verified:
    """A WCS that the stars confirm.

    Attributes:
        wcs: corrected by the stars.
        residual_arcsec: root mean square distance of the stars from their catalogued positions.
        matches: number of stars.
    """

    wcs: Wcs
    residual_arcsec: float
    matches: int


def verify(candidate: Candidate, field: Field) -> Verified | str:
    """Return the corrected solution, or in words why it is not believed."""
    wcs = candidate.wcs
    if not (MIN_SCALE < wcs.scale < MAX_SCALE):
        return f"{wcs.scale:.3g} arcsec per pixel are impossible"
    references = reference_stars(wcs, len(field.stars))
    if not len(references):
        references = candidate.references
    if not len(references):
        return "there is no star catalogue to check it: install astrometry-data-tycho2"
    found = match(wcs, references, field)
    if wcs.sip is None:
        return found
    plain = match(replace(wcs, sip=None), references, field)
    if isinstance(plain, str) or isinstance(found, str):
        return found if isinstance(plain, str) else plain
    # A distortion fitted to few stars is wrong between and beyond them.
    is_real = found.matches >= MIN_FOR_DISTORTION and found.residual_arcsec < 0.7 * plain.residual_arcsec
    return found if is_real else plain


def check_wcs(wcs: Wcs, field: Field) -> Verified | str:
    """Compare a WCS that no solver gave with the stars of a field.

    Return it corrected, or in words why it is not believed.
    """
    return verify(Candidate(wcs, np.zeros((0, 2))), field)


def reference_stars(wcs: Wcs, found: int) -> np.ndarray:
    """Return the brightest stars of Tycho-2 in a field (N, 2) in degrees.

    The result is empty if the catalogue is not installed or cannot be read.
    """
    from .tycho2 import open_tycho2

    try:
        stars = open_tycho2().within(*wcs.centre, wcs.radius)
    except UserError:
        return np.zeros((0, 2))
    radec = np.stack([stars.ra, stars.dec], axis=1)  # the brightest first
    shown = radec[_inside(wcs, wcs.to_pixels(radec))]
    return np.asarray(shown[: max(10, min(MAX_REFERENCES, found))])


def match(wcs: Wcs, references: np.ndarray, field: Field) -> Verified | str:
    """Compare a WCS with the stars of a field; see `verify`.

    Args:
        references: (N, 2) right ascension and declination of catalogued stars in degrees.
    """
    found = field.stars.brightest(MAX_FOUND)
    references = references[_inside(wcs, wcs.to_pixels(references))]
    if len(found) < MIN_MATCHES or len(references) < MIN_MATCHES:
        return f"{len(found)} stars in the frame and {len(references)} in the catalogue are too few to check it"
    tolerance = max(MIN_TOLERANCE, float(np.median(found.fwhm)))
    pairs = _pairs(wcs.to_pixels(references), found.xy, tolerance)
    chance = _chance(len(pairs), len(references), len(found.xy) * math.pi * tolerance**2 / (wcs.width * wcs.height))
    least = max(MIN_MATCHES, MIN_SHARE * min(len(references), len(found)))
    if len(pairs) < least or chance > MAX_CHANCE:
        return f"only {len(pairs)} of {len(references)} catalogued stars are where it puts them"
    for _ in range(3):
        predicted = wcs.to_pixels(references)
        try:
            wcs = wcs.shifted(_correction(predicted[pairs[:, 0]], found.xy[pairs[:, 1]]))
        except ValueError:  # also that a matrix has no inverse: the stars are on a line
            return "its stars do not determine it"
        pairs = _pairs(wcs.to_pixels(references), found.xy, tolerance)
        if len(pairs) < MIN_MATCHES:
            return "its stars do not agree with each other"
    distances = np.hypot(*(wcs.to_pixels(references)[pairs[:, 0]] - found.xy[pairs[:, 1]]).T)
    good = distances < max(0.5, 3 * float(np.median(distances)))
    return Verified(wcs, float(np.sqrt(np.mean(distances[good] ** 2))) * wcs.scale, int(good.sum()))


def _inside(wcs: Wcs, xy: np.ndarray) -> np.ndarray:
    """Return whether positions (N, 2) are in the frame, 6 pixels from its edges."""
    size = np.array([wcs.width, wcs.height])
    with np.errstate(invalid="ignore"):
        return np.asarray(((xy > 6) & (xy < size - 6)).all(axis=1))


def _pairs(predicted: np.ndarray, found: np.ndarray, tolerance: float) -> np.ndarray:
    """Return indices (M, 2) of positions that are each other's nearest.

    First of `predicted`, then of `found`, both within a tolerance in pixels.
    """
    distances = np.hypot(*(predicted[:, None] - found[None]).transpose(2, 0, 1))
    distances[~np.isfinite(distances)] = np.inf
    nearest = distances.argmin(axis=1)
    index = np.arange(len(predicted))
    good = (distances.argmin(axis=0)[nearest] == index) & (distances[index, nearest] < tolerance)
    return np.stack([index[good], nearest[good]], axis=1)


def _chance(matches: int, trials: int, probability: float) -> float:
    """Return the probability of at least this number of matches by chance.

    It is the tail of a binomial distribution.
    """
    probability = min(probability, 1.0)
    return sum(
        math.comb(trials, count) * probability**count * (1 - probability) ** (trials - count)
        for count in range(matches, trials + 1)
    )


def _correction(predicted: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return the motion (2, 3) from predicted (M, 2) to found positions.

    Single wrong pairs have little weight. Affine with many pairs, a similarity with few, a shift with fewer.
    """
    centre = predicted.mean(axis=0)
    matrix = np.eye(3)[:2]
    weight = np.ones(len(predicted))
    for _ in range(4):
        matrix = _fit(predicted - centre, found - centre, weight)
        distances = np.hypot(*((predicted - centre) @ matrix[:, :2].T + matrix[:, 2] - (found - centre)).T)
        scale = max(0.1, 1.5 * float(np.median(distances)))
        weight = 1 / (1 + (distances / scale) ** 2)
    shift = matrix[:, 2] + centre - matrix[:, :2] @ centre
    return np.column_stack([matrix[:, :2], shift])


def _fit(points: np.ndarray, targets: np.ndarray, weight: np.ndarray) -> np.ndarray:
    root = np.sqrt(weight)[:, None]
    x, y = points.T
    one, zero = np.ones(len(x)), np.zeros(len(x))
    if len(points) >= _AFFINE:
        design = np.stack([x, y, one], axis=1)
        return np.asarray(np.linalg.lstsq(design * root, targets * root, rcond=None)[0].T)
    if len(points) < _SIMILARITY:
        return np.column_stack([np.eye(2), np.average(targets - points, axis=0, weights=weight)])
    rows = np.concatenate([np.stack([x, -y, one, zero], axis=1), np.stack([y, x, zero, one], axis=1)])
    both = np.concatenate([root, root])
    a, b, right, down = np.linalg.lstsq(rows * both, np.concatenate(targets.T)[:, None] * both, rcond=None)[0][:, 0]
    return np.array([[a, -b, right], [b, a, down]])
