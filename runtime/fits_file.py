"""Crops and frames as FITS, for those who measure on them. Needs the extra ``fits``."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from .event import Event
from .frame import Frame
from .track import iso_time

Cards = dict[str, tuple[Any, str]]
"""Keyword -> value and comment."""


def fits_bytes(pixels: np.ndarray, cards: Cards) -> bytes:
    """Encode (H, W, 3) pixels as FITS: three planes, row 0 first."""
    from astropy.io import fits

    unit = fits.PrimaryHDU(np.ascontiguousarray(np.moveaxis(pixels, 2, 0)))
    for key, card in cards.items():
        unit.header[key] = card
    stream = io.BytesIO()
    unit.writeto(stream)
    return stream.getvalue()


def event_cards(event: Event) -> Cards:
    """Say of a crop what it shows."""
    x0, y0, x1, y1 = event.box
    return {
        "DATE-BEG": (event.first_time.removesuffix("Z"), "first sighting, UTC"),
        "DATE-END": (event.last_time.removesuffix("Z"), "last sighting, UTC"),
        "OBJECT": (event.id, "event"), "CLASS": (event.name, "morphology"), "PROB": (event.probability, "of the class"),
        "SCORE": (event.score, "of the detector"), "FRAME": (event.best_frame, "number of the frame"),
        "X0": (x0, "box in pixels of the frame"), "Y0": (y0, ""), "X1": (x1, ""), "Y1": (y1, ""),
    }  # fmt: skip


def frame_cards(frame: Frame) -> Cards:
    """Say of a frame when and where it is from."""
    return {"DATE-OBS": (iso_time(frame).removesuffix("Z"), "UTC"), "FRAME": (frame.number, "number in its run")}
