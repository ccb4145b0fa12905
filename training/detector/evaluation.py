"""What a trained detector is measured on, and its calibration inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...models.detection_metrics import DetectionTruth, detection_metrics
from ..data.sample import Sample
from ..scenes import evaluation_scenes as situations
from ..scenes.generator import SceneGenerator
from .anchor_matching import decode_detections

MAX_SCENES = {"gz_frames": 150, situations.OFF_CENTRE: 100, "sdss_starfields": 80, situations.COMPOSED: 100}
"""At most so many survey frames, off-centre cuts, star fields and composed scenes."""
CALIBRATION_IMAGES = 200
THRESHOLD = 0.5
"""Score from which false detections are counted while training; the export chooses the operating threshold."""


def evaluation_set(samples: Sequence[Sample], size: int, seed: int) -> dict[str, np.ndarray]:
    """Gather what to measure on.

    Args:
        samples: of the validation share; size: side of the input in pixels; seed: of the draws.

    Returns:
        images (n, size, size, 3) uint8 letterboxed; boxes (M, 4) float32 in input pixels and box_frame (M,) int;
        ignore (K, 4) and ignore_frame (K,); complete (n,) bool; set (n,) str; negative (n,) bool.
    """
    views = list(situations.EvaluationScenes(samples, size, seed, MAX_SCENES))

    def gather(boxes: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        frames = np.repeat(np.arange(len(boxes)), [len(part) for part in boxes])
        return np.concatenate(boxes).astype(np.float32).reshape(-1, 4), frames

    boxes, box_frame = gather([view.scene.boxes for view in views])
    ignore, ignore_frame = gather([view.scene.ignore for view in views])
    return {
        "images": np.stack([view.scene.image for view in views]),
        "boxes": boxes,
        "box_frame": box_frame,
        "ignore": ignore,
        "ignore_frame": ignore_frame,
        "complete": np.array([view.complete for view in views]),
        "set": np.array([view.situation for view in views]),
        "negative": np.array([view.truth.negative for view in views]),
    }


def calibration_set(maker: SceneGenerator, samples: Sequence[Sample], seed: int) -> np.ndarray:
    """Draw network inputs of the training share: whole real frames of every set, then scenes of every kind.

    Returns:
        (200, size, size, 3) uint8.
    """
    rng = np.random.default_rng([seed, 3])
    images: list[np.ndarray] = []
    sets = sorted({sample.set for sample in samples})
    for name in sets:
        chosen = [sample for sample in samples if sample.set == name]
        places = rng.integers(0, len(chosen), CALIBRATION_IMAGES // 2 // len(sets))
        images.extend(maker.whole(chosen[place]).image for place in places)
    for number in range(CALIBRATION_IMAGES - len(images)):
        images.append(maker.draw(rng, maker.kinds[number % len(maker.kinds)]).image)
    return np.stack(images)


def score(
    outputs: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    evaluation: dict[str, np.ndarray],
    anchors: np.ndarray,
    every: int = 1,
) -> dict[str, Any]:
    """Measure a network.

    Args:
        outputs: pictures (n, size, size, 3) uint8 -> deltas (n, N, 4) and logits (n, N).
        evaluation: from `evaluation_set`; anchors: (N, 4); every: use every n-th frame only.

    Returns:
        map50 and map over all frames, ``map50_<set>`` of each set with boxes, and ``false_<set>``: detections above
        score 0.5 a frame without a galaxy. See `models.detection_metrics.detection_metrics`.
    """
    frames = np.arange(0, len(evaluation["images"]), every)
    # The deep-sky frames are few: all of them are used always.
    frames = np.union1d(frames, np.flatnonzero(evaluation["set"] == "deepsky_frames"))
    deltas, logits = outputs(evaluation["images"][frames])
    sets = evaluation["set"][frames]
    judged = []
    for frame, some_deltas, some_logits in zip(frames, deltas, logits, strict=True):
        truth = DetectionTruth(
            evaluation["boxes"][evaluation["box_frame"] == frame],
            evaluation["ignore"][evaluation["ignore_frame"] == frame],
            bool(evaluation["complete"][frame]),
            bool(evaluation["negative"][frame]),
        )
        judged.append((truth, *decode_detections(some_deltas, some_logits, anchors)))
    whole = detection_metrics(judged, THRESHOLD)
    metrics = {"map50": whole["map50"], "map": whole["map"]}
    for name in sorted(set(sets.tolist())):
        of = detection_metrics([judged[place] for place in np.flatnonzero(sets == name)], THRESHOLD)
        metrics |= {f"map50_{name}": of["map50"], f"false_{name}": of["fp_per_frame"]}
    return {name: round(value, 4) for name, value in metrics.items() if value is not None}
