"""What a detector must beat to mean anything: a constant box in the middle, and classical source extraction.

In pictures that are centred on their galaxy a constant box scores high; beside every mAP stands what it gets.
"""

from __future__ import annotations

import cv2
import numpy as np

ScoredBoxes = tuple[np.ndarray, np.ndarray]
"""Boxes (N, 4) and scores (N,)."""


def centre_box(images: np.ndarray, boxes: np.ndarray) -> list[ScoredBoxes]:
    """Answer every picture with the same box in its middle.

    Args:
        images: (n, H, W, 3) uint8.
        boxes: (M, 4) true boxes; the constant box has their median width and height, the best a constant can know.
    """
    height, width = images.shape[1:3]
    w, h = np.median(boxes[:, 2:] - boxes[:, :2], axis=0) if len(boxes) else (width / 2, height / 2)
    box = np.array([[(width - w) / 2, (height - h) / 2, (width + w) / 2, (height + h) / 2]])
    return [(box, np.ones(1)) for _ in images]


def extended_sources(images: np.ndarray, most: int = 10, size: float = 2.0, smallest: float = 3.0) -> list[ScoredBoxes]:
    """Find extended sources with SEP (Barbary 2016, JOSS 1, 58; Bertin and Arnouts 1996, A&AS 117, 393).

    A source counts as extended where its second moments are wider than a star's, and scores by its area, less for what
    is concentrated in its peak as a star is. Its box encloses the ellipse of `size` times its moments.

    Args:
        images: (n, H, W, 3) uint8.
        most: at most so many a picture.
        size: semi-axes of the ellipse in units of the moments; 2 encloses about 90 % of a galaxy's displayed light.
        smallest: least major semi-axis in pixels.
    """
    import sep

    found = []
    for image in images:
        light = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
        noise = sep.Background(light)
        light -= noise.back()
        sources = sep.extract(light, 1.8, err=max(noise.globalrms, 1.0), minarea=20)
        sources = sources[sources["a"] >= smallest]
        cosine, sine = np.cos(sources["theta"]), np.sin(sources["theta"])
        half_w = size * np.hypot(sources["a"] * cosine, sources["b"] * sine)
        half_h = size * np.hypot(sources["a"] * sine, sources["b"] * cosine)
        x, y = sources["x"], sources["y"]
        boxes = np.stack([x - half_w, y - half_h, x + half_w, y + half_h], axis=1)
        spread = sources["flux"] / np.maximum(sources["peak"] * sources["npix"], 1e-6)
        scores = sources["npix"] * np.clip(spread, 0, 1)
        best = np.argsort(-scores, kind="stable")[:most]
        high, wide = light.shape
        boxes = np.clip(boxes[best], 0, [wide, high, wide, high])
        found.append((boxes, scores[best] / (scores[best] + 1000.0)))
    return found
