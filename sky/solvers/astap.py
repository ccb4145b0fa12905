"""Solve with ASTAP, which finds the stars of an image itself.

Its star database is a download of its own.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ..hints import Hints
from ..wcs import Wcs
from .process import run_limited
from .solver import Candidate, Field, SolverError

PROGRAMS = ("astap_cli", "astap")
DATABASES = ("/opt/astap", "/usr/share/astap", "/usr/share/astap/data")
_BLIND = 180.0


class Astap:
    """``astap_cli`` or ``astap``."""

    name = "astap"

    def missing(self) -> str:
        """Return whether the program or its star database is missing."""
        program = _program()
        if program is None:
            return "astap is not installed"
        folders = (*DATABASES, str(Path(program).resolve().parent), os.environ.get("GALAXY_EDGE_ASTAP_DATABASE", ""))
        suffixes = (".1476", ".290", ".001")
        has_database = any(
            path.suffix in suffixes for folder in folders if folder and Path(folder).is_dir()
            for path in Path(folder).iterdir()
        )  # fmt: skip
        return "" if has_database else "astap has no star database"

    def solve(self, field: Field, hints: Hints, seconds: float) -> Candidate | None:
        """Solve a field, see `Solver.solve`."""
        program = _program()
        if program is None or field.light is None:
            return None
        from astropy.io import fits

        factor = field.width / field.light.shape[1]
        with tempfile.TemporaryDirectory(prefix="galaxy-edge-solve-") as name:
            folder = Path(name)
            fits.PrimaryHDU(_to_uint16(field.light)).writeto(folder / "frame.fits")
            run_limited([program, *_arguments(field, hints)], seconds, folder)
            header = _read(folder / "frame.ini")
        if header.get("PLTSOLVD") != "T":
            return None
        wcs = Wcs.from_header(
            header | {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"}, field.light.shape[1], field.light.shape[0]
        )
        if wcs is None:
            raise SolverError("astap wrote a result that cannot be read")
        return Candidate(wcs.binned(1 / factor), np.zeros((0, 2)))


def _program() -> str | None:
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


def _arguments(field: Field, hints: Hints) -> list[str]:
    arguments = ["-f", "frame.fits", "-r", f"{hints.radius if hints.has_position else _BLIND:g}"]
    if hints.ra is not None and hints.dec is not None:
        arguments += ["-ra", f"{hints.ra / 15:.6f}", "-spd", f"{hints.dec + 90:.6f}"]
    scale = sum(hints.scale) / 2 if hints.scale else 0.0  # 0: it tries all
    return [*arguments, "-fov", f"{scale * field.height / 3600:.4f}"]


def _to_uint16(light: np.ndarray) -> np.ndarray:
    low, high = np.percentile(light, (0.1, 99.99))
    return np.asarray(np.clip((light - low) / max(high - low, 1e-9) * 60_000 + 1000, 0, 65_535).astype(np.uint16))


def _read(path: Path) -> dict[str, Any]:
    """Return the keywords of the result, a text of lines KEY=VALUE."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        raise SolverError("astap wrote no result") from None
    return {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}
