"""SEP as a baseline on raw frames.

It extracts sources from summed superpixels, its settings fitted on other frames.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...export.tuned_sep import ellipse_boxes
from ...models.raw.front_end import linear_planes, measure
from ...training.scenes.raw_frames import RawFrame
from .raw_search import SearchedFrame, match

THRESHOLDS = (1.2, 1.5, 2.0, 3.0)
"""Standard deviations of the filtered noise above which a pixel belongs to a source."""
SIZES = (2.0, 2.4, 3.0, 3.6)
"""Semi-axes of a box's ellipse in units of the source's moments."""
RANKS = ("a", "b", "npix", "area")
"""Measures by which sources are ranked: semi-axes, number of pixels, or light over peak, which is small for stars."""
MIN_AREA = 20


@dataclass(frozen=True)
class SepSettings:
    """A setting of SEP, see `THRESHOLDS`, `SIZES` and `RANKS`."""

    threshold: float
    size: float
    rank: str


def summed_superpixels(frame: RawFrame) -> np.ndarray:
    """Return the sum of a frame's channels, (H, W) float32.

    Each channel is in units of its noise above its sky.
    """
    planes, _ = linear_planes(frame.mosaic, frame.pattern)
    height, width = planes[0].shape
    total = np.zeros((height, width), np.float32)
    for plane, sky in zip(planes, measure(planes).backgrounds, strict=True):
        total += (plane.astype(np.float32) - sky.surface(height, width)) / np.float32(sky.noise)
    return total


def extract(light: np.ndarray, threshold: float) -> np.ndarray:
    """Return SEP's sources in (H, W) float32 as a structured array.

    It has the field ``area``: light over peak.
    """
    import sep
    from numpy.lib.recfunctions import append_fields

    background = sep.Background(light)
    rest = np.ascontiguousarray(light - background.back())
    sources = sep.extract(rest, threshold, err=background.globalrms, minarea=MIN_AREA)
    area = sources["flux"] / np.maximum(sources["peak"], 1e-6)
    return np.asarray(append_fields(sources, "area", area, usemask=False))


def sep_boxes(sources: np.ndarray, settings: SepSettings, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes (N, 4) around sources, and scores (N,), best first.

    They lie in an image of `shape`.
    """
    centres = [sources["x"] + 0.5, sources["y"] + 0.5]
    ellipses = np.stack([*centres, sources["a"], sources["b"], sources["theta"]], axis=1)
    boxes = ellipse_boxes(ellipses, settings.size, (shape[1], shape[0]))
    scores = np.asarray(sources[settings.rank], np.float64)
    order = np.argsort(-scores, kind="stable")
    return boxes[order].astype(np.float32), scores[order]


def at_equal_false_alarms(frames: Sequence[SearchedFrame], allowed: int) -> list[np.ndarray]:
    """Return which galaxies of each frame SEP finds.

    The score is the lowest with at most `allowed` false detections.

    The threshold is chosen on the frames themselves, which favours the baseline.
    """
    false_scores = np.sort(np.concatenate([frame.scores[match(frame)[1]] for frame in frames] or [np.zeros(0)]))[::-1]
    cut = false_scores[allowed] if len(false_scores) > allowed else -np.inf
    found = []
    for frame in frames:
        kept = frame.scores > cut
        found.append(match(frame._replace(boxes=frame.boxes[kept], scores=frame.scores[kept]))[0])
    return found


class SepImages:
    """SEP's sources in frames, by threshold.

    Settings can so be tried without extracting again.

    Args:
        truths: frames with their galaxies, without detections.
        images: (H, W) float32 of each, see `summed_superpixels`.
        thresholds: at which sources are extracted.
    """

    def __init__(
        self, truths: Sequence[SearchedFrame], images: Sequence[np.ndarray], thresholds: Sequence[float] = THRESHOLDS
    ) -> None:
        self._truths = truths
        self._shapes = [(image.shape[0], image.shape[1]) for image in images]
        self._sources = {threshold: [extract(image, threshold) for image in images] for threshold in thresholds}

    def searched(self, settings: SepSettings) -> list[SearchedFrame]:
        """Return the frames with SEP's detections."""
        result = []
        for truth, sources, shape in zip(self._truths, self._sources[settings.threshold], self._shapes, strict=True):
            boxes, scores = sep_boxes(sources, settings, shape)
            result.append(truth._replace(boxes=boxes, scores=scores))
        return result

    def best_settings(self, allowed: int) -> SepSettings:
        """Return the settings that find most galaxies.

        They may have at most `allowed` false detections in total.
        """
        every = [SepSettings(*values) for values in itertools.product(THRESHOLDS, SIZES, RANKS)]

        def found(settings: SepSettings) -> int:
            return sum(int(hits.sum()) for hits in at_equal_false_alarms(self.searched(settings), allowed))

        return max(every, key=found)
