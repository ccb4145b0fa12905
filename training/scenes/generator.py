"""Draw the detector's training scenes.

They are shifted real frames, galaxies composed onto skies, and hard negatives.

Every scene is drawn from one random generator, so that a seed and a number identify it. numpy, OpenCV and SEP only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ...models.preprocess import letterbox, resize
from ..data.errors import DataError
from ..data.sample import Sample
from .camera_effects import Rng, apply_camera_effects, rotate_randomly
from .close_ups import CLOSE_UPS
from .composition import SceneComposer, pick
from .frames import FrameCache
from .mixture import MIXTURE
from .swallowed import has_swallowed

MIN_SIDE, MIN_IGNORED_SIDE = 7.0, 4.0
"""Galaxies smaller than the first, in input pixels, are ignored; smaller than the second, not even boxed."""

MIN_VISIBLE_SHARE = 0.4
"""Share of a box that must lie inside an image for its galaxy to be searched for there."""

COMPOSED_SIDES, DEEP_FIELD_SIDES = (0.04, 0.8), (0.018, 0.16)
"""Smallest and largest side of composed galaxies, as shares of the input's."""

NO_BOXES = np.zeros((0, 4), np.float32)

Boxed = tuple[np.ndarray, np.ndarray, np.ndarray]
"""An image, the boxes to find (N, 4) and the boxes to ignore (M, 4)."""


@dataclass(frozen=True)
class Scene:
    """A network input.

    Attributes:
        image: (size, size, 3) uint8 RGB.
        boxes: (N, 4) float32 to find.
        ignore: (M, 4) float32 that count neither as found nor as missed.
        kind: kind of scene, or the data set of a whole frame.
    """

    image: np.ndarray
    boxes: np.ndarray
    ignore: np.ndarray
    kind: str


def clip_boxes(boxes: np.ndarray, width: float, height: float, visible: float) -> tuple[np.ndarray, np.ndarray]:
    """Clip boxes to an image.

    Args:
        boxes: (N, 4).
        visible: share of the area (0..1) that must lie inside.

    Returns:
        sufficiently visible boxes (A, 4) and those cut off too much (B, 4), float32, clipped.
    """
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    clipped = np.clip(boxes, 0, np.array([width, height, width, height], np.float32))
    area = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-6), axis=1)
    inside = np.prod(clipped[:, 2:] - clipped[:, :2], axis=1)
    kept = inside >= visible * area
    return clipped[kept], clipped[~kept & (inside > 0)]


class SceneSource(Protocol):
    """A source of scenes: a `SceneGenerator`, or a mixture of it and others."""

    size: int
    kinds: list[str]

    def draw(self, rng: Rng, kind: str | None = None) -> Scene:
        """Draw a scene of a given kind, or of a random one."""

    def whole(self, sample: Sample) -> Scene:
        """Fit a whole frame into the input, unchanged."""


class SceneGenerator:
    """A generator of training scenes from samples.

    Args:
        samples: galaxies and negatives of one share of a split. Frames without a box are used only if they are
            negatives or close-ups of a galaxy, which is then measured.
        size: side of the scenes in pixels.
        shares: of some kinds of scenes, in place of those of `MIXTURE`, see `mixture.check_shares`. The others keep
            their proportions.
        frames: a cache of the samples that is used by other generators too.

    Attributes:
        kinds: the kinds of scenes that the samples allow.
        composer: draws skies and composed galaxies.

    Raises:
        DataError: there is neither a box nor a frame without galaxies, or the shares do not fit the samples.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        size: int,
        shares: Mapping[str, float] | None = None,
        frames: FrameCache | None = None,
    ) -> None:
        self.size = size
        boxed = [sample for sample in samples if len(sample.boxes) and not has_swallowed(sample)]
        self.survey = [sample for sample in boxed if not sample.complete]
        self.deepsky = [sample for sample in boxed if sample.complete]
        empty = [sample for sample in samples if sample.kind == "negative"]
        self.fields = [sample for sample in empty if sample.set == "sdss_starfields"]
        negatives = [sample for sample in empty if sample.set != "sdss_starfields"]
        close_ups = [sample for sample in samples if sample.set == CLOSE_UPS]
        self._frames = frames or FrameCache(samples)
        self.composer = SceneComposer(size, self._frames, self.survey, close_ups, self.fields, negatives)
        drawable: dict[str, tuple[Callable[[Rng], Boxed], list[Sample]]] = {
            "survey": (self._survey, self.survey),
            "deepsky": (self._deepsky, self.deepsky),
            "composed": (self._composed, self.survey),
            "deep_field": (self._deep_field, self.survey),
            "mosaic": (self._mosaic, boxed),
            "close_up": (self._close_up, close_ups),
            "negative": (lambda rng: (self.composer.negative(rng), NO_BOXES, NO_BOXES), negatives),
            "stars": (lambda rng: (self.composer.stars(rng), NO_BOXES, NO_BOXES), self.fields),
            "nebula": (lambda rng: (self.composer.nebula(rng), NO_BOXES, NO_BOXES), self.fields),
        }
        self._draw = {kind: drawable[kind][0] for kind in MIXTURE}
        self.kinds = [kind for kind in MIXTURE if drawable[kind][1]]
        if not boxed and not empty:
            raise DataError("no frame has a usable box or is known to be without galaxies: add labelled frames")
        self.weights = self._shares(shares or {})

    def _shares(self, given: Mapping[str, float]) -> np.ndarray:
        """Return the share of each of `kinds`; their sum is 1.

        Raises:
            DataError: the samples do not allow a kind with a given share, or only kinds with a share of 0.
        """
        for kind, share in given.items():
            if share > 0 and kind not in self.kinds:
                raise DataError(f"a share of {kind} scenes is given, but there are no images for them")
        weights = np.array([given.get(kind, MIXTURE[kind]) for kind in self.kinds])
        others = np.array([kind not in given for kind in self.kinds])
        if others.any():
            weights[others] *= (1 - weights[~others].sum()) / weights[others].sum()
        if weights.sum() <= 0:
            raise DataError("all kinds of scenes that the images allow have a share of 0")
        shares: np.ndarray = weights / weights.sum()
        return shares

    def draw(self, rng: Rng, kind: str | None = None, plain: bool = False) -> Scene:
        """Draw a scene of a given kind, or of a random one.

        `plain` omits the camera effects.
        """
        kind = kind or str(rng.choice(self.kinds, p=self.weights))
        image, boxes, ignore = rotate_randomly(rng, *self._draw[kind](rng))
        sides = np.max(boxes[:, 2:] - boxes[:, :2], axis=1, initial=0)
        ignore = np.concatenate([ignore, boxes[(sides < MIN_SIDE) & (sides >= MIN_IGNORED_SIDE)]])
        image = np.clip(image, 0, 255).astype(np.uint8) if plain else apply_camera_effects(rng, image)
        return Scene(image, boxes[sides >= MIN_SIDE], ignore, kind)

    def whole(self, sample: Sample) -> Scene:
        """Fit a whole frame into the input, unchanged."""
        image = self._frames.load(sample)
        return Scene(*self._window(sample, image, (0, 0), image.shape[1::-1], self.size), sample.set)

    def off_centre(self, rng: Rng, sample: Sample) -> Scene:
        """Draw a part of a frame with a complete galaxy at a random position.

        The galaxy's side is 0.12 to 0.8 of the input's.
        """
        return Scene(*self._off_centre(rng, sample, self.size, (0.12, 0.8)), "off_centre")

    def composed(self, rng: Rng) -> tuple[Scene, list[Sample]]:
        """Compose galaxies with 0.04 to 0.8 of the input's side onto a sky.

        Returns the scene, and the frame from which the galaxy of each box was cut out.
        """
        canvas, boxes, samples = self.composer.galaxies(rng, int(rng.integers(1, 7)), COMPOSED_SIDES)
        visible = [bool(len(self._clip(box)[0])) for box in boxes]
        scene = Scene(np.clip(canvas, 0, 255).astype(np.uint8), *self._clip(boxes), "composed")
        return scene, [sample for sample, shown in zip(samples, visible, strict=True) if shown]

    def _clip(self, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return clip_boxes(boxes, self.size, self.size, MIN_VISIBLE_SHARE)

    def _window(
        self, sample: Sample, image: np.ndarray, corner: Sequence[float], side: Sequence[float], size: int
    ) -> Boxed:
        """Cut a window out of a frame and fit it into a square of `size` pixels.

        `corner` is (x, y) and `side` is (width, height), in pixels of the frame.
        """
        x0, y0 = (max(0, int(value)) for value in corner)
        window = image[y0 : y0 + max(8, int(side[1])), x0 : x0 + max(8, int(side[0]))]
        shift = np.array([x0, y0, x0, y0], np.float32)
        seen, cut = clip_boxes(sample.boxes - shift, window.shape[1], window.shape[0], MIN_VISIBLE_SHARE)
        ignored = clip_boxes(self._frames.ignored(sample, image) - shift, window.shape[1], window.shape[0], 0.0)
        canvas, scale = letterbox(window, size, size)
        factors = np.array([*scale, *scale], np.float32)
        return canvas, seen * factors, np.concatenate([cut, *ignored]) * factors

    def _off_centre(self, rng: Rng, sample: Sample, size: int, sides: tuple[float, float]) -> Boxed:
        """Cut a window around a random galaxy of a frame.

        The galaxy's side in the result is drawn from `sides`, as shares of `size`.
        """
        image = self._frames.load(sample)
        height, width = image.shape[:2]
        box = sample.boxes[rng.integers(len(sample.boxes))]
        wanted = np.exp(rng.uniform(np.log(sides[0] * size), np.log(sides[1] * size)))
        # Enlarge by at most two: more would only show interpolation.
        side = np.clip(max(box[2:] - box[:2]) * size / wanted, size / 2, max(height, width))
        side = np.minimum(side * np.exp(rng.uniform(-0.12, 0.12, 2)), (width, height))
        low = np.clip(box[2:] - side, 0, (width, height) - side)  # windows that hold the whole box
        high = np.clip(box[:2], 0, (width, height) - side)
        return self._window(sample, image, low + rng.random(2) * (high - low), side, size)

    def _survey(self, rng: Rng) -> Boxed:
        return self._off_centre(rng, pick(rng, self.survey), self.size, (0.12, 0.8))

    def _deepsky(self, rng: Rng) -> Boxed:
        """Draw a window, the whole, or a reduced copy of a deep-sky frame."""
        sample = pick(rng, self.deepsky)
        draw = rng.random()
        if draw < 0.55:
            return self._off_centre(rng, sample, self.size, (0.06, 0.85))
        image = self._frames.load(sample)
        if draw < 0.8:
            return self._window(sample, image, (0, 0), image.shape[1::-1], self.size)
        # The frame smaller than the input, at a random position on black, as textures fade to black.
        inner = int(self.size * rng.uniform(0.4, 0.95))
        small, boxes, ignore = self._window(sample, image, (0, 0), image.shape[1::-1], inner)
        x, y = (int(value) for value in rng.integers(0, self.size - inner + 1, 2))
        canvas = np.zeros((self.size, self.size, 3), np.uint8)
        canvas[y : y + inner, x : x + inner] = small
        shift = np.array([x, y, x, y], np.float32)
        return canvas, boxes + shift, ignore + shift

    def _mosaic(self, rng: Rng) -> Boxed:
        """Draw a grid of 2x2 or 3x3 windows of frames and of star fields."""
        count = int(rng.integers(2, 4))
        step = self.size // count
        canvas = np.zeros((self.size, self.size, 3), np.uint8)
        boxes, ignore = [NO_BOXES], [NO_BOXES]
        sets = [samples for samples in (self.survey, self.deepsky) if samples]
        for cell in range(count * count):
            x, y = cell % count * step, cell // count * step
            if self.fields and rng.random() < 0.25:
                field = self._frames.load(pick(rng, self.fields))
                canvas[y : y + step, x : x + step] = resize(field, step, step)
                continue
            sample = pick(rng, sets[int(rng.integers(len(sets)))])
            tile, tile_boxes, tile_ignore = self._off_centre(rng, sample, step, (0.1, 0.7))
            canvas[y : y + step, x : x + step] = tile
            shift = np.array([x, y, x, y], np.float32)
            boxes.append(tile_boxes + shift)
            ignore.append(tile_ignore + shift)
        return canvas, np.concatenate(boxes), np.concatenate(ignore)

    def _composed(self, rng: Rng) -> Boxed:
        canvas, boxes, _ = self.composer.galaxies(rng, int(rng.integers(1, 7)), COMPOSED_SIDES)
        return canvas, *self._clip(boxes)

    def _deep_field(self, rng: Rng) -> Boxed:
        canvas, boxes, _ = self.composer.galaxies(rng, int(rng.integers(8, 40)), DEEP_FIELD_SIDES)
        return canvas, *self._clip(boxes)

    def _close_up(self, rng: Rng) -> Boxed:
        canvas, boxes = self.composer.close_up(rng)
        return canvas, *self._clip(boxes)
