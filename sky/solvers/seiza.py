"""Solve with the package seiza and the stars of Tycho-2.

It needs a position and a scale.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from ..hints import Hints
from ..tycho2 import find_tycho2
from ..wcs import Wcs
from .process import run_limited
from .solver import Candidate, Field, SolverError

MAX_STARS = 200
_SOLVE = """
import json, sys
import seiza
task = json.load(open("task.json"))
catalogue = seiza.StarCatalog.from_stars([tuple(star) for star in task["catalogue"]])
stars = [seiza.Star(x, y, flux) for x, y, flux in task["stars"]]
try:
    found = seiza.solve(stars, catalogue, task["width"], task["height"], **task["hints"])
except seiza.SolveError as error:
    answer = {"failed": str(error)}
else:
    wcs = found.wcs
    answer = {"crval": wcs.crval, "crpix": wcs.crpix, "cd": wcs.cd}
json.dump(answer, open("answer.json", "w"))
"""


class Seiza:
    """The package seiza, in a process of its own."""

    name = "seiza"

    def missing(self) -> str:
        """Return whether the package or the star catalogue is missing."""
        if importlib.util.find_spec("seiza") is None:
            return "seiza is not installed"
        return "" if find_tycho2() else "seiza has no star catalogue"

    def solve(self, field: Field, hints: Hints, seconds: float) -> Candidate | None:
        """Solve a field near a position, see `Solver.solve`."""
        if not hints.has_position or hints.scale is None:
            return None
        task = _task(field, hints, seconds)
        with tempfile.TemporaryDirectory(prefix="galaxy-edge-solve-") as name:
            folder = Path(name)
            (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")
            output = run_limited([sys.executable, "-c", _SOLVE], seconds, folder)
            try:
                answer = json.loads((folder / "answer.json").read_text(encoding="utf-8"))
            except (OSError, ValueError):
                raise SolverError(f"seiza: {output.strip().rpartition(chr(10))[2][:200] or 'no answer'}") from None
        if "failed" in answer:
            return None
        # Its pixels have their centres at whole numbers.
        (x, y), cd = answer["crpix"], np.array(answer["cd"], float)
        wcs = Wcs(tuple(answer["crval"]), (x + 0.5, y + 0.5), cd, field.width, field.height)
        return Candidate(wcs, np.zeros((0, 2)))


def _task(field: Field, hints: Hints, seconds: float) -> dict[str, object]:
    from ..tycho2 import open_tycho2

    assert hints.ra is not None and hints.dec is not None and hints.scale is not None
    scale = sum(hints.scale) / 2
    radius = hints.radius + scale * max(field.width, field.height) / 3600
    known = open_tycho2().within(hints.ra, hints.dec, radius)
    stars = field.stars.brightest(MAX_STARS)
    return {
        "catalogue": np.stack([known.ra, known.dec, known.magnitude], axis=1).tolist(),
        "stars": np.column_stack([stars.xy - 0.5, stars.flux]).tolist(),
        "width": field.width,
        "height": field.height,
        "hints": {
            "ra": hints.ra, "dec": hints.dec, "scale_arcsec_px": scale, "radius_deg": hints.radius,
            "scale_tolerance": hints.scale[1] / scale - 1, "time_limit": seconds,
        },
    }  # fmt: skip
