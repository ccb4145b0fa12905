"""What a plate solver is given and what it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ...errors import UserError
from ..hints import Hints
from ..stars import ImageStars
from ..wcs import Wcs


class SolverError(UserError):
    """A solver that fails or takes too long; the next one is tried."""


class SolverTimeoutError(SolverError):
    """A solver that was ended because it took too long."""


@dataclass(frozen=True, eq=False)
class Field:
    """A frame as solvers get it: its stars.

    Attributes:
        stars: of the frame, the brightest first.
        width, height: of the frame in pixels.
        light: (h, w) float32, the frame or its superpixels in one channel, for solvers that find stars themselves.
    """

    stars: ImageStars
    width: int
    height: int
    light: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Candidate:
    """What a solver claims; not yet believed.

    Attributes:
        wcs: of the frame.
        references: (N, 2) right ascension and declination of catalogued stars of the field, which the solver used;
            empty if it does not return them.
    """

    wcs: Wcs
    references: np.ndarray


class Solver(Protocol):
    """A plate solver."""

    name: str

    def missing(self) -> str:
        """Return what is not installed, in words, or "" if the solver can be used."""
        ...

    def solve(self, field: Field, hints: Hints, seconds: float) -> Candidate | None:
        """Solve a field; None if it finds nothing.

        Raises:
            SolverError: it fails, or does not end within `seconds`.
        """
        ...
