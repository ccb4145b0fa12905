"""Encode crops and frames as FITS, for measurements. Needs the extra ``fits``."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from ..events.event import Event
from ..frame import Frame
from ..system.utc_time import utc_text

Cards = dict[str, tuple[Any, str]]
"""FITS keyword -> value and comment."""


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
    return cards | _pattern_cards(event.cfa if event.raw_cutout is not None else None)


def frame_cards(frame: Frame) -> Cards:
    """Return a frame's FITS header: time, number, stack and display stretch.

    The stretch is the one to 8 bits.
    """
    cards: Cards = {
        "DATE-OBS": (utc_text(frame.time).removesuffix("Z"), "UTC"), "FRAME": (frame.number, "number in its run"),
        "NSTACK": (frame.stacked, "frames that this is the mean of"),
    }  # fmt: skip
    if frame.stretch:
        keywords = {"STRETCH": "kind", "STRBLACK": "black", "STRWHITE": "white", "STRSOFT": "softening"}
        cards |= {
            key: (frame.stretch[name], f"{name} of the stretch")
            for key, name in keywords.items()
            if name in frame.stretch
        }
    return cards | _pattern_cards(frame.cfa)


def _pattern_cards(cfa: str | None) -> Cards:
    """Return the card of a mosaic's Bayer pattern (of the first pixels as stored)."""
    return {"BAYERPAT": (cfa, "Bayer pattern of the first 2 x 2 pixels")} if cfa else {}
