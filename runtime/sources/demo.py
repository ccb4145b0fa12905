"""The demo source: slow pans and zooms over an image of the sky.

The image comes with the package.

The image is the Hubble eXtreme Deep Field (NASA/ESA, public domain). The path is fixed: every demo is the same.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from ...models.images.decoder import decode_image
from ...models.preprocess import resize
from ..frame import Frame

SIZE = (640, 480)
SKY = "hubble_xdf.jpg"
# Stops of the tour: centre x, centre y and width of the window in pixels of the sky image.
STOPS = (
    (500, 436, 620),
    (150, 430, 230),
    (310, 120, 260),
    (450, 100, 240),
    (470, 420, 240),
    (740, 470, 250),
    (440, 700, 240),
    (780, 700, 260),
)
FRAMES_PER_LEG = 16
LOOP_RATE = 5.0
"""Frames per second of a demo that repeats."""


class DemoSource:
    """Frames along a tour of the shipped sky.

    Args:
        repeats: whether the tour returns to its start and repeats without end, at `LOOP_RATE`, as a camera does;
            otherwise it has a fixed number of frames, which come as fast as they are processed.
    """

    name = "demo"
    continuous = True
    reopened = 0
    bad = 0

    def __init__(self, repeats: bool = False) -> None:
        content = (Path(__file__).with_name("sky") / SKY).read_bytes()
        self.sky = decode_image(content, SKY).pixels
        self.live = repeats
        self.length: int | None = None if repeats else FRAMES_PER_LEG * (len(STOPS) - 1)

    def __iter__(self) -> Iterator[Frame]:
        """Yield 640x480 frames along the tour."""
        if not self.live:
            yield from self._tour(STOPS, 0)
            return
        number, due = 0, time.monotonic()
        while True:
            for frame in self._tour((*STOPS, STOPS[0]), number):
                time.sleep(max(0.0, due - time.monotonic()))
                due = max(due, time.monotonic() - 1.0) + 1 / LOOP_RATE
                yield replace(frame, time=datetime.datetime.now(datetime.UTC))
                number = frame.number + 1

    def _tour(self, views: tuple[tuple[int, int, int], ...], number: int) -> Iterator[Frame]:
        """Yield the frames of one tour, numbered from `number`."""
        stops = np.asarray(views, np.float64)
        for start, end in pairwise(stops):
            for step in range(FRAMES_PER_LEG):
                fraction = step / FRAMES_PER_LEG
                ease = fraction * fraction * (3 - 2 * fraction)
                pixels = self.window(start + (end - start) * ease)
                yield Frame(pixels, datetime.datetime.now(datetime.UTC), "demo", number)
                number += 1

    def window(self, view: np.ndarray) -> np.ndarray:
        """Crop and scale a window, moved so that it lies inside the sky.

        The window `view` is (centre x, centre y, width).
        """
        rows, columns = self.sky.shape[:2]
        width = min(round(view[2]), columns)
        height = min(round(width * SIZE[1] / SIZE[0]), rows)
        left = int(np.clip(round(view[0] - width / 2), 0, columns - width))
        top = int(np.clip(round(view[1] - height / 2), 0, rows - height))
        return resize(self.sky[top : top + height, left : left + width], *SIZE)
