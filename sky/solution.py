"""The result of plate solving a frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .wcs import Wcs


@dataclass(frozen=True, eq=False)
class Solution:
    """A WCS that the stars of the frame confirm, or that its header gives.

    Attributes:
        wcs: of the source's own frame.
        solver: ``header``, ``astrometry.net``, ``seiza`` or ``astap``.
        seconds: wall-clock time of the solver.
        residual_arcsec: root mean square distance of stars from their catalogued positions, 0 where not measured.
        stars_matched: number of stars that it was measured on.
    """

    wcs: Wcs
    solver: str
    seconds: float = 0.0
    residual_arcsec: float = 0.0
    stars_matched: int = 0

    def shifted(self, matrix: np.ndarray) -> Solution:
        """Return the solution of a frame to which the sky has moved, see `Wcs.shifted`."""
        return replace(self, wcs=self.wcs.shifted(matrix))
