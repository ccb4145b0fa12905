"""Parse the options in a camera's address, ``/dev/video0?exposure=0.5&gain=8``.

They are split and parsed by type; wrong ones are refused by name.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from ...errors import UsageError

AUTO = "auto"
_UNITS = {"": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "min": 60.0}
OptionParser = Callable[[str], Any]
"""Returns the value of a text; raises `ValueError` that says what form it must have."""


def split_address(camera: str) -> tuple[str, dict[str, str]]:
    """Split an address into the camera and its options, as texts.

    Raises:
        UsageError: an option has no name or no value, or is given twice.
    """
    name, separator, text = camera.partition("?")
    options: dict[str, str] = {}
    for part in text.split("&") if separator else []:
        key, equals, value = (unquote(piece).strip() for piece in part.partition("="))
        if not key or not equals or not value:
            raise UsageError(f"{name}: an option is written NAME=VALUE, as in {name}?exposure=0.5&gain=8")
        if key in options:
            raise UsageError(f"{name}: the option '{key}' is given twice")
        options[key] = value
    return name, options


def parse_options(name: str, options: Mapping[str, str], parsers: Mapping[str, OptionParser]) -> dict[str, Any]:
    """Parse options by their names.

    Args:
        name: the camera, for messages.
        options: texts by name.
        parsers: what parses each of the known options.

    Raises:
        UsageError: an option is unknown, or its value has another form.
    """
    for key in options:
        if key not in parsers:
            raise unknown_option(name, key, parsers)
    return {key: parse_option(name, key, value, parsers[key]) for key, value in options.items()}


def parse_option(name: str, key: str, value: str, parser: OptionParser) -> Any:
    """Parse one option.

    Raises:
        UsageError: its value has another form.
    """
    try:
        return parser(value)
    except ValueError as error:
        raise UsageError(f"{name}: {key}={value} is not valid: {error}") from None


def unknown_option(name: str, key: str, known: Mapping[str, object]) -> UsageError:
    """Return the error for an option that is unknown."""
    similar = difflib.get_close_matches(key, known, 1)
    meant = f"; did you mean '{similar[0]}'?" if similar else ""
    return UsageError(f"{name} has no option '{key}'{meant} (it has {', '.join(known)})")


def exposure_time(text: str) -> float | None:
    """Parse an exposure in seconds, ``10``, ``500us``, ``20ms``, ``2min``.

    None for ``auto``.
    """
    if text == AUTO:
        return None
    match = re.fullmatch(r"(\d+\.?\d*(?:e-?\d+)?|\.\d+)(|s|ms|us|µs|min)", text)
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if not 0 < seconds < math.inf:
        raise ValueError("give seconds, or a time such as 500us, 20ms or 2min, or auto")
    return seconds


def positive_number(text: str) -> float:
    """Parse a number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise ValueError("give a number above 0")
    return number


def automatic_or_number(text: str) -> float | None:
    """Parse a number of at least 0; None for ``auto``."""
    if text == AUTO:
        return None
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < math.inf:
        raise ValueError("give a number of at least 0, or auto")
    return number


def whole_number(text: str) -> int:
    """Parse a whole number; ``on`` and ``off`` are 1 and 0."""
    switch = {"on": "1", "true": "1", "yes": "1", "off": "0", "false": "0", "no": "0"}.get(text, text)
    if not re.fullmatch(r"-?\d{1,10}", switch):
        raise ValueError("give a whole number")
    return int(switch)


def switch(text: str) -> bool:
    """Parse ``1`` or ``0``, ``on`` or ``off``."""
    if text in ("1", "on", "true", "yes"):
        return True
    if text in ("0", "off", "false", "no"):
        return False
    raise ValueError("give 1 or 0")


def image_size(text: str) -> tuple[int, int]:
    """Parse ``WIDTHxHEIGHT`` in pixels."""
    match = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", text)
    if not match or not int(match[1]) or not int(match[2]):
        raise ValueError("give WIDTHxHEIGHT in pixels, such as 1280x720")
    return int(match[1]), int(match[2])
