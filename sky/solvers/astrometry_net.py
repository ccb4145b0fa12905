"""Solve with ``solve-field`` of astrometry.net.

It gets our stars, so that it needs no program to find them, and no image.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np

from ..hints import NARROWEST, WIDEST, Hints
from ..wcs import Wcs
from .process import run_limited
from .solver import Candidate, Field, SolverError

MAX_STARS = 200
INDEXES = ("/usr/share/astrometry", "/usr/local/share/astrometry", "/usr/local/astrometry/data")
CONFIGURATION = "/etc/astrometry.cfg"
PACKAGES = "astrometry.net astrometry-data-tycho2"
REINSTALL = "sudo apt install --reinstall astrometry-data-tycho2-07-littleendian, or download it again"
_DAMAGED = re.compile(r"Failed to (?:load index from path|add index) \"?([^\s\"]+)")
_FAILURE = re.compile(r"(?im)^.*(?:error|failed to|couldn't|cannot|no such file|no index files).*$")


class AstrometryNet:
    """``solve-field`` with the index files that are installed."""

    name = "astrometry.net"

    def missing(self) -> str:
        """Return whether the program or its index files are missing."""
        if shutil.which("solve-field") is None:
            return "solve-field is not installed"
        return "" if index_files() else "solve-field has no index files"

    def solve(self, field: Field, hints: Hints, seconds: float) -> Candidate | None:
        """Solve a field, see `Solver.solve`."""
        with tempfile.TemporaryDirectory(prefix="galaxy-edge-solve-") as name:
            folder = Path(name)
            _write_stars(folder / "stars.xyls", field)
            output = run_limited(_command(field, hints, seconds), seconds, folder)
            if not (folder / "stars.wcs").is_file():
                damaged = _DAMAGED.search(output) if "Did not solve" not in output else None
                if damaged:
                    raise SolverError(f"the index file {damaged[1]} is cut short or damaged; {REINSTALL}")
                failure = _FAILURE.search(output) if "Did not solve" not in output else None
                if failure:
                    raise SolverError(f"solve-field: {failure[0].strip()[:200]}")
                return None
            return _read(folder, field)


def index_files() -> list[Path]:
    """Return the index files that solve-field finds by its configuration."""
    folders = [Path(folder) for folder in INDEXES]
    try:
        text = Path(CONFIGURATION).read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    folders += [Path(folder) for folder in re.findall(r"(?m)^\s*add_path\s+(\S+)", text)]
    return sorted({path for folder in folders for path in folder.glob("index-*.fits")})


def _write_stars(path: Path, field: Field) -> None:
    from astropy.io import fits

    stars = field.stars.brightest(MAX_STARS)
    columns = {"X": stars.xy[:, 0] + 0.5, "Y": stars.xy[:, 1] + 0.5, "FLUX": stars.flux}
    table = fits.BinTableHDU.from_columns([fits.Column(name, "D", array=values) for name, values in columns.items()])
    table.writeto(path)


def _command(field: Field, hints: Hints, seconds: float) -> list[str]:
    low, high = hints.scale or (NARROWEST * 3600 / field.width, WIDEST * 3600 / field.width)
    command = [
        "solve-field", "stars.xyls", "--width", str(field.width), "--height", str(field.height), "--x-column", "X",
        "--y-column", "Y", "--sort-column", "FLUX", "--scale-units", "arcsecperpix", "--scale-low", f"{low:.6g}",
        "--scale-high", f"{high:.6g}", "--no-plots", "--overwrite", "--corr", "stars.corr", "--crpix-center",
        "--no-remove-lines", "--uniformize", "0", "--new-fits", "none", "--cpulimit", str(int(seconds) + 1),
        "--temp-dir", ".",
    ]  # fmt: skip
    if hints.has_position:
        command += ["--ra", f"{hints.ra:.6f}", "--dec", f"{hints.dec:.6f}", "--radius", f"{hints.radius:g}"]
    return command


def _read(folder: Path, field: Field) -> Candidate:
    """Read the solution and the stars that it rests on.

    Raises:
        SolverError: they cannot be read.
    """
    from astropy.io import fits

    try:
        header = fits.getheader(folder / "stars.wcs")
        wcs = Wcs.from_header({card.keyword: card.value for card in header.cards}, field.width, field.height)
        references = np.zeros((0, 2))
        if (folder / "stars.corr").is_file() and os.path.getsize(folder / "stars.corr"):
            table = fits.getdata(folder / "stars.corr", 1)
            references = np.stack([table["index_ra"], table["index_dec"]], axis=1).astype(float)
    except (OSError, KeyError, ValueError, IndexError, TypeError) as error:
        raise SolverError(f"solve-field wrote a result that cannot be read: {error}") from None
    if wcs is None:
        raise SolverError("solve-field wrote a result that is not a TAN projection")
    return Candidate(wcs, references)
