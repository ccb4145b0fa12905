"""The image that viewers of the live page see, reduced in size and rate.

It is made only while there are viewers.
"""

from __future__ import annotations

import threading
import time

import cv2
import numpy as np

from ..frame import Detections
from ..imaging.downscale import downscale_with_boxes
from ..recording.annotate import annotate

MAX_SIDE = 960
"""Length of the longer side in pixels."""
MAX_RATE = 10.0
"""Images per second while there are viewers."""
WATCHED_SECONDS = 5.0
"""Time after a request during which a viewer is assumed to be watching."""
IDLE_SECONDS = 2.0
"""Seconds between images without viewers."""
JPEG_QUALITY = 80


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
        self._jpeg: tuple[int, bytes] = (0, b"")
        self.image_number = 0
        self.closed = False

    def is_due(self) -> bool:
        """Return whether the previous copy is old enough for the next."""
        now = time.monotonic()
        is_watched = now - self._watched_at < WATCHED_SECONDS
        return now - self._updated_at >= (1 / MAX_RATE if is_watched else IDLE_SECONDS)

    def update(self, pixels: np.ndarray, detections: Detections) -> None:
        """Keep a reduced copy of an image, unless the previous copy is recent enough.

        The image is (H, W, 3) uint8 RGB.
        """
        if not self.is_due():
            return
        self._updated_at = time.monotonic()
        reduced = downscale_with_boxes(pixels, detections, MAX_SIDE)
        with self._lock:
            self._latest = reduced
            self.image_number += 1

    def mark_watched(self) -> None:
        """Note that there is a viewer."""
        self._watched_at = time.monotonic()

    def jpeg(self) -> bytes | None:
        """Return the latest image with its detections drawn, as JPEG.

        None if there is none yet.
        """
        self.mark_watched()
        with self._encode_lock:
            with self._lock:
                latest, number = self._latest, self.image_number
            if latest is None:
                return None
            if self._jpeg[0] != number:
                image = cv2.cvtColor(annotate(*latest, self._classes, self._abstain_below), cv2.COLOR_RGB2BGR)
                encoded, content = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))
                assert encoded
                self._jpeg = number, content.tobytes()
            return self._jpeg[1]
