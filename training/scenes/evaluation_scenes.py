"""Scenes for evaluating a detector: real frames and rearranged galaxies.

The same galaxies are shown as they are, off centre, and composed into other skies.

A constant box in the middle scores well on survey frames because they are centred. It fails where the same galaxies
are off centre, among others, or where there are none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...models.detection_metrics import DetectionTruth
from ...models.preprocess import resize
from ..data.sample import Sample
from ..data.splits import in_first_half
from .frames import FrameCache
from .generator import Scene, SceneGenerator
from .swallowed import has_swallowed

OFF_CENTRE, COMPOSED = "gz_off_centre", "composed"
SITUATIONS = {
    "gz_frames": "Galaxy Zoo frames",
    OFF_CENTRE: "the same, off centre",
    COMPOSED: "composed scenes",
    "deepsky_frames": "deep-sky photographs",
    "lco_messier": "LCO frames",
    "sdss_starfields": "star fields",
}
"""Titles of the situations, in the order of tables."""
COMPOSED_SCENES = 200
"""Default number of composed scenes."""
DRAWN_SIDE = 320
"""Side in pixels at which off-centre and composed scenes are drawn. They are then scaled to the network's input, so
that networks of all input sizes are measured on the same galaxies at the same places."""


@dataclass(frozen=True)
class EvaluationScene:
    """A scene to evaluate on.

    Attributes:
        situation: name of the frame's data set, `OFF_CENTRE` or `COMPOSED`.
        scene: the network input and its boxes.
        complete: whether every visible galaxy is boxed.
        samples: the N frames that the scene's boxes come from.
        selects: whether the operating threshold is chosen on the scene, which is not measured at that threshold then.
    """

    situation: str
    scene: Scene
    complete: bool
    samples: tuple[Sample, ...]
    selects: bool

    @property
    def truth(self) -> DetectionTruth:
        """The ground truth.

        A scene without boxes and without ignored boxes is known to be without galaxies.
        """
        empty = not len(self.scene.boxes) and not len(self.scene.ignore)
        return DetectionTruth(self.scene.boxes, self.scene.ignore, self.complete, empty)


class EvaluationScenes:
    """Scenes of samples in every situation that the samples allow.

    One situation follows the other. Scenes are generated while iterating, the same ones each time, for every size.

    Composed scenes for choosing a threshold and those for measuring at it are made of different frames, where both
    halves have galaxies to compose.

    Args:
        samples: frames with boxes or known to be without galaxies; others, and survey frames whose box holds another
            object too (`swallowed`), are skipped.
        size: side of the network's input in pixels.
        seed: of the random draws.
        limits: maximum number of scenes by situation; situations not listed are unlimited.

    Attributes:
        swallowed: number of survey frames that are skipped because their box holds another object too.
    """

    def __init__(
        self, samples: Sequence[Sample], size: int, seed: int, limits: Mapping[str, int] | None = None
    ) -> None:
        limits, rng = limits or {}, np.random.default_rng([seed, 1])
        self._seed, self._size = seed, size
        self.swallowed = sum(has_swallowed(sample) for sample in samples)
        usable = [
            sample
            for sample in samples
            if not has_swallowed(sample)
            and (sample.kind == "negative" or len(sample.boxes) or (sample.complete and len(sample.ignore)))
        ]
        names = dict.fromkeys(sample.set for sample in usable)
        self._whole = [
            sample
            for name in names
            for sample in _sample_of(
                rng, [candidate for candidate in usable if candidate.set == name], limits.get(name)
            )
        ]
        self._usable, self._cache = usable, FrameCache(usable)
        self._frames = SceneGenerator(usable, size, frames=self._cache) if usable else None
        self._drawn = SceneGenerator(usable, DRAWN_SIDE, frames=self._cache) if usable else None
        survey = self._drawn.survey if self._drawn else []
        self._off_centre = _sample_of(rng, survey, limits.get(OFF_CENTRE))
        self._composed = limits.get(COMPOSED, COMPOSED_SCENES) if survey else 0

    def __len__(self) -> int:
        return len(self._whole) + len(self._off_centre) + self._composed

    def __iter__(self) -> Iterator[EvaluationScene]:
        if not self._frames or not self._drawn:
            return
        for sample in self._whole:
            scene = self._frames.whole(sample)
            complete = sample.complete or sample.kind == "negative"
            yield EvaluationScene(sample.set, scene, complete, (sample,) * len(scene.boxes), _selects(sample))
        for index, sample in enumerate(self._off_centre):
            scene = self._scale(self._drawn.off_centre(np.random.default_rng([self._seed, 2, index]), sample))
            yield EvaluationScene(OFF_CENTRE, scene, False, (sample,) * len(scene.boxes), _selects(sample))
        for index in range(self._composed):
            selects = index % 2 == 0
            half = self._halves[selects] or self._drawn
            scene, origins = half.composed(np.random.default_rng([self._seed, 3, index]))
            yield EvaluationScene(COMPOSED, self._scale(scene), True, tuple(origins), selects)

    @cached_property
    def _halves(self) -> dict[bool, SceneGenerator | None]:
        """Generators of composed scenes, by whether a threshold is chosen on them.

        None for a half that has no galaxy to compose.
        """
        halves = {}
        for selects in (True, False):
            half = [sample for sample in self._usable if _selects(sample) == selects]
            composable = any(len(sample.boxes) and not sample.complete for sample in half)
            halves[selects] = SceneGenerator(half, DRAWN_SIDE, frames=self._cache) if composable else None
        return halves

    def _scale(self, scene: Scene) -> Scene:
        """Scale a scene of `DRAWN_SIDE` pixels to the network's input."""
        if self._size == DRAWN_SIDE:
            return scene
        factor = np.float32(self._size / DRAWN_SIDE)
        image = resize(scene.image, self._size, self._size)
        return Scene(image, scene.boxes * factor, scene.ignore * factor, scene.kind)


def _selects(sample: Sample) -> bool:
    """Return whether the operating threshold is chosen on a held-out frame.

    It is chosen on half of the frames, which are selected by their content.
    """
    return in_first_half(sample.digest())


def _sample_of(rng: np.random.Generator, samples: Sequence[Sample], limit: int | None) -> list[Sample]:
    return [samples[index] for index in rng.permutation(len(samples))[:limit]]
