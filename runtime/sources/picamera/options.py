"""Options of a Raspberry Pi's camera: ``picamera2:1?exposure=10&gain=8&raw=1``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ....errors import UsageError
from ..camera_options import (
    OptionParser,
    automatic_or_number,
    exposure_time,
    image_size,
    parse_options,
    positive_number,
    switch,
)


def even_size(text: str) -> tuple[int, int]:
    """Parse ``WIDTHxHEIGHT``, both even."""
    size = image_size(text)
    if size[0] % 2 or size[1] % 2:
        raise ValueError("width and height must be even")
    return size


def sensor_mode(text: str) -> tuple[int, ...]:
    """Parse ``WIDTHxHEIGHT`` or ``WIDTHxHEIGHT:BITS`` of a mode of the sensor."""
    size, separator, bits = text.partition(":")
    if separator and not re.fullmatch(r"\d{1,2}", bits):
        raise ValueError("give WIDTHxHEIGHT or WIDTHxHEIGHT:BITS, such as 2028x1520:12")
    return (*image_size(size), *((int(bits),) if separator else ()))


def colour_gains(text: str) -> tuple[float, float] | None:
    """Parse ``RED,BLUE``, the gains of a fixed white balance; None for ``auto``."""
    if text == "auto":
        return None
    match = re.fullmatch(r"(\d+\.?\d*),(\d+\.?\d*)", text)
    if not match or not all(0 < float(gain) <= 32 for gain in match.groups()):
        raise ValueError("give the gains of red and blue, such as 2.1,1.6, at most 32, or auto")
    return float(match[1]), float(match[2])


PARSERS: dict[str, OptionParser] = {
    "exposure": exposure_time, "gain": automatic_or_number, "wb": colour_gains, "raw": switch, "size": even_size,
    "mode": sensor_mode, "rate": positive_number, "hflip": switch, "vflip": switch,
}  # fmt: skip
DEFAULTS: dict[str, Any] = {**dict.fromkeys(PARSERS), "raw": False, "hflip": False, "vflip": False}


def picamera2_settings(name: str, options: Mapping[str, str]) -> dict[str, Any]:
    """Parse the options of a camera.

    Returns:
        A value for each of `PARSERS`, and the camera's ``number``.

    Raises:
        UsageError: the camera's number, an option or a value is wrong.
    """
    match = re.fullmatch(r"picamera2(?::(\d{1,2}))?", name)
    if not match:
        raise UsageError(f"'{name}' is not a camera: give picamera2, or picamera2:N with the number of the camera")
    settings = {**DEFAULTS, **parse_options(name, options, PARSERS), "number": int(match[1] or 0)}
    if settings["raw"] and settings["size"]:
        raise UsageError(f"{name}: raw images have the size of the sensor's mode: give mode in place of size")
    if settings["gain"] == 0:
        settings["gain"] = None  # libcamera's own word for automatic
    return settings
