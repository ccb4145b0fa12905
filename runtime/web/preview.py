"""The image that viewers of the live page see, reduced in size and rate.

It is made only while there are viewers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from ..frame import Detections
from ..imaging.downscale import downscale_with_boxes
from ..recording.annotate import annotate
from .tracked_objects import ObjectBox

MAX_SIDE = 960
"""Length of the longer side in pixels."""
MAX_RATE = 10.0
"""Images per second while there are viewers."""
WATCHED_SECONDS = 5.0
"""Time after a request during which a viewer is assumed to be watching."""
IDLE_SECONDS = 2.0
"""Seconds between images without viewers."""
JPEG_QUALITY = 80


class LiveView(NamedTuple):
    """What the page shows at a moment.

    Attributes:
        image: number of the image; 0 before the first.
        width, height: of the image in pixels.
        age: seconds since it was made.
        objects: tracked objects, to be drawn.
    """

    image: int
    width: int
    height: int
    age: float
    objects: tuple[ObjectBox, ...]


class Preview:
    """Keep a reduced copy of the latest frame for viewers; thread-safe.

    The frame loop only reduces a few frames per second while there are viewers, and one every `IDLE_SECONDS`
    otherwise, so that a viewer who connects while the run is paused, or between long exposures, sees an image
    immediately. Drawing and encoding run in the threads of the viewers, once per image for all of them.

    Args:
        classes: class names, in the order of the detections' probabilities.
        abstain_below: probability below which no class is named; None to always name one.

    Attributes:
        image_number: counts the images; it changes with each new one.
        closed: set at the end of the run; streams then end.
    """

    def __init__(self, classes: tuple[str, ...], abstain_below: float | None) -> None:
        self._classes = classes
        self._abstain_below = abstain_below
        self._lock = threading.Lock()
        self._encode_lock = threading.Lock()
        self._watched_at = 0.0
        self._updated_at = 0.0
        self._latest: tuple[np.ndarray, Detections] | None = None
        self._jpegs: dict[bool, tuple[int, bytes]] = {True: (0, b""), False: (0, b"")}
        self._objects: Sequence[ObjectBox] | None = None
        self._kept: tuple[np.ndarray, Detections] | None = None
        self.image_number = 0
        self.closed = False

    def is_due(self) -> bool:
        """Return whether the previous copy is old enough for the next."""
        now = time.monotonic()
        is_watched = now - self._watched_at < WATCHED_SECONDS
        return now - self._updated_at >= (1 / MAX_RATE if is_watched else IDLE_SECONDS)

    def update(self, pixels: np.ndarray, detections: Detections) -> None:
        """Keep a reduced copy of an image and show it, as `keep` and `publish` do."""
        self.keep(pixels, detections)
        self.publish(None)

    def keep(self, pixels: np.ndarray, detections: Detections) -> None:
        """Keep a reduced copy of an image, unless the previous copy is recent enough.

        The image is (H, W, 3) uint8 RGB. It is shown once `publish` gives its objects.
        """
        if self.is_due():
            self._kept = downscale_with_boxes(pixels, detections, MAX_SIDE)

    def publish(self, objects: Sequence[ObjectBox] | None) -> None:
        """Show the image that was kept, if any, with its tracked objects.

        None: it is not a frame, and its detections are drawn into it.
        """
        if self._kept is None:
            return
        self._updated_at = time.monotonic()
        with self._lock:
            self._latest, self._kept, self._objects = self._kept, None, objects
            self.image_number += 1

    def view(self) -> LiveView:
        """Return number, size, age and objects of the latest image."""
        self.mark_watched()
        with self._lock:
            height, width = self._latest[0].shape[:2] if self._latest else (0, 0)
            age = time.monotonic() - self._updated_at if self._latest else 0.0
            return LiveView(self.image_number, width, height, round(age, 3), tuple(self._objects or ()))

    def mark_watched(self) -> None:
        """Note that there is a viewer."""
        self._watched_at = time.monotonic()

    def jpeg(self, drawn: bool = True) -> bytes | None:
        """Return the latest image as JPEG, encoded once for all viewers.

        None if there is none yet.

        Args:
            drawn: whether its detections are drawn into it; without, for a page that draws the tracked objects.
        """
        self.mark_watched()
        with self._encode_lock:
            with self._lock:
                latest, number = self._latest, self.image_number
                drawn = drawn or self._objects is None
            if latest is None:
                return None
            if self._jpegs[drawn][0] != number:
                image = annotate(*latest, self._classes, self._abstain_below) if drawn else latest[0]
                quality = (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY)
                encoded, content = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), quality)
                assert encoded
                self._jpegs[drawn] = number, content.tobytes()
            return self._jpegs[drawn][1]
