"""SEP as a baseline on raw frames.

It extracts sources from summed superpixels. Its settings, or a learned filter of its sources, are fitted on other
frames.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...export.tuned_sep import ellipse_boxes, find_galaxies
from ...models.boxes import share_inside
from ...models.raw.front_end import linear_planes, measure
from ...training.data.errors import DataError
from ...training.scenes.raw_frames import RawFrame
from .raw_search import MIN_IOU, SearchedFrame, match

THRESHOLDS = (1.2, 1.5, 2.0, 3.0)
"""Standard deviations of the filtered noise above which a pixel belongs to a source."""
SIZES = (2.0, 2.4, 3.0, 3.6)
"""Semi-axes of a box's ellipse in units of the source's moments."""
RANKS = ("a", "b", "npix", "area")
"""Measures by which sources are ranked: semi-axes, number of pixels, or light over peak, which is small for stars."""
MIN_AREA = 20
MIN_SOURCES = 10
"""Minimum number of galaxies, and of other sources, that a filter is fitted on."""
TREES: dict[str, Any] = {
    "max_iter": 120,
    "max_depth": 4,
    "learning_rate": 0.08,
    "min_samples_leaf": 10,
    "random_state": 7,
}


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

    It has additional fields: ``area``, light over peak, and ``r20``, ``r50``, ``r90``, the radii of these shares of the
    light.
    """
    import sep
    from numpy.lib.recfunctions import append_fields

    background = sep.Background(light)
    rest = np.ascontiguousarray(light - background.back())
    sources = sep.extract(rest, threshold, err=background.globalrms, minarea=MIN_AREA)
    area = sources["flux"] / np.maximum(sources["peak"], 1e-6)
    reach, total = 6.0 * sources["a"], np.maximum(sources["flux"], 1e-6)
    radii, _ = sep.flux_radius(rest, sources["x"], sources["y"], reach, [0.2, 0.5, 0.9], normflux=total)
    columns = [area, *np.nan_to_num(radii.reshape(-1, 3)).T]
    return np.asarray(append_fields(sources, ["area", "r20", "r50", "r90"], columns, usemask=False))


class SourceFilter:
    """Boosted trees that find galaxies among SEP's sources.

    They predict whether a source is a galaxy, and the size of its box.

    Args:
        threshold: at which sources were extracted.
        sources: of each frame, see `extract`.
        truths: the frames with their galaxies.
        shapes: height and width of each.

    Raises:
        DataError: there are too few sources to fit on.
    """

    def __init__(
        self,
        threshold: float,
        sources: Sequence[np.ndarray],
        truths: Sequence[SearchedFrame],
        shapes: Sequence[tuple[int, int]],
    ) -> None:
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        self.threshold = threshold
        tables, labels, sizes = [], [], []
        for found, truth, (height, width) in zip(sources, truths, shapes, strict=True):
            ellipses = _ellipses(found)
            galaxies, size = find_galaxies(ellipses, truth.truth, (width, height), MIN_IOU)
            is_galaxy = np.zeros(len(found), bool)
            is_galaxy[galaxies] = True
            known = is_galaxy | (share_inside(ellipse_boxes(ellipses, 1.0, (width, height)), truth.ignore) == 0)
            tables.append(_features(found)[known])
            labels.append(is_galaxy[known])
            sizes.append(size[known])
        table, label, size = (np.concatenate(parts) for parts in (tables, labels, sizes))
        if min(label.sum(), (~label).sum()) < MIN_SOURCES:
            raise DataError(
                "SEP finds too few sources in the exposures that its filter is fitted on: give more exposures"
            )
        self._galaxy = HistGradientBoostingClassifier(**TREES).fit(table, label)
        self._size = HistGradientBoostingRegressor(**TREES).fit(table[label], size[label])

    def boxes(self, sources: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Return boxes (N, 4) around sources, and probabilities (N,), best first."""
        if not len(sources):
            return np.zeros((0, 4), np.float32), np.zeros(0)
        table = _features(sources)
        scores = self._galaxy.predict_proba(table)[:, 1]
        boxes = ellipse_boxes(_ellipses(sources), np.exp(self._size.predict(table)), (shape[1], shape[0]))
        order = np.argsort(-scores, kind="stable")
        return boxes[order].astype(np.float32), scores[order]


def _ellipses(sources: np.ndarray) -> np.ndarray:
    """Return the ellipses (N, 5) of sources, see `tuned_sep.extract_sources`."""
    return np.stack([sources["x"] + 0.5, sources["y"] + 0.5, sources["a"], sources["b"], sources["theta"]], axis=1)


def _features(sources: np.ndarray) -> np.ndarray:
    """Return what the filter knows of sources, (N, 14)."""
    a, r90 = np.maximum(sources["a"], 1e-3), np.maximum(sources["r90"], 1e-3)
    logs = [np.log(np.maximum(sources[name], 1e-6)) for name in ("npix", "a", "flux", "peak", "cpeak", "area")]
    shapes = [
        sources["b"] / a,
        sources["tnpix"] / sources["npix"],
        sources["cpeak"] / np.maximum(sources["peak"], 1e-6),
    ]
    radii = [sources["r20"], sources["r50"], r90, sources["r50"] / r90]
    return np.stack([*logs, *shapes, *radii, np.full(len(sources), len(sources))], axis=1).astype(np.float64)


def sep_boxes(sources: np.ndarray, settings: SepSettings, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes (N, 4) around sources, and scores (N,), best first.

    They lie in an image of `shape`.
    """
    boxes = ellipse_boxes(_ellipses(sources), settings.size, (shape[1], shape[0]))
    scores = np.asarray(sources[settings.rank], np.float64)
    order = np.argsort(-scores, kind="stable")
    return boxes[order].astype(np.float32), scores[order]


def at_equal_false_alarms(frames: Sequence[SearchedFrame], allowed: int) -> tuple[list[np.ndarray], int]:
    """Return which galaxies of each frame SEP finds, and its false detections.

    The score is the lowest with at most `allowed` false detections: fewer where several have the same score, or where
    there are less in all.

    The threshold is chosen on the frames themselves, which favours the baseline.
    """
    false_scores = np.sort(np.concatenate([frame.scores[match(frame)[1]] for frame in frames] or [np.zeros(0)]))[::-1]
    cut = false_scores[allowed] if len(false_scores) > allowed else -np.inf
    found = []
    for frame in frames:
        kept = frame.scores > cut
        found.append(match(frame._replace(boxes=frame.boxes[kept], scores=frame.scores[kept]))[0])
    return found, int((false_scores > cut).sum())


class SepImages:
    """SEP's sources in frames, by threshold.

    Settings can so be tried without extracting again.

    Args:
        frames: with their galaxies, without detections; and (H, W) float32 of each, see `summed_superpixels`.
        thresholds: at which sources are extracted.
    """

    def __init__(
        self, frames: Iterable[tuple[SearchedFrame, np.ndarray]], thresholds: Iterable[float] = THRESHOLDS
    ) -> None:
        self._truths, self._shapes = list[SearchedFrame](), list[tuple[int, int]]()
        self._sources: dict[float, list[np.ndarray]] = {threshold: [] for threshold in sorted(thresholds)}
        for truth, image in frames:
            self._truths.append(truth)
            self._shapes.append((image.shape[0], image.shape[1]))
            for threshold, sources in self._sources.items():
                sources.append(extract(image, threshold))

    def searched(self, settings: SepSettings) -> list[SearchedFrame]:
        """Return the frames with SEP's detections."""
        result = []
        for truth, sources, shape in zip(self._truths, self._sources[settings.threshold], self._shapes, strict=True):
            boxes, scores = sep_boxes(sources, settings, shape)
            result.append(truth._replace(boxes=boxes, scores=scores))
        return result

    def fit_filter(self, threshold: float, frames: Sequence[int]) -> SourceFilter:
        """Fit a filter on some of the frames."""
        sources, truths, shapes = self._sources[threshold], self._truths, self._shapes
        return SourceFilter(
            threshold,
            [sources[index] for index in frames],
            [truths[index] for index in frames],
            [shapes[index] for index in frames],
        )

    def filtered(self, learned: SourceFilter) -> list[SearchedFrame]:
        """Return the frames with the detections that a filter leaves."""
        sources = self._sources[learned.threshold]
        boxes = [learned.boxes(found, shape) for found, shape in zip(sources, self._shapes, strict=True)]
        return [
            truth._replace(boxes=own, scores=scores) for truth, (own, scores) in zip(self._truths, boxes, strict=True)
        ]

    def best_filter(self, allowed: float, exposures: int) -> SourceFilter:
        """Return the filter at the threshold that finds most galaxies.

        Each half of the exposures is searched with a filter that was fitted on the other half, at `allowed` false
        detections per frame; the filter returned is fitted on all.

        Args:
            exposures: their number; frame k is of exposure k modulo this number.

        Raises:
            DataError: there are too few sources to fit on.
        """
        every = range(len(self._truths))
        halves = [[index for index in every if index % exposures % 2 == half] for half in (0, 1)]

        def found(threshold: float) -> int:
            total = 0
            for fitted_on, measured in (halves, halves[::-1]):
                try:
                    frames = self.filtered(self.fit_filter(threshold, fitted_on))
                except DataError:  # another threshold may leave enough sources
                    return -1
                searched = [frames[index] for index in measured]
                total += sum(
                    int(hits.sum()) for hits in at_equal_false_alarms(searched, int(allowed * len(searched)))[0]
                )
            return total

        return self.fit_filter(max(self._sources, key=found), every)

    def best_settings(self, allowed: float) -> SepSettings:
        """Return the settings that find most galaxies.

        They may have at most `allowed` false detections per frame.
        """
        total = int(allowed * len(self._truths))
        every = [SepSettings(*values) for values in itertools.product(THRESHOLDS, SIZES, RANKS)]

        def found(settings: SepSettings) -> int:
            return sum(int(hits.sum()) for hits in at_equal_false_alarms(self.searched(settings), total)[0])

        return max(every, key=found)
