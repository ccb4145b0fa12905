"""The picture that viewers see: small, a few times a second, and only while somebody looks."""

from __future__ import annotations

import threading
import time

import cv2
import numpy as np

from ..frame import Detections, Frame
from ..imaging.downscale import downscale_with_boxes
from ..recording.annotate import annotate

MAX_SIDE = 960
MAX_RATE = 10.0
WATCHED_SECONDS, IDLE_SECONDS = 5.0, 2.0
JPEG_QUALITY = 80


class Preview:
    """Keeps the last frame, small, for viewers.

    The loop pays for a small copy of a few frames a second while somebody looks, and for one now and then otherwise, so
    that who comes while the run is paused, or between long exposures, sees something at once. Drawing and encoding are
    the viewers' own, once for all of them.

    Args:
        abstain: probability below which no class is named; None for none.

    Attributes:
        number: counts the pictures; another number is another picture.
        closed: whether no more will come, so that viewers are let go.
    """

    def __init__(self, classes: tuple[str, ...], abstain: float | None) -> None:
        self._classes = classes
        self._abstain = abstain
        self._lock = threading.Lock()
        self._drawing = threading.Lock()
        self._asked = 0.0
        self._taken = 0.0
        self._latest: tuple[np.ndarray, Detections] | None = None
        self._jpeg: tuple[int, bytes] = (0, b"")
        self.number = 0
        self.closed = False

    def frame(self, frame: Frame, named: Detections) -> None:
        """Keep a small copy of a frame, if the last one is old enough: older where nobody looks."""
        now = time.monotonic()
        watched = now - self._asked < WATCHED_SECONDS
        if now - self._taken < (1 / MAX_RATE if watched else IDLE_SECONDS):
            return
        self._taken = now
        small = downscale_with_boxes(frame.pixels, named, MAX_SIDE)
        with self._lock:
            self._latest = small
            self.number += 1

    def ask(self) -> None:
        """Say that somebody looks."""
        self._asked = time.monotonic()

    def jpeg(self) -> bytes | None:
        """Draw and encode the latest picture; None if there is none yet."""
        self.ask()
        with self._drawing:
            with self._lock:
                latest, number = self._latest, self.number
            if latest is None:
                return None
            if self._jpeg[0] != number:
                picture = cv2.cvtColor(annotate(*latest, self._classes, self._abstain), cv2.COLOR_RGB2BGR)
                done, content = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))
                assert done
                self._jpeg = number, content.tobytes()
            return self._jpeg[1]
