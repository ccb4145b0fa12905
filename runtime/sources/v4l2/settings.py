"""Set the controls of a V4L2 camera from the options of its address."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ....devices.v4l2.device import Control, VideoDevice
from ....devices.v4l2.structures import fourcc, fourcc_text
from ....errors import UsageError
from ..camera_options import (
    automatic_or_number,
    exposure_time,
    image_size,
    parse_option,
    parse_options,
    positive_number,
    unknown_option,
    whole_number,
)  # fmt: skip

AUTO_EXPOSURE, EXPOSURE_TIME, EXPOSURE = 0x009A0901, 0x009A0902, 0x00980911
AUTO_GAIN, GAIN, ANALOGUE_GAIN = 0x00980912, 0x00980913, 0x009E0903
"""The kernel's numbers of controls (linux/v4l2-controls.h)."""
MANUAL, AUTOMATIC = 1, (0, 3)
"""Items of `AUTO_EXPOSURE`: V4L2_EXPOSURE_MANUAL; _AUTO, and _APERTURE_PRIORITY of USB cameras."""
EXPOSURE_UNIT = 1e-4
"""Seconds in a unit of `EXPOSURE_TIME`."""
PARSERS: dict[str, Callable[[str], Any]] = {
    "exposure": exposure_time, "gain": automatic_or_number, "size": image_size, "rate": positive_number,
    "format": fourcc,
}  # fmt: skip


@dataclass(frozen=True)
class CameraSettings:
    """The options of a camera's address.

    Attributes:
        name: the camera, for messages.
        values: by name, parsed; those of `PARSERS`.
        controls: texts of other options: controls by their own names.
    """

    name: str
    values: Mapping[str, Any]
    controls: Mapping[str, str]

    @property
    def exposure(self) -> float:
        """Return the exposure in seconds; 0 where it is automatic or not given."""
        return float(self.values.get("exposure") or 0.0)

    def header(self) -> dict[str, Any]:
        """Return what is set as FITS keywords."""
        gain = self.values.get("gain")
        return ({"EXPTIME": self.exposure} if self.exposure else {}) | ({} if gain is None else {"GAIN": gain})


def camera_settings(name: str, options: Mapping[str, str]) -> CameraSettings:
    """Parse the options of a V4L2 camera.

    Those that are not known are controls, which only the camera knows.

    Raises:
        UsageError: a value has another form.
    """
    known = {key: value for key, value in options.items() if key in PARSERS}
    controls = {key: value for key, value in options.items() if key not in PARSERS}
    return CameraSettings(name, parse_options(name, known, PARSERS), controls)


def check_format(device: VideoDevice, settings: CameraSettings) -> None:
    """Check that the camera has the format.

    Raises:
        UsageError: it has not.
    """
    wanted = settings.values.get("format")
    offered = [code for code, _ in device.format_codes()]
    if wanted is not None and wanted not in offered:
        names = ", ".join(map(fourcc_text, offered)) or "none"
        raise UsageError(f"{settings.name} has no format {fourcc_text(wanted)}; it has {names}")


def check_size(device: VideoDevice, settings: CameraSettings, code: int, size: tuple[int, int]) -> None:
    """Check the size that a camera took, in pixels.

    Raises:
        UsageError: it is not the one in the settings.
    """
    wanted = settings.values.get("size")
    if wanted in (None, size):
        return
    name = fourcc_text(code)
    sizes = [size for offered in device.formats() if offered.name == name for size in offered.sizes]
    texts = [
        f"{size.smallest[0]}x{size.smallest[1]} to {size.width}x{size.height}"
        if size.smallest
        else f"{size.width}x{size.height}"
        for size in sizes
    ]
    raise UsageError(
        f"{settings.name} has no size {wanted[0]}x{wanted[1]} in format {name}; it has "
        f"{', '.join(texts) or f'{size[0]}x{size[1]}'}"
    )


def check_rate(device: VideoDevice, settings: CameraSettings, rate: float, size: tuple[int, int]) -> None:
    """Check the frames per second that a camera took.

    Raises:
        UsageError: they differ from those in the settings by more than 5 %.
    """
    wanted = settings.values.get("rate")
    if wanted is None or abs(rate - wanted) <= 0.05 * wanted:
        return
    rates = {
        value
        for offered in device.formats()
        for item in offered.sizes
        if (item.width, item.height) == size
        for value in item.rates
    }
    texts = ", ".join(f"{value:g}" for value in sorted(rates, reverse=True)) or f"{rate:g}"
    raise UsageError(
        f"{settings.name} has no rate of {wanted:g} frames per second at {size[0]}x{size[1]}; it has {texts}"
    )


def apply_controls(device: VideoDevice, settings: CameraSettings) -> None:
    """Set exposure, gain and other controls.

    Raises:
        UsageError: the camera lacks one, or a value is outside its range.
        OSError: it refuses one.
    """
    controls = {control.id: control for control in device.controls()}
    by_name = {control.name: control for control in controls.values() if not control.read_only}
    # Before anything is set, all of it is checked: a camera is not left half changed.
    changes = [*_exposure(settings, controls), *_gain(settings, controls)]
    for key, text in settings.controls.items():
        if key not in by_name:
            raise unknown_option(settings.name, key, {**PARSERS, **by_name})
        value = parse_option(settings.name, key, text, whole_number)
        changes.append((by_name[key], _checked(settings.name, key, by_name[key], value)))
    for control, value in changes:
        device.set_control(control, value)


Change = tuple[Control, int]


def _exposure(settings: CameraSettings, controls: Mapping[int, Control]) -> Iterator[Change]:
    if "exposure" not in settings.values:
        return
    seconds = settings.values["exposure"]
    mode = controls.get(AUTO_EXPOSURE)
    items = [number for number, _ in mode.menu] if mode else []
    if seconds is None:
        automatic = next((item for item in AUTOMATIC if item in items), None)
        if mode is None or automatic is None:
            raise UsageError(f"{settings.name} has no automatic exposure")
        yield mode, automatic
        return
    time = controls.get(EXPOSURE_TIME)
    if time is None and EXPOSURE not in controls:
        raise UsageError(f"{settings.name}: its exposure cannot be set")
    if mode is not None and MANUAL in items:
        yield mode, MANUAL
    if time is None:  # sensors without this control count the rows that are exposed
        control = controls[EXPOSURE]
        yield control, _checked(settings.name, "exposure", control, round(seconds), "in units of the camera")
        return
    value = round(seconds / EXPOSURE_UNIT)
    if not time.minimum <= value <= time.maximum:
        least, most = time.minimum * EXPOSURE_UNIT, time.maximum * EXPOSURE_UNIT
        raise UsageError(f"{settings.name}: exposure={seconds:g} is out of range: {least:g} to {most:g} s")
    yield time, value


def _gain(settings: CameraSettings, controls: Mapping[int, Control]) -> Iterator[Change]:
    if "gain" not in settings.values:
        return
    gain, automatic = settings.values["gain"], controls.get(AUTO_GAIN)
    if gain is None:
        if automatic is None:
            raise UsageError(f"{settings.name} has no automatic gain")
        yield automatic, 1
        return
    control = controls.get(GAIN) or controls.get(ANALOGUE_GAIN)
    if control is None:
        raise UsageError(f"{settings.name}: its gain cannot be set")
    if automatic is not None:
        yield automatic, 0
    yield control, _checked(settings.name, "gain", control, round(gain), "in units of the camera")


def _checked(name: str, key: str, control: Control, value: int, unit: str = "") -> int:
    """Return a value of a control.

    Raises:
        UsageError: it is outside the control's range.
    """
    if control.menu:
        if value not in (number for number, _ in control.menu):
            items = ", ".join(f"{number} ({text})" for number, text in control.menu)
            raise UsageError(f"{name}: {key}={value} is not one of {items}")
    elif not control.minimum <= value <= control.maximum:
        limits = f"{control.minimum} to {control.maximum}"
        raise UsageError(f"{name}: {key}={value} is out of range: {limits}{f' {unit}' if unit else ''}")
    return value
