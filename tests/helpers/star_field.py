"""Drawn star fields of a small made-up catalogue."""

from __future__ import annotations

import numpy as np
from galaxy_edge.sky.solvers.solver import Candidate, Field
from galaxy_edge.sky.stars import find_stars
from galaxy_edge.sky.wcs import Wcs


def make_wcs(ra=187.0, dec=41.0, angle=30.0, mirror=1, scale=2.4, size=(640, 480)) -> Wcs:
    """Return the WCS of a frame whose centre is the reference point."""
    turn, step = np.radians(angle), scale / 3600
    cd = step * np.array([[-np.cos(turn), np.sin(turn)], [-np.sin(turn), -np.cos(turn)]]) @ np.diag([mirror, 1])
    return Wcs((ra, dec), (size[0] / 2, size[1] / 2), cd, *size)


def made_up_stars(wcs: Wcs, count: int = 40, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return positions (N, 2) in degrees and light (N,), the brightest first."""
    rng = np.random.default_rng(seed)
    xy = rng.uniform(-0.2, 1.2, (count, 2)) * (wcs.width, wcs.height)
    return wcs.to_sky(xy), np.sort(10 ** rng.uniform(3, 4.5, count))[::-1]


def draw_stars(wcs: Wcs, radec: np.ndarray, flux: np.ndarray, noise: float = 10.0, seed: int = 2) -> np.ndarray:
    """Draw stars as Gaussians of 3 pixels' width on noise: (h, w) float32."""
    frame = np.random.default_rng(seed).normal(1000, noise, (wcs.height, wcs.width))
    y, x = np.mgrid[: wcs.height, : wcs.width] + 0.5
    for (right, down), light in zip(wcs.to_pixels(radec), flux, strict=True):
        if -10 < right < wcs.width + 10 and -10 < down < wcs.height + 10:
            rows = slice(max(0, int(down) - 10), int(down) + 10)
            columns = slice(max(0, int(right) - 10), int(right) + 10)
            distance = (x[rows, columns] - right) ** 2 + (y[rows, columns] - down) ** 2
            frame[rows, columns] += light / (2 * np.pi * 1.27**2) * np.exp(-distance / (2 * 1.27**2))
    return frame.astype(np.float32)


def make_field(wcs: Wcs, radec: np.ndarray, flux: np.ndarray) -> Field:
    """Draw stars and find them again."""
    light = draw_stars(wcs, radec, flux)
    return Field(find_stars(light), wcs.width, wcs.height, light)


class StandInSolver:
    """A solver that answers what it was made with.

    Args:
        wcs: its answer; None for no solution.
        references: stars that it says it used.
    """

    name = "stand-in"

    def __init__(self, wcs: Wcs | None, references: np.ndarray | None = None) -> None:
        self.wcs, self.references = wcs, np.zeros((0, 2)) if references is None else references
        self.hints = []

    def missing(self) -> str:
        """Return that nothing is missing."""
        return ""

    def solve(self, field, hints, seconds):
        """Return the answer."""
        self.hints.append(hints)
        return None if self.wcs is None else Candidate(self.wcs, self.references)
