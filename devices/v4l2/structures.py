"""Structures and call numbers of Video4Linux2, as far as a camera needs them.

They are those of the kernel's linux/videodev2.h.
"""

from __future__ import annotations

import ctypes
from ctypes import Structure, Union, c_char, c_int32, c_int64, c_long, c_uint8, c_uint32, c_ulong, c_void_p

CAPTURE, CAPTURE_MULTIPLANAR = 1, 9
"""Types of buffers: V4L2_BUF_TYPE_VIDEO_CAPTURE, ..._MPLANE."""
MEMORY_MMAP = 1
CAN_CAPTURE, CAN_CAPTURE_MULTIPLANAR, CAN_STREAM, HAS_DEVICE_CAPS = 1, 0x1000, 0x04000000, 0x80000000
"""Flags of `Capability`."""
BIG_ENDIAN = 1 << 31
"""Bit of a pixel format's code."""
DISCRETE = 1
"""Type of an enumerated size or interval: V4L2_FRMSIZE_TYPE_DISCRETE, V4L2_FRMIVAL_TYPE_DISCRETE."""
BUFFER_ERROR = 0x40
"""Flag of `Buffer`: its content is damaged."""
NEXT_CONTROL = 0x80000000
DISABLED, READ_ONLY, INACTIVE, WRITE_ONLY = 0x1, 0x4, 0x10, 0x40
"""Flags of `QueryControl`."""


class Capability(Structure):
    """struct v4l2_capability."""

    _fields_ = (
        ("driver", c_char * 16), ("card", c_char * 32), ("bus_info", c_char * 32), ("version", c_uint32),
        ("capabilities", c_uint32), ("device_caps", c_uint32), ("reserved", c_uint32 * 3),
    )  # fmt: skip


class FormatDescription(Structure):
    """struct v4l2_fmtdesc."""

    _fields_ = (
        ("index", c_uint32), ("type", c_uint32), ("flags", c_uint32), ("description", c_char * 32),
        ("pixelformat", c_uint32), ("mbus_code", c_uint32), ("reserved", c_uint32 * 3),
    )  # fmt: skip


class Fraction(Structure):
    """struct v4l2_fract."""

    _fields_ = (("numerator", c_uint32), ("denominator", c_uint32))


class FrameSize(Structure):
    """struct v4l2_frmsizeenum.

    `numbers` are width and height, or minimum, maximum and step of each.
    """

    _fields_ = (
        ("index", c_uint32), ("pixel_format", c_uint32), ("type", c_uint32), ("numbers", c_uint32 * 6),
        ("reserved", c_uint32 * 2),
    )  # fmt: skip


class FrameInterval(Structure):
    """struct v4l2_frmivalenum.

    `intervals` holds one value, or minimum, maximum and step, in seconds.
    """

    _fields_ = (
        ("index", c_uint32), ("pixel_format", c_uint32), ("width", c_uint32), ("height", c_uint32), ("type", c_uint32),
        ("intervals", Fraction * 3), ("reserved", c_uint32 * 2),
    )  # fmt: skip


class PixelFormat(Structure):
    """struct v4l2_pix_format."""

    _fields_ = tuple(
        (name, c_uint32)
        for name in (
            "width", "height", "pixelformat", "field", "bytesperline", "sizeimage", "colorspace", "priv", "flags",
            "ycbcr_enc", "quantization", "xfer_func",
        )
    )  # fmt: skip


class _FormatUnion(Union):
    _fields_ = (("pix", PixelFormat), ("alignment", c_void_p), ("raw", c_uint8 * 200))


class Format(Structure):
    """struct v4l2_format."""

    _fields_ = (("type", c_uint32), ("fmt", _FormatUnion))


class StreamParameters(Structure):
    """struct v4l2_streamparm, of a capture."""

    _fields_ = (
        ("type", c_uint32), ("capability", c_uint32), ("capturemode", c_uint32), ("timeperframe", Fraction),
        ("extendedmode", c_uint32), ("readbuffers", c_uint32), ("reserved", c_uint8 * 176),
    )  # fmt: skip


class QueryControl(Structure):
    """struct v4l2_queryctrl."""

    _fields_ = (
        ("id", c_uint32), ("type", c_uint32), ("name", c_char * 32), ("minimum", c_int32), ("maximum", c_int32),
        ("step", c_int32), ("default_value", c_int32), ("flags", c_uint32), ("reserved", c_uint32 * 2),
    )  # fmt: skip


class _MenuUnion(Union):
    _pack_ = 1
    _fields_ = (("name", c_char * 32), ("value", c_int64))


class QueryMenu(Structure):
    """struct v4l2_querymenu."""

    _pack_ = 1
    _fields_ = (("id", c_uint32), ("index", c_uint32), ("item", _MenuUnion), ("reserved", c_uint32))


class Control(Structure):
    """struct v4l2_control."""

    _fields_ = (("id", c_uint32), ("value", c_int32))


class RequestBuffers(Structure):
    """struct v4l2_requestbuffers."""

    _fields_ = (
        ("count", c_uint32), ("type", c_uint32), ("memory", c_uint32), ("capabilities", c_uint32), ("flags", c_uint8),
        ("reserved", c_uint8 * 3),
    )  # fmt: skip


class Buffer(Structure):
    """struct v4l2_buffer; `offset` is that of the memory to map."""

    _fields_ = (
        ("index", c_uint32), ("type", c_uint32), ("bytesused", c_uint32), ("flags", c_uint32), ("field", c_uint32),
        ("seconds", c_long), ("microseconds", c_long), ("timecode", c_uint8 * 16), ("sequence", c_uint32),
        ("memory", c_uint32), ("offset", c_ulong), ("length", c_uint32), ("reserved", c_uint32), ("request", c_int32),
    )  # fmt: skip


_WRITE, _READ = 1, 2


def _call(direction: int, number: int, kind: type[Structure] | type[ctypes.c_int32]) -> int:
    return direction << 30 | ctypes.sizeof(kind) << 16 | ord("V") << 8 | number


QUERY_CAPABILITY = _call(_READ, 0, Capability)
ENUM_FORMAT = _call(_READ | _WRITE, 2, FormatDescription)
GET_FORMAT = _call(_READ | _WRITE, 4, Format)
SET_FORMAT = _call(_READ | _WRITE, 5, Format)
REQUEST_BUFFERS = _call(_READ | _WRITE, 8, RequestBuffers)
QUERY_BUFFER = _call(_READ | _WRITE, 9, Buffer)
QUEUE_BUFFER = _call(_READ | _WRITE, 15, Buffer)
DEQUEUE_BUFFER = _call(_READ | _WRITE, 17, Buffer)
STREAM_ON = _call(_WRITE, 18, c_int32)
STREAM_OFF = _call(_WRITE, 19, c_int32)
GET_PARAMETERS = _call(_READ | _WRITE, 21, StreamParameters)
SET_PARAMETERS = _call(_READ | _WRITE, 22, StreamParameters)
GET_CONTROL = _call(_READ | _WRITE, 27, Control)
SET_CONTROL = _call(_READ | _WRITE, 28, Control)
QUERY_CONTROL = _call(_READ | _WRITE, 36, QueryControl)
QUERY_MENU = _call(_READ | _WRITE, 37, QueryMenu)
ENUM_SIZES = _call(_READ | _WRITE, 74, FrameSize)
ENUM_INTERVALS = _call(_READ | _WRITE, 75, FrameInterval)


def fourcc(text: str) -> int:
    """Return the code of a pixel format, e.g. ``YUYV``, ``Y16`` or ``Y16-BE``.

    Raises:
        ValueError: it has not one to four ASCII characters.
    """
    name = text.removesuffix("-BE")
    if not (0 < len(name) <= 4 and name.isascii() and name.isprintable()):
        raise ValueError(f"'{text}' is not the code of a pixel format")
    return int.from_bytes(name.ljust(4).encode(), "little") | (BIG_ENDIAN if name != text else 0)


def fourcc_text(code: int) -> str:
    """Return the name of a pixel format's code, without spaces at its end."""
    name = (code & ~BIG_ENDIAN).to_bytes(4, "little").decode("ascii", "replace").rstrip()
    return f"{name}-BE" if code & BIG_ENDIAN else name
