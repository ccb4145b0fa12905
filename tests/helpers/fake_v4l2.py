"""A V4L2 camera without a kernel.

Answers the calls of a device, and delivers images in mapped memory.
"""

import ctypes
import errno
import fcntl
import mmap
import os
from dataclasses import dataclass, field
from pathlib import Path

from galaxy_edge.devices.v4l2 import structures as v4l2

MENU, INTEGER, BOOLEAN = 3, 1, 2
EXPOSURE_MENU = {1: "Manual Mode", 3: "Aperture Priority Mode"}
USB_CONTROLS = {
    0x00980900: ("Brightness", INTEGER, -64, 64, 1, 0, {}),
    0x00980913: ("Gain", INTEGER, 0, 100, 1, 0, {}),
    0x009A0901: ("Auto Exposure", MENU, 0, 3, 1, 3, EXPOSURE_MENU),
    0x009A0902: ("Exposure Time, Absolute", INTEGER, 1, 5000, 1, 157, {}),
}
"""Controls of a common USB camera: number -> name, type, minimum, maximum, step, default, menu."""


@dataclass
class FakeDevice:
    """A camera; `install` puts it at /dev/video0.

    Attributes:
        formats: sizes by code; images: bytes of each image in turn, after which the camera is unplugged.
        padding: bytes after each row; values: of controls that were set.
    """

    formats: dict[str, list[tuple[int, int]]]
    images: list[bytes] = field(default_factory=list)
    controls: dict = field(default_factory=lambda: dict(USB_CONTROLS))
    rates: tuple[int, ...] = (30, 15)
    padding: int = 0
    row_bytes: int = 0
    capabilities: int = v4l2.CAN_CAPTURE | v4l2.CAN_STREAM
    values: dict[int, int] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    is_unplugged: bool = False
    interval: tuple[int, int] = (1, 30)

    def install(self, monkeypatch, tmp_path: Path) -> None:
        """Answer for /dev/video0 until the test ends."""
        self.file = tmp_path / "video0"
        self.file.write_bytes(bytes(64 * mmap.PAGESIZE))
        self.number = -1
        real_open, real_ioctl, real_exists = os.open, fcntl.ioctl, Path.exists
        code = next(iter(self.formats), None)
        self.format = (v4l2.fourcc(code), *self.formats[code][0]) if code else (0, 0, 0)

        def open_file(path, flags, *rest):
            if path != "/dev/video0":
                return real_open(path, flags, *rest)
            self.number = real_open(self.file, os.O_RDWR)
            return self.number

        def ioctl(number, call, argument=0, mutate=True):
            return self.answer(call, argument) if number == self.number else real_ioctl(number, call, argument, mutate)

        monkeypatch.setattr(os, "open", open_file)
        monkeypatch.setattr(fcntl, "ioctl", ioctl)
        monkeypatch.setattr(Path, "exists", lambda path: str(path) == "/dev/video0" or real_exists(path))

    def answer(self, call: int, argument) -> int:
        """Fill in a structure as the kernel does."""
        name = next(name for name, number in vars(v4l2).items() if number == call and name.isupper())
        self.calls.append(name)
        if self.is_unplugged:
            raise OSError(errno.ENODEV, "No such device")
        getattr(self, name.lower())(argument)
        return 0

    def query_capability(self, item):
        item.driver, item.card = b"uvcvideo", b"Sky Cam\xc3\xa9ra\x1b"
        item.capabilities, item.device_caps = v4l2.HAS_DEVICE_CAPS, self.capabilities

    def enum_format(self, item):
        name = _at(list(self.formats), item.index)
        item.pixelformat, item.description = v4l2.fourcc(name), f"format {name}".encode()

    def enum_sizes(self, item):
        sizes = self.formats[v4l2.fourcc_text(item.pixel_format)]
        item.type = v4l2.DISCRETE
        item.numbers[0], item.numbers[1] = _at(sizes, item.index)

    def enum_intervals(self, item):
        item.type = v4l2.DISCRETE
        item.intervals[0] = v4l2.Fraction(1, _at(self.rates, item.index))

    def get_format(self, item):
        code, width, height = self.format
        row = (self.row_bytes or 2 * width) + self.padding
        item.fmt.pix = v4l2.PixelFormat(width, height, code, 1, row, row * height)

    def set_format(self, item):
        pixels = item.fmt.pix
        sizes = self.formats[v4l2.fourcc_text(pixels.pixelformat)]
        size = (pixels.width, pixels.height)
        self.format = (pixels.pixelformat, *(size if size in sizes else sizes[0]))
        self.get_format(item)

    def get_parameters(self, item):
        item.timeperframe = v4l2.Fraction(*self.interval)

    def set_parameters(self, item):
        wanted = item.timeperframe.denominator / item.timeperframe.numerator
        self.interval = (1, min(self.rates, key=lambda rate: abs(rate - wanted)))
        self.get_parameters(item)

    def query_control(self, item):
        after = item.id & ~v4l2.NEXT_CONTROL
        number = _at([number for number in sorted(self.controls) if number > after], 0)
        name, kind, least, most, step, default, _ = self.controls[number]
        item.id, item.type, item.name = number, kind, name.encode()
        item.minimum, item.maximum, item.step, item.default_value = least, most, step, default

    def query_menu(self, item):
        menu = self.controls[item.id][6]
        if item.index not in menu:
            raise OSError(errno.EINVAL, "Invalid argument")
        item.item.name = menu[item.index].encode()

    def get_control(self, item):
        item.value = self.values.get(item.id, self.controls[item.id][5])

    def set_control(self, item):
        self.values[item.id] = item.value

    def request_buffers(self, item):
        item.count = min(item.count, 2)

    def query_buffer(self, item):
        item.length, item.offset = 32 * mmap.PAGESIZE, item.index * 32 * mmap.PAGESIZE

    def queue_buffer(self, item):
        pass

    def dequeue_buffer(self, item):
        if not self.images:
            self.is_unplugged = True
            raise OSError(errno.ENODEV, "No such device")
        content = self.images.pop(0)
        with open(self.file, "r+b") as file:
            file.seek(mmap.PAGESIZE * 32)
            file.write(content)
        item.index, item.bytesused = 1, len(content)

    def stream_on(self, item):
        assert ctypes.sizeof(item) == 4

    stream_off = stream_on


def _at(items, index):
    if index >= len(items):
        raise OSError(errno.EINVAL, "Invalid argument")
    return items[index]
