"""Survey boxes that swallow a star or a neighbour of their galaxy.

They are neither trained nor evaluated on.

The boxes of Galaxy Zoo frames were measured, and some reach over a second object next to the galaxy. The rule was set
on the training share, where the boxes of the detector of that time overlap the flagged ones by 0.77 in the median,
others by 0.91. ``python -m galaxy_edge.training.scenes.swallowed DATA`` applies it to every frame and writes
``swallowed.txt``, of which every line is the start of the SHA-256 of a frame's name.
"""

from __future__ import annotations

import hashlib
import sys
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from ..data.sample import Sample

FILE = Path(__file__).with_name("swallowed.txt")
SET = "gz_frames"
MIN_LIGHT = 0.3
"""Minimum light of the second source, in units of the galaxy's, that the box should not include."""
OUTER = (0.4, 1.15)
"""Where its centre lies: distance from the box's centre along either side, in half sides."""
MAX_WIDTH = 0.18
"""The galaxy's semi-major axis, in units of the box's side, below which the box is too large for it: usually 0.25."""
SIGMA, MIN_AREA, DEBLEND = 2.5, 6, 0.003


def swallows(image: np.ndarray, box: np.ndarray) -> bool:
    """Return whether a box (4,) holds a second source in addition to its galaxy.

    The source is in the outer part of the box, and the box is too large for the galaxy alone.

    Args:
        image: (H, W, 3) uint8 RGB.
    """
    import sep

    light = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    background = sep.Background(light)
    light -= background.back()
    noise = max(float(background.globalrms), 1.0)
    found = sep.extract(light, SIGMA, err=noise, minarea=MIN_AREA, deblend_cont=DEBLEND)
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    positions = np.stack([found["x"], found["y"]], axis=1) + 0.5
    distance = np.abs((positions - centre) / half).max(axis=1)
    inner = np.flatnonzero(distance < 0.5)
    if not len(inner):
        return False
    galaxy = int(inner[found["flux"][inner].argmax()])
    second = (distance > OUTER[0]) & (distance < OUTER[1]) & (np.arange(len(found)) != galaxy)
    light_of_second = found["flux"][second].max(initial=0.0) / max(float(found["flux"][galaxy]), 1e-6)
    width = float(found["a"][galaxy]) / (2 * float(np.sqrt(half.prod())))
    return bool(light_of_second > MIN_LIGHT and width < MAX_WIDTH)


def has_swallowed(sample: Sample) -> bool:
    """Return whether a sample is listed as one whose box swallows another object."""
    return sample.set == SET and _name(sample) in _listed()


def _name(sample: Sample) -> str:
    return hashlib.sha256(sample.file.encode()).hexdigest()[:12]


@cache
def _listed() -> frozenset[str]:
    return frozenset(FILE.read_text(encoding="utf-8").split())


if __name__ == "__main__":
    from ..formats.read_set import read_set

    survey = [sample for sample in read_set(Path(sys.argv[1])) if sample.set == SET and len(sample.boxes)]
    names = sorted(_name(sample) for sample in survey if swallows(sample.load(), sample.boxes[0]))
    FILE.write_text("\n".join(names) + "\n", encoding="utf-8")
