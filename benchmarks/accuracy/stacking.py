"""Measure the recall of faint galaxies against the number of frames.

The galaxies are composed, the frames stacked.

``python -m galaxy_edge.benchmarks.accuracy.stacking --data galaxy-data --out benchmarks/reference/stacking-NAME.json``

Galaxies that the detector was not trained on are composed onto star fields. A simulated 16-bit camera takes frames of
each scene, with noise that hides the faint galaxies, while the sky drifts and rotates. The detector is run on the last
frame of each stack.
"""

from __future__ import annotations

import argparse
import datetime
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...models.boxes import iou_matrix
from ...models.bundle import Bundle, shipped_bundle_path
from ...models.detection_metrics import MATCH_IOU
from ...models.raw.front_end import develop, linear_planes
from ...runtime.frame import Frame
from ...runtime.imaging.sky_motion import SkyMotion, grey_thumbnail
from ...runtime.imaging.stacking import Stack
from ...runtime.inference.detector import Detector
from ...runtime.system.utc_time import utc_now
from ...training.formats.read_set import read_set
from ...training.scenes.generator import SceneGenerator
from .evaluate import held_out_samples

DEPTHS = (1, 2, 4, 8, 16)
SCENES = 100
NOISE = 40.0
"""Standard deviation of a frame's noise, in levels of the 8-bit scene."""
DRIFT, ROTATION = (0.6, -0.35), 0.05
"""Motion of the sky from frame to frame: pixels, and degrees around the middle."""
GAIN, PEDESTAL = 60.0, 12_000.0


def recall_by_depth(
    bundle: Bundle,
    data: Path,
    scenes: int,
    depths: Sequence[int] = DEPTHS,
    noise: float = NOISE,
    seed: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Measure the recall of composed galaxies for each number of frames.

    It is the recall at the operating threshold.

    Returns:
        ``galaxies``, ``noise``, and by depth (``0``: one frame without noise, the upper limit) ``recall`` 0..1 and
        ``false_a_frame``.
    """
    samples = held_out_samples(read_set(data, stretch=bundle.stretch), [bundle], data)
    generator = SceneGenerator(samples, bundle.input_size[0])
    detector = Detector(bundle)
    counts = {depth: np.zeros(3, int) for depth in (0, *depths)}  # found, galaxies, false
    for number in range(scenes):
        progress(number, scenes)
        scene, _ = generator.composed(np.random.default_rng([seed, number]))
        noisy = np.random.default_rng([seed, number, 1])
        stacks, motion = {depth: Stack(depth) for depth in depths}, SkyMotion()
        for step in range(max(depths)):
            frame, matrix = _take_frame(scene.image, step, noise, noisy)
            small = grey_thumbnail(frame.pixels)
            sky = motion.update(small, 1)
            results = {depth: stack.add(frame, small, sky) for depth, stack in stacks.items()}
        boxes, ignore = (_move_boxes(scene_boxes, matrix) for scene_boxes in (scene.boxes, scene.ignore))
        results[0] = _take_frame(scene.image, max(depths) - 1, 0.0, noisy)[0]
        for depth, result in results.items():
            counts[depth] += _count_matches(detector(result.pixels).boxes, boxes, ignore)
    return {
        "galaxies": int(counts[0][1]),
        "noise": noise,
        "depths": {
            str(depth): {"recall": round(found / max(1, galaxies), 4), "false_a_frame": round(false / scenes, 3)}
            for depth, (found, galaxies, false) in counts.items()
        },
    }


def _take_frame(image: np.ndarray, step: int, noise: float, random: np.random.Generator) -> tuple[Frame, np.ndarray]:
    """Take a 16-bit frame of a scene after `step` motions.

    Return it and the affine motion (2, 3).
    """
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), ROTATION * step, 1.0)
    matrix[:, 2] += np.array(DRIFT) * step
    moved = cv2.warpAffine(image.astype(np.float32), matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
    values = PEDESTAL + GAIN * (moved + random.normal(0, noise, moved.shape) if noise else moved)
    raw = np.clip(values, 0, 65535).astype(np.uint16)
    developed, planes = develop(raw), linear_planes(raw)[0]
    now = datetime.datetime.now(datetime.UTC)
    frame = Frame(developed.pixels, now, "composed", step, developed.record, raw=raw, planes=tuple(planes))
    return frame, matrix


def _move_boxes(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Move boxes with their centres; the rotation is too small to change their sides."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    return np.asarray(boxes + np.tile(centres @ matrix[:, :2].T + matrix[:, 2] - centres, 2))


def _count_matches(found: np.ndarray, boxes: np.ndarray, ignore: np.ndarray) -> np.ndarray:
    """Count galaxies found, galaxies, and false detections: (3,) int."""
    hits = iou_matrix(found, boxes) >= MATCH_IOU
    known = hits.any(axis=1) | (iou_matrix(found, ignore) > 0.3).any(axis=1)
    return np.array([hits.any(axis=0).sum(), len(boxes), (~known).sum()])


def main() -> None:
    """Run the command line."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--scenes", type=int, default=SCENES)
    options.add_argument("--noise", type=float, default=NOISE)
    options.add_argument("--out", type=Path, required=True)
    given = options.parse_args()
    bundle = Bundle.load(shipped_bundle_path("galaxy-detector"))
    result = recall_by_depth(bundle, given.data, given.scenes, noise=given.noise)
    result = {"created": utc_now(), "detector": bundle.hash, "scenes": given.scenes, **result}
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for depth, row in result["depths"].items():
        print(f"{depth:>3} frames: recall {row['recall']:.3f}, {row['false_a_frame']:.2f} false per frame")


if __name__ == "__main__":
    main()
