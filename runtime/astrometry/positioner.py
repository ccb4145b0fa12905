"""Keep track of where the frames of a run are on the sky.

A frame's header or a plate solver gives the position; until the next solve it follows the measured motion of the sky.
Followed positions are checked by the stars every few minutes, and solved again where these disagree.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from ...sky.hints import Hints, hints_from
from ...sky.solution import Solution
from ...sky.solve_file import describe
from ...sky.solvers.solver import Field
from ...sky.solvers.table import INSTALL, usable_solvers, why_none
from ...sky.stars import find_stars, join_planes
from ...sky.verification import check_wcs
from ...sky.wcs import Wcs
from ..frame import NO_HINTS, NO_POSITION, OFF, Frame
from .background import BackgroundSolver

logger = logging.getLogger(__name__)

MAX_FIELDS = 3
"""Number of star fields whose positions are remembered, see `imaging.field_motion`."""
FILE_SECONDS, LIVE_SECONDS = 30.0, 120.0
"""Time limits of a solve: for files, whose frames wait for it, and for cameras, whose frames do not."""
FIRST_PAUSE, MAX_PAUSE = 30.0, 900.0
"""Seconds after the first solve that fails, and after many."""
PATIENCE = 3
"""Number of failures in a row after which the frames of files no longer wait."""


@dataclass(frozen=True, eq=False)
class Anchor:
    """A solution, and where the sky was in that frame.

    Attributes:
        solution: of the solved frame.
        sky: (3, 3) motion of the sky there, in pixels of `Frame.pixels`.
        checked: monotonic time of the solve.
    """

    solution: Solution
    sky: np.ndarray
    checked: float


@dataclass(frozen=True, eq=False)
class PositionerOptions:
    """How frames are solved.

    Attributes:
        hints: of the user.
        interval: seconds after which a followed position is checked by the stars.
        wait: whether frames without a position wait for a solve: those of files do, those of cameras do not.
        continuous: whether successive frames show the same field.
        solve: whether frames are solved; if not, positions are those of headers.
    """

    hints: Hints = field(default_factory=Hints)
    interval: float = 300.0
    wait: bool = False
    continuous: bool = True
    solve: bool = True


class SkyPositioner:
    """Gives each frame its position on the sky, or says why there is none.

    Args:
        options: how frames are solved.
        keep_alive: called while a frame waits for a solve; returns false to give up waiting.
        solver: in place of the installed ones.
    """

    def __init__(
        self,
        options: PositionerOptions,
        keep_alive: Callable[[], bool] = lambda: True,
        solver: BackgroundSolver | None = None,
    ) -> None:
        self._options = options
        self._keep_alive = keep_alive
        self._solver = solver or BackgroundSolver()
        self._can_solve = options.solve and (solver is not None or bool(usable_solvers()))
        self._anchors: dict[int, Anchor] = {}
        self._pending: tuple[int, np.ndarray] = (0, np.eye(3))
        self._last: Solution | None = None
        self._failures, self._retry_at, self._failed_field = 0, 0.0, -1
        self._reason = ""
        self._trusts_headers: bool | None = None
        if not self._can_solve:
            self._reason = f"{why_none()} ({INSTALL})" if options.solve else OFF

    def locate(self, frame: Frame, sky: np.ndarray, sky_seen: bool, star_field: int) -> tuple[Solution | None, str]:
        """Return the position of a frame, and why there is none.

        Args:
            frame: the frame; its planes and pixels are read only.
            sky: (3, 3) motion of the sky since the first frame of the field, in pixels of `Frame.pixels`.
            sky_seen: whether the frame shows any sky.
            star_field: number of the field that it shows.
        """
        found = self._from_header(frame)
        if found is not None:
            return found, ""
        self._take_result(0.0)
        if not self._options.continuous:
            self._anchors.clear()
        if not sky_seen:
            return None, f"{NO_POSITION}: the frame shows no stars that were seen before"
        anchor = self._anchors.get(star_field)
        is_due = anchor is None or time.monotonic() - anchor.checked > self._options.interval
        if is_due and self._may_solve(star_field):
            self._begin(frame, sky, star_field, anchor)
            if anchor is None and self._options.wait:
                self._wait()
            anchor = self._anchors.get(star_field)
        if anchor is None:
            return None, f"{NO_POSITION}: {self._why(star_field)}"
        return anchor.solution.shifted(_motion(anchor.sky, sky, frame.binning)), ""

    def close(self) -> None:
        """End a solve that runs."""
        self._solver.close()

    def _why(self, star_field: int) -> str:
        if self._solver.is_busy:
            return "the field is being solved"
        return self._reason or ("the telescope has moved" if self._last else "the field is not solved yet")

    def _may_solve(self, star_field: int) -> bool:
        """Return whether to begin a solve now.

        After failures, only for another field or after a pause.
        """
        if not self._can_solve or self._solver.is_busy:
            return False
        if self._failures and not self._options.continuous:
            return True
        return self._failures == 0 or star_field != self._failed_field or time.monotonic() >= self._retry_at

    def _begin(self, frame: Frame, sky: np.ndarray, star_field: int, anchor: Anchor | None) -> None:
        hints = hints_from(frame.header, self._options.hints)
        if self._last is not None and self._options.continuous:
            wcs = self._last.wcs
            ra, dec = (hints.ra, hints.dec) if hints.has_position else wcs.centre
            hints = Hints(ra, dec, hints.radius, hints.scale or (wcs.scale * 0.97, wcs.scale * 1.03))
        if hints.is_empty and self._options.wait:  # to try everything takes minutes, for each file
            self._reason = NO_HINTS
            return
        followed = None
        if anchor is not None:
            followed = anchor.solution.shifted(_motion(anchor.sky, sky, frame.binning)).wcs
        self._pending = (star_field, sky.copy())
        seconds = FILE_SECONDS if self._options.wait else LIVE_SECONDS
        self._solver.start(_light(frame), frame.source_size, frame.binning, hints, seconds, followed)

    def _wait(self) -> None:
        """Wait for the result of a solve, unless several failed."""
        if self._failures >= PATIENCE:
            return
        while self._solver.is_busy and self._keep_alive():
            self._take_result(0.1)

    def _take_result(self, seconds: float) -> None:
        """Take the result of a solve, if there is one within `seconds`."""
        result = self._solver.take(seconds)
        if result is None:
            return
        star_field, sky = self._pending
        now = time.monotonic()
        if isinstance(result, str):
            self._fail(result, star_field, now)
            return
        if self._last is None or result.solver != "followed":
            level = logging.INFO if self._options.continuous else logging.DEBUG  # else a line for every file
            logger.log(level, "sky position: %s (%s, %.1f s)", describe(result), result.solver, result.seconds)
        elif star_field in self._anchors:
            before = self._anchors[star_field].solution
            result = replace(result, solver=before.solver, seconds=before.seconds)
        self._failures, self._reason, self._last = 0, "", result
        self._anchors.pop(star_field, None)
        self._anchors[star_field] = Anchor(result, sky, now)
        while len(self._anchors) > MAX_FIELDS:
            del self._anchors[next(iter(self._anchors))]

    def _fail(self, reason: str, star_field: int, now: float) -> None:
        """Record a failed solve; give up a position that it contradicts."""
        if self._failures == 0:
            logger.warning("%s: %s", NO_POSITION, reason)
        self._failures += 1
        self._reason, self._failed_field = reason, star_field
        self._retry_at = now + min(MAX_PAUSE, FIRST_PAUSE * 2 ** min(10, self._failures - 1))
        anchor = self._anchors.pop(star_field, None)
        if anchor is not None and "stars were found in it" in reason:  # a cloud contradicts nothing
            self._anchors[star_field] = replace(anchor, checked=now)

    def _from_header(self, frame: Frame) -> Solution | None:
        """Return the solution of a header's WCS.

        The first one is checked by the stars of its frame.
        """
        if "CTYPE1" not in frame.header or self._trusts_headers is False:
            return None
        wcs = Wcs.from_header(frame.header, *frame.source_size)
        if wcs is None:
            return None
        if self._trusts_headers is None:
            self._trusts_headers = self._check_header(wcs, frame)
            if not self._trusts_headers:
                return None
        return Solution(wcs, "header")

    def _check_header(self, wcs: Wcs, frame: Frame) -> bool:
        """Return whether the stars of a frame do not contradict its header's WCS."""
        light = _light(frame)
        checked = check_wcs(wcs, Field(find_stars(light, frame.binning), *frame.source_size, light))
        if isinstance(checked, str) and "catalogued stars are where" in checked:
            logger.warning("the WCS of the frames' headers is ignored: %s", checked)
            return False
        return True


def _light(frame: Frame) -> np.ndarray:
    """Return the channels of a frame joined (h, w), a copy."""
    return join_planes(frame.planes or cv2.split(frame.pixels))


def _motion(before: np.ndarray, now: np.ndarray, binning: int) -> np.ndarray:
    """Return the motion of the sky between two frames (3, 3).

    It is in pixels of the source, edges at whole numbers.

    Args:
        before, now: (3, 3) in pixels of `Frame.pixels`, whose centres are at whole numbers.
        binning: pixels of the source along a side of one of these.
    """
    scale = np.array([[binning, 0.0, binning / 2], [0.0, binning, binning / 2], [0.0, 0.0, 1.0]])
    return np.asarray(scale @ now @ np.linalg.inv(before) @ np.linalg.inv(scale))
