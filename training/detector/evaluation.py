"""Evaluation set, calibration inputs and scores of a detector in training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...models.detection_metrics import detection_metrics, truths_from_arrays
from ..data.sample import Sample
from ..scenes.evaluation_scenes import EvaluationScenes
from ..scenes.generator import SceneSource
from .anchor_matching import decode_detections
from .operating_point import measure_at_own_threshold

CALIBRATION_IMAGES = 200
THRESHOLD = 0.5
"""Minimum score of false detections while training; the export chooses the operating threshold."""


def evaluation_set(samples: Sequence[Sample], size: int, seed: int) -> dict[str, np.ndarray]:
    """Generate the scenes to evaluate on.

    They are those that ``galaxy-edge eval detector --held-out`` measures too.

    Args:
        samples: of the validation share.
        size: side of the input in pixels.
        seed: of the draws.

    Returns:
        images (n, size, size, 3) uint8 letterboxed; boxes (M, 4) float32 in input pixels and box_frame (M,) int;
        ignore (K, 4) and ignore_frame (K,); complete (n,) bool; set (n,) str; negative (n,) bool;
        selects (n,) bool, whether the operating threshold is chosen there, see `EvaluationScene`.
    """
    views = list(EvaluationScenes(samples, size, seed))

    def gather(boxes: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        frames = np.repeat(np.arange(len(boxes)), [len(frame_boxes) for frame_boxes in boxes])
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
        "selects": np.array([view.selects for view in views]),
    }


def calibration_set(generator: SceneSource, samples: Sequence[Sample], seed: int) -> np.ndarray:
    """Draw training inputs to calibrate the quantisation with.

    First whole real frames of every data set, then scenes of every kind.

    Returns:
        (200, size, size, 3) uint8.
    """
    rng = np.random.default_rng([seed, 3])
    images: list[np.ndarray] = []
    sets = sorted({sample.set for sample in samples})
    for name in sets:
        chosen = [sample for sample in samples if sample.set == name]
        indices = rng.integers(0, len(chosen), CALIBRATION_IMAGES // 2 // len(sets))
        images.extend(generator.whole(chosen[index]).image for index in indices)
    for number in range(CALIBRATION_IMAGES - len(images)):
        images.append(generator.draw(rng, generator.kinds[number % len(generator.kinds)]).image)
    return np.stack(images)


def score(
    outputs: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    evaluation: dict[str, np.ndarray],
    anchors: np.ndarray,
    every: int = 1,
    own_threshold: bool = False,
) -> dict[str, Any]:
    """Score a detector on an evaluation set.

    Args:
        outputs: images (n, size, size, 3) uint8 -> deltas (n, N, 4) and logits (n, N).
        evaluation: from `evaluation_set`.
        anchors: (N, 4) from `models.decode.anchor_grid`.
        every: use every n-th frame only.
        own_threshold: also choose a threshold and measure at it, see `operating_point.measure_at_own_threshold`.

    Returns:
        map50 and map of all frames, ``map50_<set>`` of each set with boxes, and ``false_<set>``: detections per frame
        without galaxies with a score of at least 0.5; and, if `own_threshold`, threshold, precision and recall there.
        See `models.detection_metrics.detection_metrics`.
    """
    frames = np.arange(0, len(evaluation["images"]), every)
    # Deep-sky frames are few, so all of them are used.
    frames = np.union1d(frames, np.flatnonzero(evaluation["set"] == "deepsky_frames"))
    deltas, logits = outputs(evaluation["images"][frames])
    sets = evaluation["set"][frames]
    truths = truths_from_arrays(evaluation)
    evaluated = [
        (truths[frame], *decode_detections(frame_deltas, frame_logits, anchors))
        for frame, frame_deltas, frame_logits in zip(frames, deltas, logits, strict=True)
    ]
    overall = detection_metrics(evaluated, THRESHOLD)
    metrics = {"map50": overall.map50, "map": overall.map}
    if own_threshold:
        metrics |= measure_at_own_threshold(evaluated, sets, evaluation["selects"][frames])
    for name in sorted(set(sets.tolist())):
        set_metrics = detection_metrics([evaluated[index] for index in np.flatnonzero(sets == name)], THRESHOLD)
        metrics |= {f"map50_{name}": set_metrics.map50, f"false_{name}": set_metrics.fp_per_frame}
    return {name: round(value, 4) for name, value in metrics.items() if value is not None}
