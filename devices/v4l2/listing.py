"""List the cameras of this computer with what `--camera` options can choose from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from .device import Control, PixelFormat, Size, VideoDevice


@dataclass(frozen=True)
class CameraDescription:
    """A camera.

    Attributes:
        path: e.g. ``/dev/video0``.
        name, driver: as the kernel names them.
        formats, controls: what it offers.
    """

    path: str
    name: str
    driver: str
    formats: tuple[PixelFormat, ...]
    controls: tuple[Control, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return a dictionary that can be written as JSON."""
        return dataclasses.asdict(self)

    def lines(self) -> Iterator[str]:
        """Yield a description in lines of text.

        They list the formats with sizes and rates, and the controls with ranges.
        """
        yield f"{self.path}: {self.name} ({self.driver})"
        by_sizes: dict[str, list[str]] = {}  # most cameras have the same sizes in every format
        for offered in self.formats:
            by_sizes.setdefault(", ".join(map(_size_text, offered.sizes)), []).append(offered.name)
        for sizes, names in by_sizes.items():
            yield f"  format={', '.join(names)}: {sizes or 'sizes unknown'}"
        for control in self.controls:
            yield f"  {control.name}={_range_text(control)}"


def describe_cameras(paths: Iterable[str]) -> list[CameraDescription]:
    """Describe the cameras among video devices.

    Decoders, and devices that cannot be opened, are left out.
    """
    found = []
    for path in paths:
        try:
            with VideoDevice(path) as device:
                if device.captures:
                    description = CameraDescription(
                        path, device.name, device.driver, device.formats(), device.controls()
                    )
                    found.append(description)
        except OSError:  # unplugged meanwhile, or reserved for other users
            continue
    return found


def _size_text(size: Size) -> str:
    text = f"{size.width}x{size.height}"
    if size.smallest:
        text = f"{size.smallest[0]}x{size.smallest[1]} to {text}"
    rates = "/".join(f"{rate:g}" for rate in size.rates)
    return f"{text} at {rates}" if rates else text


def _range_text(control: Control) -> str:
    if control.menu:
        text = ", ".join(f"{number} ({item})" for number, item in control.menu)
    else:
        step = f" in steps of {control.step}" if control.step > 1 else ""
        text = f"{control.minimum}..{control.maximum}{step}"
    now = "" if control.value is None else f", now {control.value}"
    return f"{text}, default {control.default}{now}{', read only' if control.read_only else ''}"
