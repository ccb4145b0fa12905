"""Solve a field in a process of its own.

The run starts it, so that nothing of a solver is in the run's process: no hang, no crash, no memory.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from typing import Any

import numpy as np

from ..errors import UserError
from .hints import Hints
from .solution import Solution
from .solve import solve
from .solvers.process import kill_all
from .solvers.solver import Field
from .stars import ImageStars
from .verification import check_wcs
from .wcs import Wcs

NICENESS = 10


def pack(field: Field, hints: Hints, seconds: float, followed: Wcs | None) -> bytes:
    """Return a task as bytes.

    Args:
        field: the stars of the frame.
        hints: what is known.
        seconds: time limit.
        followed: the WCS that the frame should have; if its stars confirm it, nothing is solved.
    """
    stars = field.stars
    wcs = {**followed.to_header(), "width": followed.width, "height": followed.height} if followed else None
    about = {"width": field.width, "height": field.height, "hints": vars(hints), "seconds": seconds, "followed": wcs}
    stream = io.BytesIO()
    arrays = {"xy": stars.xy, "flux": stars.flux, "fwhm": stars.fwhm, "elongation": stars.elongation}
    if field.light is not None:
        arrays["light"] = field.light
    np.savez(stream, about=np.array(json.dumps(about)), **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def unpack_answer(text: str) -> Solution | str:
    """Return the solution of the child's output, or why there is none."""
    try:
        answer: dict[str, Any] = json.loads(text.strip().rpartition("\n")[2])
        if "failed" in answer:
            return str(answer["failed"])
        wcs = _wcs_of(answer.pop("wcs"))
        return Solution(wcs, **answer) if wcs else "the solver's answer cannot be read"
    except (ValueError, KeyError, TypeError):
        return "the process of the solver ended without an answer"


def _wcs_of(header: dict[str, Any]) -> Wcs | None:
    return Wcs.from_header(header, header.pop("width"), header.pop("height"))


def answer_of(content: bytes) -> dict[str, Any]:
    """Solve a task of `pack`; return what is printed."""
    with np.load(io.BytesIO(content)) as arrays:
        about = json.loads(str(arrays["about"]))
        stars = ImageStars(arrays["xy"], arrays["flux"], arrays["fwhm"], arrays["elongation"])
        field = Field(stars, about["width"], about["height"], arrays.get("light"))
    hints = dict(about["hints"])
    hints["scale"] = tuple(hints["scale"]) if hints["scale"] else None
    try:
        found = None
        followed = _wcs_of(about["followed"]) if about["followed"] else None
        if followed is not None:
            confirmed = check_wcs(followed, field)
            if not isinstance(confirmed, str):
                found = Solution(confirmed.wcs, "followed", 0.0, confirmed.residual_arcsec, confirmed.matches)
        found = found or solve(field, Hints(**hints), about["seconds"])
    except UserError as error:
        return {"failed": str(error)}
    wcs = {**found.wcs.to_header(), "width": found.wcs.width, "height": found.wcs.height}
    return {
        "wcs": wcs, "solver": found.solver, "seconds": found.seconds, "residual_arcsec": found.residual_arcsec,
        "stars_matched": found.stars_matched,
    }  # fmt: skip


def main() -> None:
    """Read a task from stdin, print its answer.

    SIGTERM ends the programs of the solver too.
    """

    def end(*_: object) -> None:
        kill_all()
        os._exit(1)

    signal.signal(signal.SIGTERM, end)
    os.nice(NICENESS)
    print(json.dumps(answer_of(sys.stdin.buffer.read())), flush=True)
