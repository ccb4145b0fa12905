"""Where a detector is measured: real frames as they are, and the same galaxies in places and skies they were not in.

A constant box in the middle does well on survey frames, because they are centred; nothing of that is left where the
same galaxies stand off centre, among others, or where there are none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...models.detection_metrics import DetectionTruth
from ..data.sample import Sample
from .generator import Scene, SceneGenerator

OFF_CENTRE, COMPOSED = "gz_off_centre", "composed"
COMPOSED_SCENES = 200
"""Composed scenes, where no other number is asked for."""


@dataclass(frozen=True)
class EvaluationScene:
    """A scene to measure on.

    Attributes:
        situation: name of the set that the frame is of, `OFF_CENTRE` or `COMPOSED`.
        scene: what the network sees.
        complete: whether every visible galaxy is boxed.
        samples: (N) the frame that each of the scene's boxes is of.
    """

    situation: str
    scene: Scene
    complete: bool
    samples: tuple[Sample, ...]

    @property
    def truth(self) -> DetectionTruth:
        """What is in it; a scene without a box, where nothing is ignored either, is known to be without galaxies."""
        empty = not len(self.scene.boxes) and not len(self.scene.ignore)
        return DetectionTruth(self.scene.boxes, self.scene.ignore, self.complete, empty)


class EvaluationScenes:
    """Samples in every situation that they allow, one situation after the other; views are made when iterated.

    Args:
        samples: frames with boxes or known to be without galaxies; others are passed over.
        size: side of the network's input in pixels.
        seed: of the draws.
        most: at most so many views of a situation, by name; all of the others.
    """

    def __init__(self, samples: Sequence[Sample], size: int, seed: int, most: Mapping[str, int] | None = None) -> None:
        most, rng = most or {}, np.random.default_rng([seed, 1])
        self._seed = seed
        self._usable = [
            sample
            for sample in samples
            if sample.kind == "negative" or len(sample.boxes) or (sample.complete and len(sample.ignore))
        ]
        self._maker = SceneGenerator(self._usable, size) if self._usable else None
        names = dict.fromkeys(sample.set for sample in self._usable)
        self._whole = [
            sample
            for name in names
            for sample in _sample_of(rng, [one for one in self._usable if one.set == name], most.get(name))
        ]
        survey = self._maker.survey if self._maker else []
        self._off_centre = _sample_of(rng, survey, most.get(OFF_CENTRE))
        self._composed = most.get(COMPOSED, COMPOSED_SCENES) if survey else 0

    def __len__(self) -> int:
        return len(self._whole) + len(self._off_centre) + self._composed

    def __iter__(self) -> Iterator[EvaluationScene]:
        if not self._maker:
            return
        for sample in self._whole:
            scene = self._maker.whole(sample)
            yield EvaluationScene(
                sample.set, scene, sample.complete or sample.kind == "negative", (sample,) * len(scene.boxes)
            )
        for place, sample in enumerate(self._off_centre):
            scene = self._maker.off_centre(np.random.default_rng([self._seed, 2, place]), sample)
            yield EvaluationScene(OFF_CENTRE, scene, False, (sample,) * len(scene.boxes))
        for place in range(self._composed):
            scene, origins = self._maker.composed(np.random.default_rng([self._seed, 3, place]))
            yield EvaluationScene(COMPOSED, scene, True, tuple(origins))


def _sample_of(rng: np.random.Generator, samples: Sequence[Sample], most: int | None) -> list[Sample]:
    return [samples[place] for place in rng.permutation(len(samples))[:most]]
