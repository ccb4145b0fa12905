"""Scenes in which a detector finds something that is not a galaxy.

Globular clusters, planetary nebulae, HII regions and close bright stars are rare among random scenes. A detector that
was trained on such scenes still takes some of them for galaxies; its next training sees those more often.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...models.boxes import iou_matrix, share_inside
from ..cache import cache_key, cached_array
from ..data.sample import Sample
from ..scenes.camera_effects import Rng, rotate_randomly
from ..scenes.generator import Scene, SceneSource
from .teacher import DetectorTeacher

HARD_KINDS = ("deepsky", "close_up", "negative", "stars", "nebula")
"""Kinds of scenes that are searched. Their galaxies are all boxed or ignored, so that other detections are false."""
SEARCHED = 5000
"""Number of scenes that are searched."""
MIN_FALSE_SCORE, MAX_OVERLAP = 0.25, 0.3
"""Minimum score of a false detection, and maximum IoU with a box and share inside ignored ones."""


def has_false_detection(scene: Scene, boxes: np.ndarray, scores: np.ndarray) -> bool:
    """Return whether a detection is clearly outside of a scene's galaxies.

    The detections are boxes (K, 4) and scores (K,).
    """
    boxes = boxes[scores >= MIN_FALSE_SCORE]
    apart = iou_matrix(boxes, scene.boxes).max(axis=1, initial=0.0) < MAX_OVERLAP
    return bool((apart & (share_inside(boxes, scene.ignore) < MAX_OVERLAP)).any())


def find_hard_scenes(
    source: SceneSource, teacher: DetectorTeacher, seed: int, data: Mapping[str, Any], count: int = SEARCHED
) -> np.ndarray:
    """Search scenes for false detections of the teacher; cached.

    Args:
        source: draws the scenes.
        seed: of the draws.
        data: record of the samples and skies that the scenes are drawn from: hashes and split.
        count: number of scenes to search.

    Returns:
        (N,) int numbers of scenes for `HardScenes`, N up to `count`.
    """
    kinds = _searched_kinds(source)

    def find() -> np.ndarray:
        hard = []
        for number in range(count if kinds else 0):
            scene = _numbered_scene(source, kinds, seed, number)
            if has_false_detection(scene, *teacher.detect(scene.image)):
                hard.append(number)
        return np.array(hard, np.int64)

    key = cache_key(
        json.dumps(data, sort_keys=True),
        source.size,
        seed,
        count,
        kinds,
        teacher.identity,
        MIN_FALSE_SCORE,
        MAX_OVERLAP,
    )
    return np.asarray(cached_array("hard-scenes", key, find))


class HardScenes:
    """A source of scenes, a share of which are hard ones, in random orientations.

    Args:
        source: draws all scenes.
        numbers: of `find_hard_scenes`, with the same `source` and `seed`.
        seed: of the hard scenes.
        share: of hard scenes, 0..1; 0 where there is none.
    """

    def __init__(self, source: SceneSource, numbers: np.ndarray, seed: int, share: float) -> None:
        self._source, self._numbers, self._seed = source, numbers, seed
        self._share = share if len(numbers) else 0.0
        self.size, self.kinds = source.size, source.kinds

    def draw(self, rng: Rng, kind: str | None = None) -> Scene:
        """Draw a scene, of a given kind or of any."""
        if kind or rng.random() >= self._share:
            return self._source.draw(rng, kind)
        number = int(rng.choice(self._numbers))
        scene = _numbered_scene(self._source, _searched_kinds(self._source), self._seed, number)
        image, boxes, ignore = rotate_randomly(rng, scene.image, scene.boxes, scene.ignore)
        return Scene(image, boxes, ignore, scene.kind)

    def whole(self, sample: Sample) -> Scene:
        """Fit a whole frame into the input, unchanged."""
        return self._source.whole(sample)


def _searched_kinds(source: SceneSource) -> list[str]:
    return [kind for kind in HARD_KINDS if kind in source.kinds]


def _numbered_scene(source: SceneSource, kinds: list[str], seed: int, number: int) -> Scene:
    return source.draw(np.random.default_rng([seed, 13, number]), kinds[number % len(kinds)])
