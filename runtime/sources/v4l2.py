"""V4L2 cameras, through OpenCV; grey and Bayer mosaics of 10 to 16 bits keep their depth."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ...models.images.development import Development
from .camera import Camera
from .capture import Capture, CaptureError, configure_capture

RAW_FORMATS: dict[bytes, tuple[str, str | None]] = {
    b"Y16 ": ("<u2", None), b"Y16\xa0": (">u2", None), b"Y12 ": ("<u2", None), b"Y10 ": ("<u2", None),
    b"RG10": ("<u2", "RGGB"), b"BA10": ("<u2", "GRBG"), b"GB10": ("<u2", "GBRG"), b"BG10": ("<u2", "BGGR"),
    b"RG12": ("<u2", "RGGB"), b"BA12": ("<u2", "GRBG"), b"GB12": ("<u2", "GBRG"), b"BG12": ("<u2", "BGGR"),
    b"RG14": ("<u2", "RGGB"), b"GR14": ("<u2", "GRBG"), b"GB14": ("<u2", "GBRG"), b"BG14": ("<u2", "BGGR"),
    b"RG16": ("<u2", "RGGB"), b"GR16": ("<u2", "GRBG"), b"GB16": ("<u2", "GBRG"), b"BYR2": ("<u2", "BGGR"),
}  # fmt: skip
"""The kernel's codes of grey and of Bayer mosaics in 16-bit words: byte order and Bayer pattern (linux/videodev2.h,
pixfmt-yuv-luma, pixfmt-bayer)."""


def v4l2_camera(index: int, development: Development | None = None, wait: bool = False) -> Camera:
    """Open /dev/videoN.

    Raises:
        UsageError: it does not exist or delivers no image, and `wait` is off.
    """
    return Camera(f"/dev/video{index}", lambda: _open(index), development, wait)


def _open(index: int) -> Capture:
    name = f"/dev/video{index}"
    if not Path(name).exists():
        found = sorted(str(path) for path in Path("/dev").glob("video*"))
        attached = f"there are {', '.join(found)}" if found else "no camera is attached"
        raise CaptureError(f"it does not exist; {attached}")
    capture = configure_capture(cv2.VideoCapture(index, cv2.CAP_V4L2))
    if capture is None:
        raise CaptureError("another program may hold it, or you may not be in the group video")
    # Of the words of a raw format, OpenCV would keep 8 bits, in three channels.
    layout = RAW_FORMATS.get((int(capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF).to_bytes(4, "little"))
    return capture if layout is None else RawCapture(capture, *layout)


class RawCapture:
    """A V4L2 camera of grey or mosaic words, (H, W) uint16, with the interface of an OpenCV capture.

    Args:
        capture: opened, and set to one of `RAW_FORMATS`.
        order: type of a word in the camera's memory, ``<u2`` or ``>u2``.
        cfa: Bayer pattern; None for grey.

    Attributes:
        cfa: as given.
    """

    def __init__(self, capture: cv2.VideoCapture, order: str, cfa: str | None = None) -> None:
        self.cfa = cfa
        self._capture = capture
        self._order = order
        capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        self._shape = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)), int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))

    def read(self, _: np.ndarray | None = None) -> tuple[bool, np.ndarray | None]:
        """Read an image; False where there is none, or not all of one."""
        available, content = self._capture.read()
        height, width = self._shape
        # OpenCV 4 gives bytes in one row, OpenCV 5 words in the byte order of the camera: both are the camera's
        # memory, which may hold more than the image.
        if not available or content.nbytes < 2 * height * width:
            return False, None
        words = np.frombuffer(content, self._order, height * width).reshape(self._shape)
        return True, words.astype(np.uint16, copy=False)

    def release(self) -> None:
        """Close the camera."""
        self._capture.release()
