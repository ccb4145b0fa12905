"""Baselines for a detector: a constant box, and extended sources of SEP.

The constant box is in the centre. `tuned_sep` has a fitted SEP.

A constant box scores high on images that are centred on their galaxy, so reports show both baselines next to each mAP.
"""

from __future__ import annotations

import cv2
import numpy as np

from .tuned_sep import ellipse_boxes, fitted

ScoredBoxes = tuple[np.ndarray, np.ndarray]
"""Boxes (N, 4) xyxy in pixels and scores (N,)."""


def centre_box(images: np.ndarray, boxes: np.ndarray, situation: str = "") -> list[ScoredBoxes]:
    """Return the same box in the middle of every image, with score 1.

    Args:
        images: (n, H, W, 3) uint8.
        boxes: (M, 4) true boxes, whose median width and height the box has where it was not fitted.
        situation: of the images; where the shipped detector's training share has it, the box that matches most of its
            galaxies there, see `benchmarks.accuracy.fit_baselines`.
    """
    height, width = images.shape[1:3]
    shares = fitted()["centre_box"].get(situation)
    if shares is not None:
        w, h = shares[0] * width, shares[1] * height
    else:
        w, h = np.median(boxes[:, 2:] - boxes[:, :2], axis=0) if len(boxes) else (width / 2, height / 2)
    box = np.array([[(width - w) / 2, (height - h) / 2, (width + w) / 2, (height + h) / 2]])
    return [(box, np.ones(1)) for _ in images]


def baseline_threshold(name: str) -> float:
    """Return the minimum score of a baseline's reported detections.

    It is 0 for the constant box. That of SEP was chosen by the rule for a network's threshold, on a part of the shipped
    detector's training share.
    """
    return float(fitted()["thresholds"].get(name, 0.0))


def centre_boxes(images: np.ndarray, boxes: np.ndarray, box_frame: np.ndarray, sets: np.ndarray) -> list[ScoredBoxes]:
    """Return for every image the `centre_box` of its situation.

    Args:
        images: (n, H, W, 3) uint8; sets: (n,) their situations.
        boxes: (M, 4) true boxes of all images; box_frame: (M,) index of the image of each.
    """
    by_situation = {
        name: centre_box(images[:1], boxes[sets[box_frame] == name], name)[0] for name in set(sets.tolist())
    }
    return [by_situation[name] for name in sets.tolist()]


def extended_sources(
    images: np.ndarray, max_sources: int = 10, size: float = 2.0, min_axis: float = 3.0
) -> list[ScoredBoxes]:
    """Find extended sources with SEP.

    Sources: Barbary 2016, JOSS 1, 58; Bertin and Arnouts 1996, A&AS 117, 393.

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
        height, width = light.shape
        ellipses = np.stack(
            [sources["x"] + 0.5, sources["y"] + 0.5, sources["a"], sources["b"], sources["theta"]], axis=1
        )
        boxes = ellipse_boxes(ellipses, size, (width, height))
        spread = sources["flux"] / np.maximum(sources["peak"] * sources["npix"], 1e-6)
        scores = sources["npix"] * np.clip(spread, 0, 1)
        best = np.argsort(-scores, kind="stable")[:max_sources]
        results.append((boxes[best], scores[best] / (scores[best] + 1000.0)))
    return results
