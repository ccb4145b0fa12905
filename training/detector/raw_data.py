"""Raw exposures in a detector's training: skies, batches, evaluation scenes.

The batches use each scene several times.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..data.errors import DataError
from ..data.sample import Sample
from ..scenes.camera_effects import rotate_randomly
from ..scenes.generator import SceneGenerator, SceneSource
from ..scenes.raw_frames import parted, read_raw_frames
from ..scenes.raw_scenes import KINDS, MixedScenes, RawSceneGenerator
from ..scenes.raw_sky import RawSky
from .anchor_matching import assign_targets
from .dataset import SceneBatches
from .settings import DetectorSettings

VALIDATION_SCENES = 240
CALIBRATION_SCENES = 25
"""Inputs of each kind of raw-like scene to calibrate the quantisation with."""
REUSE, POOL = 5, 1500
"""Number of times that a scene is used, and number of recent scenes to draw from."""
RAW = "raw"
"""The situation of raw-like scenes in an evaluation set."""


@dataclass(frozen=True)
class RawSkies:
    """Skies of raw exposures.

    Attributes:
        training, validation: of different frames; record: their description for the run folder.
    """

    training: list[RawSky]
    validation: list[RawSky]
    record: dict[str, Any]


def read_raw_skies(folder: Path) -> RawSkies:
    """Read the skies of a folder of raw exposures, see `raw_frames.read_raw_frames`.

    Raises:
        DataError: the folder cannot be read, or holds too few frames.
    """
    frames = list(read_raw_frames(folder))
    training, validation, rest = parted(frames)
    if not training or not validation:
        raise DataError(
            f"{folder} has {len(frames)} raw frames, too few to train and validate on: use at least 10 of one target"
        )
    digest = hashlib.sha256()
    for frame in (*training, *validation):
        digest.update(np.ascontiguousarray(frame.mosaic).tobytes())
    counts = {"training": len(training), "validation": len(validation), "unused": len(rest)}
    skies = [[frame.sky() for frame in share] for share in (training, validation)]
    return RawSkies(skies[0], skies[1], {"hash": digest.hexdigest(), **counts})


def with_raw_scenes(generator: SceneGenerator, skies: Sequence[RawSky], share: float) -> MixedScenes:
    """Mix a share (0..1) of raw-like scenes into the processed ones."""
    return MixedScenes(generator, RawSceneGenerator(generator, skies), share)


class PooledBatches(SceneBatches):
    """Training batches that use a scene several times in other orientations.

    Batch n is always the same. Each worker has scenes of its own.

    Drawing scenes of large frames takes longer than a step of training. One of every `REUSE` scenes of a batch is new;
    the others are drawn from the last `POOL` scenes.
    """

    def __init__(self, generator: SceneSource, anchors: np.ndarray, positions: range, seed: int) -> None:
        super().__init__(generator, anchors, positions, seed)
        worker = [positions.start] if positions.start else []
        self._scene = lru_cache(maxsize=POOL + 200)(
            lambda number: self.generator.draw(np.random.default_rng([seed, 11, number, *worker]))
        )

    def make(self, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Make batch `step`, see `SceneBatches.make`."""
        images, targets, deltas = [], [], []
        for position in self.positions:
            rng = np.random.default_rng([self.seed, step, position])
            number = step * len(self.positions) + position - self.positions.start
            newest = number // REUSE
            age = int(rng.integers(min(newest + 1, POOL))) if number % REUSE else 0
            scene = self._scene(newest - age)
            image, boxes, ignore = rotate_randomly(rng, scene.image, scene.boxes, scene.ignore)
            target, delta = assign_targets(self.anchors, boxes, ignore)
            images.append(image)
            targets.append(target)
            deltas.append(delta)
        return np.stack(images), np.stack(targets), np.stack(deltas)


def join_raw_evaluation(
    processed: dict[str, np.ndarray], held_out: Sequence[Sample], skies: Sequence[RawSky], settings: DetectorSettings
) -> dict[str, np.ndarray]:
    """Add raw-like scenes to an evaluation set.

    Their galaxies and skies are not trained on.

    Args:
        processed: of `evaluation.evaluation_set`; the result has the same keys.
    """
    generator = RawSceneGenerator(SceneGenerator(held_out, settings.size), skies)
    scenes = [generator.draw(np.random.default_rng([settings.seed, 77, index])) for index in range(VALIDATION_SCENES)]
    first = len(processed["images"])

    def joined(name: str, boxes: list[np.ndarray]) -> dict[str, np.ndarray]:
        frames = first + np.repeat(np.arange(len(boxes)), [len(scene_boxes) for scene_boxes in boxes])
        added = np.concatenate(boxes).astype(np.float32).reshape(-1, 4)
        frame = "box_frame" if name == "boxes" else "ignore_frame"
        return {name: np.concatenate([processed[name], added]), frame: np.concatenate([processed[frame], frames])}

    empty = [not len(scene.boxes) and not len(scene.ignore) for scene in scenes]
    return {
        "images": np.concatenate([processed["images"], [scene.image for scene in scenes]]),
        **joined("boxes", [scene.boxes for scene in scenes]),
        **joined("ignore", [scene.ignore for scene in scenes]),
        "complete": np.concatenate([processed["complete"], np.ones(len(scenes), bool)]),
        "set": np.concatenate([processed["set"], [RAW] * len(scenes)]),
        "negative": np.concatenate([processed["negative"], empty]),
        "selects": np.concatenate([processed["selects"], np.arange(len(scenes)) % 2 == 0]),
    }


def raw_calibration(generator: SceneSource, seed: int) -> np.ndarray:
    """Draw raw-like inputs to calibrate the quantisation with.

    Half of them show galaxies. Returns (n, size, size, 3) uint8.
    """
    rng = np.random.default_rng([seed, 4])
    kinds = (*KINDS, "raw_galaxies")
    return np.stack([generator.draw(rng, kind).image for kind in kinds for _ in range(CALIBRATION_SCENES)])
