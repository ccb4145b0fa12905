"""Recognise calibration frames by their FITS keywords.

Darks, biases and flats show no sky.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...errors import ImageError

KEYWORDS = ("IMAGETYP", "IMAGETYPE", "FRAME", "FRAMETYP", "IMTYPE", "OBSTYPE")
"""Written by MaxIm, NINA, SharpCap, ASIAIR (IMAGETYP), Ekos (FRAME) and observatories (OBSTYPE)."""
_LIGHT = re.compile(r"light|object|science", re.IGNORECASE)
_KINDS = {"flat": r"flat", "dark": r"dark", "bias": r"bias|zero|offset"}


class CalibrationFrameError(ImageError):
    """A dark, bias or flat frame, which is skipped; nothing is wrong with the file."""


def check_is_light(header: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Refuse a calibration frame.

    Args:
        header: keywords of a FITS file, in capitals.
        name: of the file, for the message.

    Returns:
        A remark on a keyword whose value is not known, where no other says that the frame is a light.

    Raises:
        CalibrationFrameError: a keyword says that it is a dark, a bias or a flat.
    """
    unknown, is_light = "", False
    for key in KEYWORDS:
        value = header.get(key)
        if not isinstance(value, str) or not value.strip():
            continue
        if _LIGHT.search(value):
            is_light = True
            continue
        for kind, words in _KINDS.items():
            if re.search(words, value, re.IGNORECASE):
                raise CalibrationFrameError(name, f"it is a {kind} frame, not a light ({key} = '{value.strip()[:40]}')")
        unknown = unknown or f"{key} = {value.strip()[:40]!r}"
    if not unknown or is_light:
        return ()
    return (f"{unknown} is not a known type of frame; it is read as a light frame",)
