"""Video files and V4L2 cameras, through OpenCV."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from .errors import RunFailure, UsageError
from .frame import Frame
from .pictures import to_rgb8


class VideoFile:
    """Frames of a video file; their times count from when it is opened, at the video's own pace."""

    continuous = True
    live = False

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self.bad = 0
        self._path = path
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        if not capture.isOpened():
            raise UsageError(f"'{path}' is not a video that can be decoded; it may be damaged or truncated")
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        capture.release()
        self.length: int | None = count if count > 0 else None

    def __iter__(self) -> Iterator[Frame]:
        """Decode frame after frame."""
        capture = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)
        number = 0
        began = datetime.datetime.now(datetime.UTC)
        try:
            while True:
                there, image = capture.read()
                if not there:
                    break
                time = began + datetime.timedelta(milliseconds=capture.get(cv2.CAP_PROP_POS_MSEC))
                yield _frame(image, self._path.name, number, time)
                number += 1
        finally:
            capture.release()
        if number == 0:
            raise RunFailure(f"'{self._path}' holds no frame that can be decoded")


class Camera:
    """A V4L2 camera: /dev/videoN."""

    continuous = True
    live = True
    length: int | None = None

    def __init__(self, index: int) -> None:
        self.name = f"/dev/video{index}"
        self.bad = 0
        if not Path(self.name).exists():
            there = sorted(str(path) for path in Path("/dev").glob("video*"))
            attached = f"there are {', '.join(there)}" if there else "no camera is attached"
            raise UsageError(f"there is no camera {self.name}; {attached}")
        self._capture = cv2.VideoCapture(index, cv2.CAP_V4L2)
        if not self._capture.isOpened():
            why = "another program may hold it, or you may not be in the group video"
            raise UsageError(f"{self.name} cannot be opened as a camera: {why}")

    def __iter__(self) -> Iterator[Frame]:
        """Read until the camera stops delivering, which ends the run with an error."""
        number = 0
        try:
            while True:
                there, image = self._capture.read()
                if not there:
                    raise RunFailure(f"{self.name} stopped delivering after {number} frames")
                yield _frame(image, self.name, number, datetime.datetime.now(datetime.UTC))
                number += 1
        finally:
            self._capture.release()


def _frame(image: np.ndarray, source: str, number: int, time: datetime.datetime) -> Frame:
    """Make a frame of what OpenCV delivers: BGR, or one channel, of any depth."""
    pixels, stretch = to_rgb8(cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if image.ndim == 3 else image)
    return Frame(pixels, time, source, number, stretch)
