"""The demo source: slow pans and zooms over an image of the sky.

The image comes with the package.

The image is the Hubble eXtreme Deep Field (NASA/ESA, public domain). The path is fixed: every demo is the same.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
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


class DemoSource:
    """A fixed number of frames along a tour of the shipped sky."""

    name = "demo"
    continuous = True
    live = False
    reopened = 0
    bad = 0

    def __init__(self) -> None:
        content = (Path(__file__).with_name("sky") / SKY).read_bytes()
        self.sky = decode_image(content, SKY).pixels
        self.length: int | None = FRAMES_PER_LEG * (len(STOPS) - 1)

    def __iter__(self) -> Iterator[Frame]:
        """Yield 640x480 frames along the tour."""
        stops = np.asarray(STOPS, np.float64)
        number = 0
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
