"""SEP with a learned filter and box size.

This is a baseline from classical measurements that a network should exceed.

Both are gradient-boosted trees on SEP's measurements of each source, fitted on the shipped detector's training share by
``python -m galaxy_edge.benchmarks.accuracy.fit_baselines`` and stored in ``baselines.json``. Numpy evaluates them, so
that the baseline is the same everywhere and needs no scikit-learn.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..models.boxes import iou_matrix
from ..models.preprocess import resize

FILE = Path(__file__).with_name("baselines.json")
SIDE = 224
"""Side of the image in which sources are measured, in pixels; larger and smaller scenes are scaled to it."""
SIGMA, MIN_AREA, DEBLEND = 1.5, 12, 0.02
"""SEP's threshold in standard deviations of the background, minimum area in pixels and contrast of deblending."""
SATURATED = 250
FEATURES = (
    "area", "semi_major", "axis_ratio", "flux", "peak", "peak_of_filtered", "spread", "noise", "signal_to_noise",
    "kron_radius", "radius_20", "radius_50", "radius_90", "concentration", "core", "saturated", "red", "blue",
    "share_of_light", "sources", "relative_width",
)  # fmt: skip
"""Measured features of a source, in the order of the columns."""


def extract_sources(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Extract and measure the sources of an image (SIDE, SIDE, 3) uint8.

    Returns:
        ellipses: (N, 5) float64 x, y of the centre in pixels (edges are whole numbers), semi-axes, angle in radians.
        features: (N, len(FEATURES)) float64.
    """
    import sep

    light = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    background = sep.Background(light)
    light -= background.back()
    noise = max(float(background.globalrms), 1.0)
    found = sep.extract(light, SIGMA, err=noise, minarea=MIN_AREA, deblend_cont=DEBLEND)
    found = found[(found["a"] > 0) & (found["b"] > 0) & np.isfinite(found["theta"])]
    if not len(found):
        return np.zeros((0, 5)), np.zeros((0, len(FEATURES)))
    features = _measure(image, light, found, noise)
    ellipses = np.stack([found["x"] + 0.5, found["y"] + 0.5, found["a"], found["b"], found["theta"]], axis=1)
    return ellipses, np.nan_to_num(features, posinf=1e6, neginf=-1e6)


def _measure(image: np.ndarray, light: np.ndarray, found: np.ndarray, noise: float) -> np.ndarray:
    """Return the features (N, F) of sources found in an image.

    `light` is the image with the sky subtracted.
    """
    import sep

    x, y, a, b = (found[name] for name in ("x", "y", "a", "b"))
    theta = np.clip(found["theta"], -np.pi / 2, np.pi / 2)
    kron, _ = sep.kron_radius(light, x, y, a, b, theta, 6.0)
    kron = np.nan_to_num(kron, nan=0.0)
    radii, _ = sep.flux_radius(light, x, y, 6.0 * a, [0.2, 0.5, 0.9], normflux=np.maximum(found["flux"], 1e-6))
    radii = np.nan_to_num(radii, nan=0.0)
    channels = [
        sep.sum_ellipse(np.ascontiguousarray(image[..., index], np.float32), x, y, a, b, theta, 2.0)[0]
        for index in range(3)
    ]
    total = np.maximum(sum(channels), 1e-6)
    flux = np.maximum(found["flux"], 1e-6)
    core = sep.sum_circle(light, x, y, 1.5)[0] / flux
    peak = np.maximum(found["peak"], 1e-6)
    brightest = image.max(axis=2)[np.clip(found["ypeak"], 0, SIDE - 1), np.clip(found["xpeak"], 0, SIDE - 1)]
    features: np.ndarray = np.stack(
        [
            np.log(found["npix"]), np.log(a), b / a, np.log(flux), np.log(peak),
            np.log(np.maximum(found["cpeak"], 1e-6)), flux / (peak * found["npix"]), np.full(len(found), noise),
            peak / noise, kron, *radii.T, radii[:, 1] / np.maximum(radii[:, 2], 1e-6), core, brightest >= SATURATED,
            channels[0] / total, channels[2] / total, flux / flux.sum(), np.full(len(found), len(found)),
            a / np.median(a),
        ],
        axis=1,
    )  # fmt: skip
    return features


def ellipse_boxes(ellipses: np.ndarray, size: np.ndarray | float, side: tuple[int, int]) -> np.ndarray:
    """Return the boxes (N, 4) around ellipses (N, 5), see `extract_sources`.

    Args:
        size: (N,) or one number: semi-axes of the boxed ellipse in units of those given.
        side: width and height of the image, to which the boxes are clipped.
    """
    x, y, a, b, theta = ellipses.T
    half_w = size * np.hypot(a * np.cos(theta), b * np.sin(theta))
    half_h = size * np.hypot(a * np.sin(theta), b * np.cos(theta))
    boxes: np.ndarray = np.stack([x - half_w, y - half_h, x + half_w, y + half_h], axis=1)
    return np.asarray(np.clip(boxes, 0, [*side, *side]))


def find_galaxies(
    ellipses: np.ndarray, boxes: np.ndarray, side: tuple[int, int], min_iou: float
) -> tuple[list[int], np.ndarray]:
    """Find the source of each galaxy.

    It is the largest with the best fit of those whose box can fit.

    Args:
        ellipses: (N, 5), see `extract_sources`.
        boxes: (M, 4) of the galaxies.
        side: width and height of the image.
        min_iou: minimum overlap of the box of a galaxy with that around its source, of the same size.

    Returns:
        The sources of the galaxies that have one, in the order of their boxes; and the logarithm of the size of a
        source's box, in units of its ellipse, (N,): 0 for other sources.
    """
    unit = ellipse_boxes(ellipses, 1.0, (10 * side[0], 10 * side[1]))
    sides = np.sqrt(np.prod(np.maximum(unit[:, 2:] - unit[:, :2], 0.5), axis=1))
    sizes, taken = np.zeros(len(ellipses)), list[int]()
    for box in boxes if len(ellipses) else ():
        inside = np.all((ellipses[:, :2] >= box[:2]) & (ellipses[:, :2] <= box[2:]), axis=1)
        inside[taken] = False
        size = np.sqrt(np.prod(box[2:] - box[:2]))
        overlap = np.where(inside, iou_matrix(ellipse_boxes(ellipses, size / sides, side), box[None])[:, 0], 0.0)
        best = int(np.where(overlap >= min_iou, ellipses[:, 2] * overlap, 0.0).argmax())
        if overlap[best] >= min_iou:
            taken.append(best)
            sizes[best] = np.log(size / sides[best])
    return taken, sizes


@dataclass(frozen=True, eq=False)
class Trees:
    """Boosted regression trees.

    Attributes:
        base: value before the first tree.
        feature: (T, K) int, the column that a node compares, -1 for a leaf; left, right: (T, K) int, its children.
        value: (T, K), a node's threshold (lower or equal goes left) or a leaf's value.
    """

    base: float
    feature: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Trees:
        """Create trees from their dictionary in ``baselines.json``."""
        arrays = {name: np.array(saved[name], int) for name in ("feature", "left", "right")}
        return cls(float(saved["base"]), **arrays, value=np.array(saved["value"], float))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Return the values (N,) for features (N, F)."""
        trees, rows = np.arange(len(self.feature))[:, None], np.arange(len(features))[None]
        node = np.zeros((len(self.feature), len(features)), int)
        while True:
            column = self.feature[trees, node]
            if (column < 0).all():
                return np.asarray(self.base + self.value[trees, node].sum(axis=0))
            lower = features[rows, column] <= self.value[trees, node]
            child = np.where(lower, self.left[trees, node], self.right[trees, node])
            node = np.where(column < 0, node, child)


@cache
def fitted() -> dict[str, Any]:
    """Return the content of ``baselines.json``.

    See `benchmarks.accuracy.fit_baselines`.
    """
    saved: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return saved | {name: Trees.from_dict(saved[name]) for name in ("filter", "size")}


def tuned_sources(
    images: np.ndarray, max_sources: int = 20, model: Mapping[str, Any] | None = None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Find galaxies by SEP's measurements and the fitted trees.

    Args:
        images: (n, H, W, 3) uint8, square.
        max_sources: maximum number of sources per image; those with the highest scores are kept.
        model: the trees ``filter`` and ``size`` in place of the stored ones.

    Returns:
        boxes (N, 4) in pixels and scores (N,) 0..1 of each image, best first.
    """
    model, results = model or fitted(), []
    for image in images:
        scale = image.shape[0] / SIDE
        ellipses, features = extract_sources(image if scale == 1 else resize(image, SIDE, SIDE))
        scores = 1 / (1 + np.exp(-model["filter"](features)))
        boxes = ellipse_boxes(ellipses, np.exp(model["size"](features)), (SIDE, SIDE)) * scale
        best = np.argsort(-scores, kind="stable")[:max_sources]
        results.append((boxes[best], scores[best]))
    return results
