"""Frames with detections, and a reference for average precision.

The reference is a slow, naive implementation.
"""

import numpy as np
from galaxy_edge.models.detection_metrics import DetectionTruth

GALAXY = [10, 10, 50, 50]
NO_BOXES, NO_SCORES = np.zeros((0, 4), np.float32), np.zeros(0, np.float32)


def boxes(*rows):
    """Return rows of x0, y0, x1, y1 as (N, 4) float32."""
    return np.asarray(rows, np.float32).reshape(-1, 4)


def scores(*values):
    """Return scores as (N,) float32."""
    return np.asarray(values, np.float32)


def iou(first, second):
    """Return the intersection over union of two boxes."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    overlap = max(0.0, width) * max(0.0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return overlap / (sum(areas) - overlap)


def common_share(box, region):
    """Return the larger of the shares that a box and an ignore box have in common.

    Of a far larger box, its own.
    """
    width = min(box[2], region[2]) - max(box[0], region[0])
    height = min(box[3], region[3]) - max(box[1], region[1])
    overlap = max(0.0, width) * max(0.0, height)
    own, other = ((corners[2] - corners[0]) * (corners[3] - corners[1]) for corners in (box, region))
    return overlap / own if own > 4 * other else max(overlap / own, overlap / other)


def naive_outcomes(frames, level):
    """Return (score, is true positive) of every detection that counts.

    Detections are processed one at a time, as in the definition.
    """
    outcomes = []
    for truth, found, certainty in frames:
        free = [list(map(float, box)) for box in truth.boxes]
        for score, box in sorted(zip(certainty.tolist(), found.tolist(), strict=True), reverse=True):
            best = max(free, key=lambda true, box=box: iou(box, true), default=None)
            if best is not None and iou(box, best) >= level:
                free.remove(best)
                outcomes.append((score, True))
            elif not any(common_share(box, region) >= level for region in truth.ignore.tolist()):
                outcomes.append((score, False))
    return sorted(outcomes, key=lambda outcome: -outcome[0])


def naive_average_precision(frames, level):
    """Return the 101-point interpolated average precision, computed as it is defined."""
    wanted = sum(len(truth.boxes) for truth, _, _ in frames)
    true_positives, curve = 0, []
    for reported, (_, is_right) in enumerate(naive_outcomes(frames, level), 1):
        true_positives += is_right
        curve.append((true_positives / wanted, true_positives / reported))
    points = np.linspace(0, 1, 101)
    return np.mean(
        [max((precision for recall, precision in curve if recall >= point), default=0.0) for point in points]
    )


def drawn_frames(seed, count=40):
    """Draw frames with and without galaxies, with good and bad detections.

    Frames may have ignore regions; bad detections are shifted, doubled or false.
    """
    rng = np.random.default_rng(seed)
    frames = []
    for number in range(count):
        corners = rng.uniform(0, 200, (0 if number % 5 == 0 else rng.integers(1, 5), 2))
        true = np.concatenate([corners, corners + rng.uniform(15, 60, corners.shape)], axis=1)
        # The ignore region is far away, so that crowd rules and matching cannot both apply to one detection.
        ignore = boxes([400, 400, 460, 450]) if number % 3 == 0 and len(true) else NO_BOXES
        near = np.repeat(true, 2, axis=0) + rng.normal(0, 5, (2 * len(true), 4))
        near = np.concatenate([np.minimum(near[:, :2], near[:, 2:]), np.maximum(near[:, :2], near[:, 2:])], axis=1)
        false = rng.uniform(0, 200, (2, 2))
        false = np.concatenate([false, false + 25], axis=1)
        crowd = ignore + rng.normal(0, 6, ignore.shape)
        found = np.concatenate([near, false, crowd]).astype(np.float32)
        certainty = rng.uniform(0, 1, len(found)).astype(np.float32)
        certainty[: len(near)] = np.sqrt(certainty[: len(near)])
        frames.append((DetectionTruth(true, ignore, negative=not len(true)), found, certainty))
    return frames
