"""V4L2 cameras: colour, raw formats and controls.

Colour is read through OpenCV, raw formats from the kernel's memory; the options of the address set the controls.
"""

from __future__ import annotations

import errno
import math
import os
import re
from pathlib import Path

import cv2

from ....devices.v4l2.device import VideoDevice
from ....devices.v4l2.structures import fourcc, fourcc_text
from ....errors import UsageError
from ....models.images.development import Development
from ..camera import Camera
from ..camera_options import split_address
from ..capture import Capture, CaptureError, configure_capture
from .raw_formats import RAW_FORMATS, best_raw_format
from .raw_stream import MIN_TIMEOUT, RawStream, stream_error
from .settings import CameraSettings, apply_controls, camera_settings, check_format, check_rate, check_size

_DECODED = "BGR3 RGB3 YV12 YU12 411P YUYV UYVY NV12 NV21 XR24 AR24 MJPG JPEG"
COLOUR_FORMATS = tuple(map(fourcc, _DECODED.split()))
"""Formats that OpenCV decodes to colour; of mosaics of 8 bits it would interpolate the colours."""
GREY = fourcc("GREY")


def v4l2_camera(camera: str, development: Development | None = None, wait: bool = False) -> Camera:
    """Open ``/dev/videoN`` or index N, with options.

    An example is ``/dev/video0?exposure=0.5&gain=8``.

    Raises:
        UsageError: it does not exist or delivers no image, and `wait` is off; or an option is wrong.
    """
    given, options = split_address(camera)
    name = f"/dev/video{int(re.sub('.*video', '', given))}"
    settings = camera_settings(name, options)
    return Camera(name, lambda: _open(settings), development, wait)


def _open(settings: CameraSettings) -> Capture:
    name = settings.name
    if not Path(name).exists():
        found = sorted(str(path) for path in Path("/dev").glob("video*"))
        attached = f"there are {', '.join(found)}" if found else "no camera is attached"
        raise CaptureError(f"it does not exist; {attached}")
    try:
        device = VideoDevice(name)
    except OSError as error:
        if error.errno == errno.ENOTTY:
            raise CaptureError("it is not a Video4Linux2 camera") from None
        raise CaptureError(stream_error(error)) from None
    try:
        if not device.captures:
            raise CaptureError("it delivers no images: it decodes or encodes them (galaxy-edge devices lists cameras)")
        capture = _open_device(device, settings)
    except OSError as error:
        device.close()
        raise CaptureError(stream_error(error)) from None
    except BaseException:
        device.close()
        raise
    if not isinstance(capture, RawStream):  # OpenCV has opened it by itself
        device.close()
    return capture


def _open_device(device: VideoDevice, settings: CameraSettings) -> Capture:
    check_format(device, settings)
    codes = [code for code, _ in device.format_codes()]
    code = settings.values.get("format")
    if code is None and not any(colour in codes for colour in COLOUR_FORMATS) and device.streams_in_one_plane:
        code = best_raw_format(codes)
    if code in RAW_FORMATS:
        return _open_raw(device, settings, code)
    if code is not None and code not in (*COLOUR_FORMATS, GREY):
        known = ", ".join(fourcc_text(code) for code in codes if code in (*COLOUR_FORMATS, GREY, *RAW_FORMATS))
        raise UsageError(f"{settings.name}: format {fourcc_text(code)} cannot be decoded; give one of {known}")
    return _open_colour(device, settings, code)


def _open_raw(device: VideoDevice, settings: CameraSettings, code: int) -> RawStream:
    if not device.streams_in_one_plane:
        raise UsageError(f"{settings.name}: format {fourcc_text(code)} cannot be read from this kind of device")
    pixels = device.set_format(code, settings.values.get("size"))
    size = pixels.width, pixels.height
    if pixels.pixelformat != code:
        raise CaptureError(f"it does not take its own format {fourcc_text(code)}")
    check_size(device, settings, code, size)
    if "rate" in settings.values:
        check_rate(device, settings, _set_rate(device, settings), size)
    apply_controls(device, settings)
    header = {"INSTRUME": device.name} | settings.header()
    return RawStream(device, settings.name, settings.exposure, header)


def _set_rate(device: VideoDevice, settings: CameraSettings) -> float:
    try:
        return device.set_rate(settings.values["rate"])
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOTTY):
            raise UsageError(f"{settings.name}: its rate cannot be set") from None
        raise


def _open_colour(device: VideoDevice, settings: CameraSettings, code: int | None) -> Capture:
    if settings.exposure > MIN_TIMEOUT / 3:  # OpenCV reads this once, and counts a camera as lost after 10 s
        seconds = math.ceil(3 * settings.exposure + MIN_TIMEOUT / 2)
        os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(seconds))
    width, height = settings.values.get("size", (0, 0))
    wanted = {
        cv2.CAP_PROP_FOURCC: code, cv2.CAP_PROP_FRAME_WIDTH: width, cv2.CAP_PROP_FRAME_HEIGHT: height,
        cv2.CAP_PROP_FPS: round(settings.values.get("rate", 0)),
    }  # fmt: skip
    index = int(settings.name.removeprefix("/dev/video"))
    capture = configure_capture(cv2.VideoCapture(index, cv2.CAP_V4L2))
    if capture is None:
        raise CaptureError("another program may hold it, or you may not be in the group video")
    try:
        for property_id, value in wanted.items():
            if value:
                capture.set(property_id, value)
        size = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        check_size(device, settings, int(capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF, size)
        check_rate(device, settings, capture.get(cv2.CAP_PROP_FPS), size)
        apply_controls(device, settings)
    except BaseException:
        capture.release()
        raise
    return capture
