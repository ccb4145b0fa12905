"""Baselines for a detector: a constant centre box, and extended sources found by SEP.

A constant box scores high on images that are centred on their galaxy, so reports show both baselines next to each mAP.
"""

from __future__ import annotations

import cv2
import numpy as np

ScoredBoxes = tuple[np.ndarray, np.ndarray]
"""Boxes (N, 4) xyxy in pixels and scores (N,)."""


def centre_box(images: np.ndarray, boxes: np.ndarray) -> list[ScoredBoxes]:
    """Return the same box in the middle of every image, with score 1.

    Args:
        images: (n, H, W, 3) uint8.
        boxes: (M, 4) true boxes; the constant box has their median width and height, the best choice for a constant.
    """
    height, width = images.shape[1:3]
    w, h = np.median(boxes[:, 2:] - boxes[:, :2], axis=0) if len(boxes) else (width / 2, height / 2)
    box = np.array([[(width - w) / 2, (height - h) / 2, (width + w) / 2, (height + h) / 2]])
    return [(box, np.ones(1)) for _ in images]


def extended_sources(
    images: np.ndarray, max_sources: int = 10, size: float = 2.0, min_axis: float = 3.0
) -> list[ScoredBoxes]:
    """Find extended sources with SEP (Barbary 2016, JOSS 1, 58; Bertin and Arnouts 1996, A&AS 117, 393).

    A source is extended if its second moments are wider than a star's. Its score is its area, reduced by the share of
    light that is concentrated in the peak. Its box encloses the ellipse of `size` times its moments.

    Args:
        images: (n, H, W, 3) uint8.
        max_sources: maximum number of sources per image; those with the highest scores are kept.
        size: semi-axes of the ellipse in units of the moments; 2 encloses about 90 % of a galaxy's displayed light.
        min_axis: minimum semi-major axis in pixels.
    """
    import sep

    results = []
    for image in images:
        light = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
        background = sep.Background(light)
        light -= background.back()
        sources = sep.extract(light, 1.8, err=max(background.globalrms, 1.0), minarea=20)
        sources = sources[sources["a"] >= min_axis]
        cosine, sine = np.cos(sources["theta"]), np.sin(sources["theta"])
        half_w = size * np.hypot(sources["a"] * cosine, sources["b"] * sine)
        half_h = size * np.hypot(sources["a"] * sine, sources["b"] * cosine)
        x, y = sources["x"], sources["y"]
        boxes = np.stack([x - half_w, y - half_h, x + half_w, y + half_h], axis=1)
        spread = sources["flux"] / np.maximum(sources["peak"] * sources["npix"], 1e-6)
        scores = sources["npix"] * np.clip(spread, 0, 1)
        best = np.argsort(-scores, kind="stable")[:max_sources]
        height, width = light.shape
        boxes = np.clip(boxes[best], 0, [width, height, width, height])
        results.append((boxes, scores[best] / (scores[best] + 1000.0)))
    return results
