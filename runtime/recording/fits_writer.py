"""Encode crops and frames as FITS, for measurements. Needs the extra ``fits``."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np

from ... import __version__
from ...sky.wcs import Wcs
from ..events.event import Event
from ..frame import Frame
from ..imaging.exposures import exposure_seconds
from ..system.address import printable_name
from ..system.utc_time import utc_text

Cards = dict[str, tuple[Any, str]]
"""FITS keyword -> value and comment; HISTORY has a line of text for each line of its value."""
KEPT = ("TELESCOP", "INSTRUME", "FILTER", "OBSERVER", "GAIN", "FOCALLEN", "APTDIA", "CCD-TEMP")
"""Keywords of the source that stay as they are."""


def fits_bytes(pixels: np.ndarray, cards: Cards) -> bytes:
    """Encode pixels of any depth as FITS: (H, W) as one plane, (H, W, 3) as three.

    Row 0 first.
    """
    from astropy.io import fits

    planes = pixels if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)
    unit = fits.PrimaryHDU(np.ascontiguousarray(planes))
    for key, (value, comment) in cards.items():
        if isinstance(value, str):  # FITS headers are ASCII
            value = value.encode("ascii", "backslashreplace").decode()
        if key == "HISTORY":
            for line in value.splitlines():
                unit.header.add_history(line)
        else:
            unit.header[key] = value, comment
    stream = io.BytesIO()
    unit.writeto(stream)
    return stream.getvalue()


def event_cards(event: Event) -> Cards:
    """Return the FITS header of an event's crop."""
    x0, y0, x1, y1 = event.box
    cards: Cards = {
        "DATE-BEG": (event.first_time.removesuffix("Z"), "first sighting, UTC"),
        "DATE-END": (event.last_time.removesuffix("Z"), "last sighting, UTC"),
        "OBJECT": (event.id, "event"), "CLASS": (event.name, "morphology"), "PROB": (event.probability, "of the class"),
        "SCORE": (event.score, "of the detector"), "FRAME": (event.best_frame, "number of the frame"),
        "X0": (x0, "box in pixels of the frame"), "Y0": (y0, ""), "X1": (x1, ""), "Y1": (y1, ""),
    }  # fmt: skip
    if event.sure is False:
        cards["NAME"] = event.display_name, "the class is a guess"
    if event.sky and event.sky.object_name:
        cards["CATNAME"] = printable_name(event.sky.object_name), "catalogued object"
    if event.view:
        frame, (x, y), step = event.view
        cards |= _exposure_cards(frame)
        wcs = _wcs_of(frame)
        if wcs:
            cards |= _wcs_cards(wcs.cropped(x, y), step)
        cards["HISTORY"] = f"{_history(frame)}\ncrop from x = {x}, y = {y} of the source's frame", ""
    return cards | _pattern_cards(event.cfa if event.raw_cutout is not None else None)


def frame_cards(frame: Frame) -> Cards:
    """Return a frame's FITS header.

    It has the time, exposure, number, stack, position on the sky, and the stretch to 8 bits.
    """
    cards = _exposure_cards(frame) | {"FRAME": (frame.number, "number in its run")}
    if frame.stretch:
        keywords = {"STRETCH": "kind", "STRBLACK": "black", "STRWHITE": "white", "STRSOFT": "softening"}
        cards |= {
            key: (frame.stretch[name], f"{name} of the stretch")
            for key, name in keywords.items()
            if name in frame.stretch
        }
    wcs = _wcs_of(frame)
    if wcs:
        cards |= _wcs_cards(wcs, frame.binning // frame.raw_binning if frame.raw is not None else frame.binning)
    cards["HISTORY"] = _history(frame), ""
    return cards | _pattern_cards(frame.cfa)


def _exposure_cards(frame: Frame) -> Cards:
    """Return when a frame was exposed, for how long, and with what."""
    began = frame.began or frame.time
    cards: Cards = {
        "DATE-OBS": (utc_text(began).removesuffix("Z"), "begin of the exposure, UTC"),
        "TIMESYS": ("UTC", "scale of times"),
        "NSTACK": (frame.stacked, "frames that this is the mean of"),
    }
    exposure = frame.exposure if frame.stacked > 1 else exposure_seconds(frame.header)
    if exposure is not None:
        cards["EXPTIME"] = round(exposure, 6), "s, sum of all frames" if frame.stacked > 1 else "s"
    for key in KEPT:
        value = frame.header.get(key)
        if isinstance(value, str):
            cards[key] = printable_name(value.strip())[:60], ""
        elif isinstance(value, int | float) and math.isfinite(value):
            cards[key] = value, ""
    return cards


def _wcs_of(frame: Frame) -> Wcs | None:
    """Return where the source's own frame is on the sky: solved, else of its header."""
    return frame.wcs or Wcs.from_header(frame.header, *frame.source_size)


def _wcs_cards(wcs: Wcs, step: int) -> Cards:
    """Return the cards of a WCS whose pixels are joined to squares of `step`."""
    joined = wcs.binned(step) if step != 1 else wcs
    return {key: (value, "") for key, value in joined.to_header().items()}


def _history(frame: Frame) -> str:
    """Return what was done to a frame, a line each."""
    lines = [f"galaxy-edge {__version__}, from {printable_name(frame.source)}"]
    if frame.stacked > 1:
        lines.append(f"mean of {frame.stacked} frames, aligned by their stars; outliers excluded")
    if frame.wcs:
        lines.append("position on the sky from a plate solution")
    return "\n".join(lines)


def _pattern_cards(cfa: str | None) -> Cards:
    """Return the card of a mosaic's Bayer pattern (of the first pixels as stored)."""
    return {"BAYERPAT": (cfa, "Bayer pattern of the first 2 x 2 pixels")} if cfa else {}
