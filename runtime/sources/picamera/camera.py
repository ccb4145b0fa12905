"""Read a Raspberry Pi's camera: raw images for the front end, or colour.

The header of each image has its metadata.
"""

from __future__ import annotations

import datetime
import sys
from typing import Any

import numpy as np

from ....errors import ImageError, UsageError
from ....models.images.development import Development
from ..camera import Camera
from ..camera_options import split_address
from ..capture import CaptureError, FrameInfo
from ..ffmpeg_limits import check_frame_size
from ..raw_layout import libcamera_layout
from .options import picamera2_settings
from .process import SYSTEM_PYTHON, CameraProcess

START_SECONDS = 60.0
"""Seconds for importing Picamera2 and starting the camera on a busy computer."""
FRAME_SECONDS = 10.0
"""Seconds without an image after which a camera hangs, and its process is ended; more for long exposures."""
FIRST_EXPOSURES, EXPOSURES = 8, 3
"""Exposures that the first and a later image may take: libcamera drops the first ones of a sensor."""
LONGEST_AUTOMATIC = 1.0
"""Seconds of an automatic exposure at most."""
INSTALL = (
    "Picamera2 is not installed: sudo apt install python3-picamera2; an environment finds it if it is made with "
    "python3 -m venv --system-site-packages"
)


def picamera2_camera(camera: str, development: Development | None = None, wait: bool = False) -> Camera:
    """Open ``picamera2`` or ``picamera2:N``, with options.

    An example is ``picamera2?exposure=10&gain=8&raw=1``.

    Raises:
        UsageError: Picamera2 is not installed, an option is wrong, or it delivers no image and `wait` is off.
    """
    name, options = split_address(camera)
    settings = picamera2_settings(name, options)
    return Camera(name, lambda: PicameraCapture(name, settings), development, wait)


class PicameraCapture:
    """A camera in a process of its own, with the interface of an OpenCV capture.

    Args:
        name: for messages.
        settings: see `picamera2_settings`.

    Attributes:
        info: Bayer pattern, start of the exposure and header of the image that was read last.

    Raises:
        CaptureError: the camera is not there, is held by another program, or fails.
        UsageError: Picamera2 is not installed, or an option is wrong for this camera.
    """

    def __init__(self, name: str, settings: dict[str, Any]) -> None:
        self.info = FrameInfo()
        self._name = name
        self._exposure = settings["exposure"] or LONGEST_AUTOMATIC
        self._exposures = FIRST_EXPOSURES
        self._process, self._stream = _start(name, settings)
        try:
            self._check_stream()
        except BaseException:
            self._process.close()
            raise
        self._process.request_image()

    def read(self, image: np.ndarray | None = None) -> tuple[bool, np.ndarray | None]:
        """Read an image, colour into `image` where it fits, or raw.

        A colour image is (H, W, 3) uint8 BGR, a raw one (H, W) uint16.

        Raises:
            CaptureError: the camera hangs or fails.
        """
        message = self._process.receive(FRAME_SECONDS + self._exposures * self._exposure)
        if message["kind"] != "image":
            raise _error(self._name, message)
        self._exposures = EXPOSURES
        self._process.request_image()  # it is copied to the other slot meanwhile
        content = self._process.content(message["slot"], self._stream["length"])
        self.info = FrameInfo(
            self._layout.cfa if self._layout else None,
            _utc(message["time"]),
            header(self._stream["model"], message["metadata"]),
        )
        return True, self._pixels(content, image)

    def release(self) -> None:
        """Stop the camera; where it hangs, its process is killed."""
        self._process.close()

    def _check_stream(self) -> None:
        """Check that images of this format and size can be read."""
        (width, height), name = self._stream["size"], self._stream["format"]
        self._layout = libcamera_layout(name) if self._stream["stream"] == "raw" else None
        if self._layout is None and name not in ("RGB888", "BGR888"):
            raise CaptureError(f"its images are {name}, which is not read")
        if self._layout is not None and self._stream["stride"] < self._layout.row_bytes(width):
            raise CaptureError(f"rows of {self._stream['stride']} bytes are too short for {width} pixels of {name}")
        try:
            check_frame_size(width, height, self._name)
        except ImageError as error:
            raise UsageError(f"{error}; give a smaller mode or size") from None

    def _pixels(self, content: np.ndarray, image: np.ndarray | None) -> np.ndarray:
        width, height = self._stream["size"]
        if self._layout is not None:
            return self._layout.pixels(content.reshape(height, -1), width)
        # libcamera names colours from the highest byte of a word: RGB888 is blue, green, red in the memory.
        colours = content.reshape(height, width, 3)[..., :: 1 if self._stream["format"] == "RGB888" else -1]
        if image is None or image.shape != colours.shape:
            return np.array(colours)
        np.copyto(image, colours)
        return image


def _start(name: str, settings: dict[str, Any]) -> tuple[CameraProcess, dict[str, Any]]:
    """Start the camera in a Python that has Picamera2; return what it delivers.

    This is the present Python, or the system's if the present one has no Picamera2.
    """
    reasons = []
    for python in dict.fromkeys((sys.executable, SYSTEM_PYTHON)):
        try:
            process = CameraProcess(python, settings)
        except OSError as error:
            reasons.append(f"{python}: {error.strerror}")
            continue
        try:
            message = process.receive(START_SECONDS)
            if message["kind"] == "ready":
                return process, message
        except BaseException:
            process.close()
            raise
        process.close()
        if message["kind"] != "library":
            raise _error(name, message)
        reasons.append(message["text"])
    unusual = [reason for reason in reasons if "No module named" not in reason and "No such file" not in reason]
    raise UsageError(f"{name}: {INSTALL}{f' ({unusual[0][:200]})' if unusual else ''}")


def _error(name: str, message: dict[str, Any]) -> Exception:
    """Return the error that a message of the process reports."""
    text = str(message.get("text", "it sent no image"))
    if message["kind"] == "option":
        return UsageError(f"{name}: {text}")
    return CaptureError("another program holds it" if "busy" in text.lower() else text)


def _utc(seconds: float | None) -> datetime.datetime | None:
    return None if seconds is None else datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def header(model: str, metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the FITS keywords of an image's metadata.

    They are the exposure in seconds, the gains, and the sensor's temperature in degrees Celsius.
    """
    found: dict[str, Any] = {"INSTRUME": model} if model else {}
    if "ExposureTime" in metadata:
        found["EXPTIME"] = metadata["ExposureTime"] / 1e6
    names = {"AnalogueGain": "GAIN", "DigitalGain": "DIGIGAIN", "SensorTemperature": "CCD-TEMP"}
    return found | {keyword: metadata[name] for name, keyword in names.items() if name in metadata}
