"""Write simulated frames as a telescope does, and the tables of the truth."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UsageError
from ...files import write_atomic
from .night import Night, SimulatedFrame

TRUTH, FRAMES = "truth.ecsv", "frames.ecsv"


def write_night(night: Night, folder: Path, name: str, with_wcs: bool) -> Iterable[Path]:
    """Write a night, and yield the path of each frame after it is written.

    The tables follow the last frame.

    Args:
        night: to write.
        folder: is created; must not hold FITS files.
        name: of the target, in headers and file names.
        with_wcs: whether headers have the true WCS.

    Raises:
        UsageError: the folder has frames already.
        OSError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.glob("*.fit*")):
        raise UsageError(f"{folder} has FITS files already: give an empty or a new folder")
    rows: list[tuple[Any, ...]] = []
    summaries: list[tuple[Any, ...]] = []
    for frame in night.frames():
        path = folder / _file_name(night, frame, name)
        write_atomic(path, _fits(night, frame, name, with_wcs))
        rows += [(frame.number, path.name, *vars(row).values()) for row in frame.truth]
        ra, dec = frame.wcs.centre
        time = frame.time.isoformat(timespec="milliseconds").replace("+00:00", "")
        summaries.append(
            (frame.number, path.name, time, ra, dec, frame.wcs.rotation, frame.wcs.scale, frame.transparency)
        )
        yield path
    _write_table(
        folder / TRUTH, rows, ("frame", "file", "kind", "name", "ra", "dec", "x", "y", "magnitude"),
        {"ra": "deg", "dec": "deg", "x": "pix", "y": "pix", "magnitude": "mag"}, night,
    )  # fmt: skip
    _write_table(
        folder / FRAMES, summaries, ("frame", "file", "time", "ra", "dec", "rotation", "scale", "transparency"),
        {"ra": "deg", "dec": "deg", "rotation": "deg", "scale": "arcsec / pix"}, night,
    )  # fmt: skip


def _write_table(
    path: Path, rows: list[tuple[Any, ...]], names: tuple[str, ...], units: dict[str, str], night: Night
) -> None:
    from astropy.table import Table

    table = Table(rows=rows, names=names) if rows else Table(names=names)
    for name, unit in units.items():
        table[name].unit = unit
    table.meta = {
        "comments": ["Positions: ICRS; x, y: pixels of the file's first row and column, edges at whole numbers."],
        "telescope": night.telescope.name,
        "seed": night.options.seed,
    }
    text = io.StringIO()
    table.write(text, format="ascii.ecsv")
    write_atomic(path, text.getvalue().encode())


def _file_name(night: Night, frame: SimulatedFrame, name: str) -> str:
    target = re.sub(r"[^A-Za-z0-9+-]", "", name) or "sky"
    stamp = f"{frame.time:%Y%m%dT%H%M%S}"
    return f"{target}_{night.options.exposure:g}s_{stamp}_{frame.number:04d}.fit"


def _fits(night: Night, frame: SimulatedFrame, name: str, with_wcs: bool) -> bytes:
    """Return a FITS file."""
    from astropy.io import fits

    unit = fits.PrimaryHDU(frame.mosaic)
    for key, value in header_cards(night, frame, name).items():
        unit.header[key] = value
    if with_wcs:
        unit.header.update(frame.wcs.to_header())
    content = io.BytesIO()
    fits.HDUList([unit]).writeto(content)
    return content.getvalue()


def header_cards(night: Night, frame: SimulatedFrame, name: str) -> dict[str, Any]:
    """Return the keywords that the telescope's program writes into a frame."""
    telescope, options = night.telescope, night.options
    time = frame.time.isoformat(timespec="microseconds").replace("+00:00", "")
    ra, dec = frame.pointing
    cards: dict[str, Any] = {
        "XPIXSZ": telescope.pixel_um, "YPIXSZ": telescope.pixel_um, "XBINNING": 1, "YBINNING": 1,
        "EXPTIME": float(options.exposure), "EXPOSURE": float(options.exposure), "DATE-OBS": time, "GAIN": 80,
        "FOCALLEN": round(telescope.focal_mm, 1), "INSTRUME": telescope.instrument, "OBJECT": name,
        "CCD-TEMP": 20.0, "SITELAT": 45.0, "SITELONG": 0.0,
    }  # fmt: skip
    if telescope.pattern:
        cards["BAYERPAT"] = telescope.pattern
    if telescope.header == "seestar":
        cards |= {
            "CREATOR": f"ZWO {telescope.instrument}", "PRODUCER": "ZWO", "IMAGETYP": "Light", "FILTER": "IRCUT",
            "TELESCOP": f"{telescope.instrument.split()[-1]}_00000000", "FOCALLEN": round(telescope.focal_mm / 10) * 10,
            "RA": round(ra, 5), "DEC": round(dec, 6), "TOTALEXP": float(options.exposure), "FOCUSPOS": 1555,
        }  # fmt: skip
    else:
        cards |= {
            "SWCREATE": "N.I.N.A. 3.1.2", "IMAGETYP": "LIGHT", "TELESCOP": telescope.name, "GAIN": 100, "OFFSET": 70,
            "ROWORDER": "TOP-DOWN", "OBJCTRA": _sexagesimal(ra / 15, "{:02d} {:02d} {:05.2f}"),
            "OBJCTDEC": ("-" if dec < 0 else "+") + _sexagesimal(abs(dec), "{:02d} {:02d} {:04.1f}"),
            "RA": ra, "DEC": dec, "EQUINOX": 2000.0,
        }  # fmt: skip
        if telescope.pattern:
            cards |= {"XBAYROFF": 0, "YBAYROFF": 0}
    return cards | {"HISTORY": f"simulated by galaxy-edge, seed {options.seed}: not an observation"}


def _sexagesimal(value: float, form: str) -> str:
    """Write hours or degrees with minutes and seconds, without 60 seconds."""
    hundredths = int(np.round(value * 3600 * 10)) * 10
    whole, rest = divmod(hundredths, 360000)
    return form.format(whole, rest // 6000, rest % 6000 / 100)
