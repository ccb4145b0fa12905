"""The files of a candidate: cut-outs as PNG and FITS, and a report."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np

from ...files import write_atomic
from ...sky.differencing.candidate import Candidate, Cutouts
from ...sky.solve_file import format_position
from ..events.candidates import CandidateRow
from ..imaging.encoding import encode_image

FOLDER = "candidates"
"""Folder of the output folder that has a folder for each candidate."""
IMAGES = ("reference", "new", "difference")
_ZOOM = 6
_CHECKS = """Before anybody is informed, please check:
  1. Minor planets and comets: https://minorplanetcenter.net/cgi-bin/checkmp.cgi
  2. Known variable stars: https://www.aavso.org/vsx/ and novae or supernovae: https://www.wis-tns.org/
  3. An image of a survey, e.g. https://aladin.cds.unistra.fr/AladinLite/ : is there a star or a knot of the galaxy?
  4. The single frames: is it in all of them, round, and not at the same pixel of the camera?
  5. Another image, best of another telescope or another night."""


def write_candidate(folder: Path, row: CandidateRow, candidate: Candidate) -> None:
    """Write the files of a candidate, in place of those of an earlier stack.

    Args:
        folder: the output folder.
        row: its figures; candidate: with its cut-outs.

    Raises:
        OSError: they cannot be written.
    """
    target = folder / row.folder
    target.mkdir(parents=True, exist_ok=True)
    cutouts = candidate.cutouts
    for name, pixels in zip(IMAGES, (cutouts.reference, cutouts.new, cutouts.difference), strict=True):
        write_atomic(target / f"{name}.png", encode_image(_shown(pixels, cutouts), ".png"))
        write_atomic(target / f"{name}.fits", _fits(pixels, cutouts, row, name))
    write_atomic(target / "candidate.json", (json.dumps(row.to_dict(), indent=1) + "\n").encode())
    write_atomic(target / "report.txt", report_text(row).encode())


def report_text(row: CandidateRow) -> str:
    """Return what is known of a candidate, and what a person should check."""
    recovered = "unknown" if row.recovered is None else f"{row.recovered:.0%}"
    return f"""Candidate {row.id}: something new near {row.galaxy}, to be checked by a person.

This is not a discovery. Most candidates are minor planets, variable stars or errors of the comparison.

position    {format_position(row.ra, row.dec)} ({row.ra:.5f} {row.dec:+.5f}, J2000), +- {row.position_error:.1f} arcsec
magnitude   {row.magnitude:.2f} +- {row.magnitude_error:.2f} (compared with VT of Tycho-2 stars; no colour correction)
offset      {_direction(row)} of the nucleus of {row.galaxy}
seen        in {row.sightings} of {row.stacks} stacks, {row.first_time[:19]} to {row.last_time[:19]} UTC
signal      up to {row.signal:.1f} sigma in a stack; limiting magnitude {row.limiting_magnitude:.1f}
recovered   {recovered} of artificial stars of this magnitude near galaxies of this field, in the same stacks
reference   {row.reference}

{_CHECKS}
"""


def candidate_image(cutouts: Cutouts) -> bytes:
    """Return the three cut-outs next to each other as JPEG."""
    images = [_shown(pixels, cutouts) for pixels in (cutouts.reference, cutouts.new, cutouts.difference)]
    gap = np.zeros((images[0].shape[0], _ZOOM), np.uint8)
    return encode_image(np.hstack([images[0], gap, images[1], gap, images[2]]), ".jpg", 92)


def _direction(row: CandidateRow) -> str:
    east = f"{abs(row.offset_east):.0f} arcsec {'east' if row.offset_east >= 0 else 'west'}"
    north = f"{abs(row.offset_north):.0f} arcsec {'north' if row.offset_north >= 0 else 'south'}"
    return f"{east}, {north}"


def _shown(pixels: np.ndarray, cutouts: Cutouts) -> np.ndarray:
    """Return a cut-out as 8 bits, magnified, on the scale of all three."""
    spread = 1.4826 * float(np.median(np.abs(cutouts.difference - np.median(cutouts.difference)))) or 1.0
    high = max(8 * spread, float(np.percentile(cutouts.new, 99)), float(cutouts.difference.max()))
    values = np.arcsinh((np.nan_to_num(pixels) + 2 * spread) / (3 * spread))
    values = values / np.arcsinh((high + 2 * spread) / (3 * spread))
    grey = np.clip(255 * values, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.kron(grey, np.ones((_ZOOM, _ZOOM), np.uint8)))


def _fits(pixels: np.ndarray, cutouts: Cutouts, row: CandidateRow, name: str) -> bytes:
    from astropy.io import fits

    unit = fits.PrimaryHDU(np.ascontiguousarray(pixels, np.float32))
    for key, value in cutouts.wcs.to_header().items():
        unit.header[key] = value
    unit.header["OBJECT"] = row.id
    unit.header["DATE-OBS"] = row.last_time.removesuffix("Z")
    unit.header["IMAGETYP"] = name
    unit.header["COMMENT"] = "candidate, to be checked by a person; stars are smoothed by the comparison"
    stream = io.BytesIO()
    unit.writeto(stream)
    return stream.getvalue()
