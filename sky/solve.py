"""Solve a frame: try the installed solvers, and check what they claim."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import numpy as np

from ..errors import UserError
from .hints import Hints
from .solution import Solution
from .solvers.solver import Field, Solver, SolverError, SolverTimeoutError
from .solvers.table import INSTALL, usable_solvers, why_none
from .stars import find_stars, join_planes
from .verification import MIN_MATCHES, verify

logger = logging.getLogger(__name__)

SECONDS = 120.0
"""Time limit for all attempts on a frame together."""
FIRST_SECONDS = 20.0
"""Time limit of an attempt near a known position, which takes 1 to 5 s where it succeeds."""


class SolveError(UserError):
    """A frame could not be solved; the message gives the reason in a few words."""


class SolveTimeoutError(SolveError):
    """A frame could not be solved within the time limit."""


def solve(field: Field, hints: Hints, seconds: float = SECONDS, solvers: Sequence[Solver] | None = None) -> Solution:
    """Return where a field is on the sky.

    Args:
        field: the stars of the frame.
        hints: what is known about position and scale.
        seconds: time limit, wall-clock.
        solvers: the solvers in their order; None for the installed ones.

    Raises:
        SolveTimeoutError: the time has run out.
        SolveError: no solver finds a solution that the stars confirm.
    """
    solvers = usable_solvers() if solvers is None else solvers
    if not solvers:
        raise SolveError(f"{why_none()}; install one: {INSTALL}")
    if len(field.stars) < MIN_MATCHES:
        raise SolveError(f"only {len(field.stars)} stars were found in it")
    start = time.monotonic()
    reasons: dict[str, str] = {}
    broken: set[str] = set()
    for attempt in hints.attempts():
        for solver in solvers:
            left = seconds - (time.monotonic() - start)
            if left < 1:
                raise SolveTimeoutError(_reason(reasons, f"no solution within {seconds:.0f} s"))
            if solver.name in broken:
                continue
            limit = min(left, max(FIRST_SECONDS, seconds / 4)) if attempt.has_position else left
            try:
                candidate = solver.solve(field, attempt, limit)
            except SolverError as error:
                reasons[solver.name] = str(error)
                if not isinstance(error, SolverTimeoutError):
                    broken.add(solver.name)
                continue
            if candidate is None:
                continue
            verified = verify(candidate, field)
            if isinstance(verified, str):
                reasons[solver.name] = f"a solution of {solver.name} was refused: {verified}"
                logger.debug("%s", reasons[solver.name])
                continue
            taken = time.monotonic() - start
            return Solution(verified.wcs, solver.name, taken, verified.residual_arcsec, verified.matches)
    if time.monotonic() - start > seconds - 1:
        raise SolveTimeoutError(_reason(reasons, f"no solution within {seconds:.0f} s"))
    raise SolveError(_reason(reasons, f"no match of its {len(field.stars)} stars was found"))


def make_field(planes: Sequence[np.ndarray], width: int, height: int, binning: int = 1) -> Field:
    """Find the stars of a frame.

    Args:
        planes: one or more channels (h, w) of any real type.
        width, height: of the frame in pixels.
        binning: pixels of the frame along a side of one pixel of a plane: 2 for superpixels.
    """
    light = join_planes(planes)
    return Field(find_stars(light, binning), width, height, light)


def _reason(reasons: dict[str, str], otherwise: str) -> str:
    return "; ".join(reasons.values()) or otherwise
