"""A Video4Linux2 device: what it offers, and how it is set."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from . import structures as v4l2

KINDS = {1: "integer", 2: "boolean", 3: "menu", 8: "bitmask", 9: "integer menu"}
"""Types of controls that have a value of 32 bits; buttons, classes, strings and others are left out."""
MAX_ITEMS = 500
"""Items after which an enumeration is given up: a defective driver's never ends."""
_Kind = TypeVar("_Kind", bound=ctypes.Structure)


@dataclass(frozen=True)
class Size:
    """A size of images, or a range of sizes.

    Attributes:
        width, height: in pixels; the largest of a range.
        smallest: width and height of the smallest of a range; None where there is one size.
        rates: frames per second, the highest first; of a range the highest and lowest only.
    """

    width: int
    height: int
    smallest: tuple[int, int] | None = None
    rates: tuple[float, ...] = ()


@dataclass(frozen=True)
class PixelFormat:
    """A pixel format that a camera offers.

    It has a code (fourcc) as text, the driver's description, and its sizes.
    """

    name: str
    description: str
    sizes: tuple[Size, ...]


@dataclass(frozen=True)
class Control:
    """A control.

    Attributes:
        id: the kernel's number.
        name: as ``v4l2-ctl`` writes it, e.g. ``exposure_time_absolute``.
        kind: see `KINDS`.
        minimum, maximum, step, default: of its value; step is 1 for menus.
        value: present value; None where it cannot be read.
        menu: number and text of each item of a menu.
        read_only: whether it cannot be set.
    """

    id: int
    name: str
    kind: str
    minimum: int
    maximum: int
    step: int
    default: int
    value: int | None
    menu: tuple[tuple[int, str], ...] = ()
    read_only: bool = False


class VideoDevice:
    """An opened device.

    It may be opened while another program streams from it.

    Raises:
        OSError: it cannot be opened, or is not a camera of Video4Linux2 (ENOTTY).
    """

    def __init__(self, path: str) -> None:
        self.file = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            capability = self.call(v4l2.QUERY_CAPABILITY, v4l2.Capability())
        except OSError:
            self.close()
            raise
        flags = capability.capabilities
        self._flags: int = capability.device_caps if flags & v4l2.HAS_DEVICE_CAPS else flags
        self.name = _text(capability.card)
        self.driver = _text(capability.driver)

    def __enter__(self) -> VideoDevice:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it; a second time is allowed."""
        if self.file >= 0:
            os.close(self.file)
            self.file = -1

    def call(self, number: int, structure: _Kind) -> _Kind:
        """Make a call of the kernel, which fills in the structure.

        Raises:
            OSError: the device refuses it.
        """
        while True:
            try:
                fcntl.ioctl(self.file, number, structure, True)
            except InterruptedError:
                continue
            return structure

    @property
    def captures(self) -> bool:
        """Whether it delivers images; other devices decode, encode or deliver metadata."""
        return bool(self._flags & (v4l2.CAN_CAPTURE | v4l2.CAN_CAPTURE_MULTIPLANAR))

    @property
    def streams_in_one_plane(self) -> bool:
        """Whether images can be read from one block of memory each."""
        return bool(self._flags & v4l2.CAN_CAPTURE) and bool(self._flags & v4l2.CAN_STREAM)

    def format_codes(self) -> list[tuple[int, str]]:
        """Return the code and description of each pixel format, in the driver's order."""
        kind = v4l2.CAPTURE if self._flags & v4l2.CAN_CAPTURE else v4l2.CAPTURE_MULTIPLANAR
        found = self._enumerate(v4l2.ENUM_FORMAT, v4l2.FormatDescription, type=kind)
        return [(item.pixelformat, _text(item.description)) for item in found]

    def formats(self) -> tuple[PixelFormat, ...]:
        """Return the pixel formats with their sizes and rates."""
        return tuple(
            PixelFormat(v4l2.fourcc_text(code), text, tuple(self._sizes(code))) for code, text in self.format_codes()
        )

    def get_format(self) -> v4l2.PixelFormat:
        """Return the present pixel format and size."""
        present: v4l2.PixelFormat = self.call(v4l2.GET_FORMAT, v4l2.Format(type=v4l2.CAPTURE)).fmt.pix
        return present

    def set_format(self, code: int, size: tuple[int, int] | None) -> v4l2.PixelFormat:
        """Set a pixel format and size; return what the driver made of them."""
        wanted = self.call(v4l2.GET_FORMAT, v4l2.Format(type=v4l2.CAPTURE))
        wanted.fmt.pix.pixelformat = code
        wanted.fmt.pix.field = wanted.fmt.pix.bytesperline = wanted.fmt.pix.sizeimage = 0
        if size:
            wanted.fmt.pix.width, wanted.fmt.pix.height = size
        taken: v4l2.PixelFormat = self.call(v4l2.SET_FORMAT, wanted).fmt.pix
        return taken

    def set_rate(self, rate: float) -> float:
        """Set the frames per second; return what the driver made of it."""
        parameters = self.call(v4l2.GET_PARAMETERS, v4l2.StreamParameters(type=v4l2.CAPTURE))
        parameters.timeperframe = v4l2.Fraction(1000, round(rate * 1000))
        interval = self.call(v4l2.SET_PARAMETERS, parameters).timeperframe
        return float(interval.denominator / max(interval.numerator, 1))

    def controls(self) -> tuple[Control, ...]:
        """Return its controls with their ranges, in the order of their numbers."""
        found = []
        query = v4l2.QueryControl(id=v4l2.NEXT_CONTROL)
        for _ in range(MAX_ITEMS):
            try:
                self.call(v4l2.QUERY_CONTROL, query)
            except OSError:  # there are no more of them, or the driver knows no enumeration
                break
            if query.type in KINDS and not query.flags & v4l2.DISABLED:
                found.append(self._control(query))
            query = v4l2.QueryControl(id=query.id | v4l2.NEXT_CONTROL)
        return tuple(found)

    def set_control(self, control: Control, value: int) -> None:
        """Set a control.

        Raises:
            OSError: the device refuses it.
        """
        self.call(v4l2.SET_CONTROL, v4l2.Control(control.id, value))

    def _control(self, query: v4l2.QueryControl) -> Control:
        value = None
        if not query.flags & v4l2.WRITE_ONLY:
            try:
                value = int(self.call(v4l2.GET_CONTROL, v4l2.Control(query.id)).value)
            except OSError:  # some drivers refuse it unless they stream
                value = None
        kind = KINDS[query.type]
        menu = tuple(self._menu(query, kind)) if kind.endswith("menu") else ()
        minimum, maximum, default = query.minimum, query.maximum, query.default_value
        if kind == "bitmask":  # the kernel gives 32 bits without a sign
            minimum, maximum, default = (number & 0xFFFFFFFF for number in (minimum, maximum, default))
            value = None if value is None else value & 0xFFFFFFFF
        name, is_read_only = control_name(_text(query.name)), bool(query.flags & v4l2.READ_ONLY)
        return Control(query.id, name, kind, minimum, maximum, max(query.step, 1), default, value, menu, is_read_only)

    def _menu(self, query: v4l2.QueryControl, kind: str) -> Iterator[tuple[int, str]]:
        for index in range(max(query.minimum, 0), min(query.maximum, MAX_ITEMS) + 1):
            try:
                item = self.call(v4l2.QUERY_MENU, v4l2.QueryMenu(query.id, index)).item
            except OSError:  # a menu may have gaps
                continue
            yield index, str(item.value) if kind == "integer menu" else _text(item.name)

    def _sizes(self, code: int) -> Iterator[Size]:
        for item in self._enumerate(v4l2.ENUM_SIZES, v4l2.FrameSize, pixel_format=code):
            if item.type == v4l2.DISCRETE:
                width, height = item.numbers[:2]
                yield Size(width, height, None, self._rates(code, width, height))
            else:
                least_width, width, _, least_height, height, _ = item.numbers
                yield Size(width, height, (least_width, least_height), self._rates(code, width, height))
                return

    def _rates(self, code: int, width: int, height: int) -> tuple[float, ...]:
        rates = set()
        sought = {"pixel_format": code, "width": width, "height": height}
        for item in self._enumerate(v4l2.ENUM_INTERVALS, v4l2.FrameInterval, **sought):
            intervals = item.intervals[:1] if item.type == v4l2.DISCRETE else item.intervals[:2]
            rates |= {round(i.denominator / i.numerator, 3) for i in intervals if i.numerator}
            if item.type != v4l2.DISCRETE:
                break
        return tuple(sorted(rates, reverse=True))

    def _enumerate(self, number: int, kind: type[_Kind], **fields: int) -> Iterator[_Kind]:
        """Yield the items of an enumeration until the device has no more."""
        for index in range(MAX_ITEMS):
            try:
                yield self.call(number, kind(index=index, **fields))
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOTTY, errno.ENODATA):
                    raise
                return


def control_name(text: str) -> str:
    """Return a control's name as ``v4l2-ctl`` writes it.

    ``Exposure Time, Absolute`` is ``exposure_time_absolute``.
    """
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def _text(value: bytes) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in value.decode("utf-8", "replace")).strip()
