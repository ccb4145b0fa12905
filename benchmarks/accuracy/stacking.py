"""What stacking finds: the recall of faint composed galaxies against the number of frames.

``python -m galaxy_edge.benchmarks.accuracy.stacking --data galaxy-data --out benchmarks/reference/stacking-NAME.json``

Galaxies that the detector was not trained on are composed onto star fields. Of each scene a camera of 16 bits takes
frames with noise that hides the faint ones, while the sky drifts and turns; the last frame of each stack is searched.
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
from ...training.data.sample import read_set
from ...training.scenes.generator import SceneGenerator
from .evaluate import held_out_samples

DEPTHS = (1, 2, 4, 8, 16)
SCENES = 100
NOISE = 40.0
"""Standard deviation of a frame's noise, in levels of the 8-bit picture that the scene was composed as."""
DRIFT, TURN = (0.6, -0.35), 0.05
"""Of the sky from frame to frame: pixels, and degrees around the middle."""
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
    """Measure the recall of composed galaxies at the operating threshold, stacked to each depth.

    Returns:
        ``galaxies``, ``noise``, and by depth (``0``: one frame without noise, the most that can be had) ``recall`` 0..1
        and ``false_a_frame``.
    """
    maker = SceneGenerator(held_out_samples(read_set(data), [bundle], data), bundle.input_size[0])
    detector = Detector(bundle)
    counts = {depth: np.zeros(3, int) for depth in (0, *depths)}  # found, galaxies, false
    for number in range(scenes):
        progress(number, scenes)
        scene, _ = maker.composed(np.random.default_rng([seed, number]))
        noisy = np.random.default_rng([seed, number, 1])
        stacks, motion = {depth: Stack(depth) for depth in depths}, SkyMotion()
        for step in range(max(depths)):
            frame, moved = _take_frame(scene.image, step, noise, noisy)
            small = grey_thumbnail(frame.pixels)
            sky = motion.update(small, 1)
            results = {depth: stack.add(frame, small, sky) for depth, stack in stacks.items()}
        boxes, ignore = (_move_boxes(those, moved) for those in (scene.boxes, scene.ignore))
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
    """Take a frame of 16 bits of a scene that has drifted and turned; return it and the motion (2, 3)."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), TURN * step, 1.0)
    matrix[:, 2] += np.array(DRIFT) * step
    there = cv2.warpAffine(image.astype(np.float32), matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
    values = PEDESTAL + GAIN * (there + random.normal(0, noise, there.shape) if noise else there)
    raw = np.clip(values, 0, 65535).astype(np.uint16)
    developed, planes = develop(raw), linear_planes(raw)[0]
    now = datetime.datetime.now(datetime.UTC)
    frame = Frame(developed.pixels, now, "composed", step, developed.record, raw=raw, planes=tuple(planes))
    return frame, matrix


def _move_boxes(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Move boxes with their middles; the turn is too small to change them."""
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    return boxes + np.tile(middles @ matrix[:, :2].T + matrix[:, 2] - middles, 2)


def _count_matches(found: np.ndarray, boxes: np.ndarray, ignore: np.ndarray) -> np.ndarray:
    """Count galaxies found, galaxies, and detections that are none."""
    hits = iou_matrix(found, boxes) >= MATCH_IOU
    known = hits.any(axis=1) | (iou_matrix(found, ignore) > 0.3).any(axis=1)
    return np.array([hits.any(axis=0).sum(), len(boxes), (~known).sum()])


def main() -> None:
    """Measure and write it down."""
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
        print(f"{depth:>3} frames: recall {row['recall']:.3f}, {row['false_a_frame']:.2f} false a frame")


if __name__ == "__main__":
    main()
