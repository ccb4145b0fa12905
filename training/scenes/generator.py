"""The scenes a detector is trained on: real frames moved about, galaxies composed onto star fields, and hard negatives.

Every scene is drawn from one generator, so that a seed and a number name it. numpy, OpenCV and SEP only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from ...models.preprocess import letterbox, resize
from ..data.sample import DataError, Sample
from . import nebulae
from .camera_effects import (
    Rng,
    add_saturated_stars,
    add_small_stars,
    apply_camera_effects,
    mix_channels,
    rotate_randomly,
)
from .close_ups import CLOSE_UPS, cut_out_close_up
from .cutouts import Cutout, cut_out, paste, segment_sources, unboxed_sources

MIXTURE = {
    "survey": 0.11,
    "deepsky": 0.17,
    "composed": 0.13,
    "deep_field": 0.07,
    "mosaic": 0.04,
    "close_up": 0.10,
    "negative": 0.15,
    "stars": 0.13,
    "nebula": 0.10,
}
"""Share of each kind of scene."""

MIN_SIDE, MIN_IGNORED_SIDE = 7.0, 4.0
"""Galaxies under the first, in input pixels, are ignored; under the second not even boxed."""

MIN_VISIBLE_SHARE = 0.4
"""Share of a box that must lie inside a picture for its galaxy to be looked for there."""

COMPOSED_SIDES, DEEP_FIELD_SIDES, CLOSE_UP_SIDES = (0.04, 0.8), (0.018, 0.16), (0.3, 1.2)
"""Smallest and largest side of composed galaxies, as shares of the input's."""


@dataclass(frozen=True)
class Scene:
    """A network input: `image` (size, size, 3) uint8, `boxes` (N, 4) to find, `ignore` (M, 4) to count neither way."""

    image: np.ndarray
    boxes: np.ndarray
    ignore: np.ndarray
    kind: str


def clip_boxes(boxes: np.ndarray, width: float, height: float, visible: float) -> tuple[np.ndarray, np.ndarray]:
    """Clip boxes to a picture.

    Args:
        boxes: (N, 4); visible: share of the area (0..1) that must lie inside.

    Returns:
        boxes seen well enough and those cut off too much, (A, 4) and (B, 4) float32, clipped.
    """
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    clipped = np.clip(boxes, 0, np.array([width, height, width, height], np.float32))
    area = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-6), axis=1)
    inside = np.prod(clipped[:, 2:] - clipped[:, :2], axis=1)
    well = inside >= visible * area
    return clipped[well], clipped[~well & (inside > 0)]


class SceneGenerator:
    """Draws scenes from samples.

    Args:
        samples: galaxies and negatives of one share; frames without a box to find serve only if they are negatives, or
            close-ups of a galaxy, which is then measured.
        size: side of the scenes in pixels.

    Raises:
        DataError: there is nothing to draw from, neither a box nor a frame without galaxies.
    """

    def __init__(self, samples: Sequence[Sample], size: int) -> None:
        self.size = size
        found = [sample for sample in samples if len(sample.boxes)]
        self.survey = [sample for sample in found if not sample.complete]
        self.deepsky = [sample for sample in found if sample.complete]
        bare = [sample for sample in samples if sample.kind == "negative"]
        self.fields = [sample for sample in bare if sample.set == "sdss_starfields"]
        self.negatives = [sample for sample in bare if sample.set != "sdss_starfields"]
        self.close_ups = [sample for sample in samples if sample.set == CLOSE_UPS]
        has = {
            "survey": self.survey,
            "deepsky": self.deepsky,
            "composed": self.survey,
            "deep_field": self.survey,
            "mosaic": found,
            "close_up": self.close_ups,
            "negative": self.negatives,
            "stars": self.fields,
            "nebula": self.fields,
        }
        self.kinds = [kind for kind in MIXTURE if has[kind]]
        if not found and not bare:
            raise DataError("no frame with a usable box, and none that is known to be without galaxies")
        weights = np.array([MIXTURE[kind] for kind in self.kinds])
        self.weights = weights / weights.sum()
        self._frame = lru_cache(maxsize=1500)(lambda sample_key: self._by_key[sample_key].load())
        self._by_key = {(sample.set, sample.file): sample for sample in samples}
        self._cutouts: dict[tuple[str, str], Cutout | None] = {}
        self._close_ups: dict[str, Cutout | None] = {}
        self._ignored: dict[tuple[str, str], np.ndarray] = {}

    def draw(self, rng: Rng, kind: str | None = None, plain: bool = False) -> Scene:
        """Draw a scene, of a given kind or of any; `plain` leaves out the camera's changes."""
        kind = kind or str(rng.choice(self.kinds, p=self.weights))
        image, boxes, ignore = getattr(self, f"_{kind}")(rng)
        image, boxes, ignore = rotate_randomly(rng, image, boxes, ignore)
        sides = np.max(boxes[:, 2:] - boxes[:, :2], axis=1, initial=0)
        ignore = np.concatenate([ignore, boxes[(sides < MIN_SIDE) & (sides >= MIN_IGNORED_SIDE)]])
        image = np.clip(image, 0, 255).astype(np.uint8) if plain else apply_camera_effects(rng, image)
        return Scene(image, boxes[sides >= MIN_SIDE], ignore, kind)

    def whole(self, sample: Sample) -> Scene:
        """Fit a whole frame into the input, as it is."""
        image = self._load(sample)
        picture, boxes, ignore = self._window(sample, image, (0, 0), image.shape[1::-1], self.size)
        return Scene(picture, boxes, ignore, sample.set)

    def off_centre(self, rng: Rng, sample: Sample) -> Scene:
        """Show one of a frame's galaxies anywhere in the input, whole, at 0.12 to 0.8 of its side."""
        image, boxes, ignore = self._off_centre(rng, sample, self.size, (0.12 * self.size, 0.8 * self.size))
        return Scene(image, boxes, ignore, "off_centre")

    def composed(self, rng: Rng) -> tuple[Scene, list[Sample]]:
        """Compose galaxies of 0.04 to 0.8 of the input onto a sky, and tell of which frame each was."""
        canvas, boxes, samples = self._compose(rng, int(rng.integers(1, 7)), COMPOSED_SIDES)
        seen = [bool(len(clip_boxes(box, self.size, self.size, MIN_VISIBLE_SHARE)[0])) for box in boxes]
        image = np.clip(canvas, 0, 255).astype(np.uint8)
        scene = Scene(image, *clip_boxes(boxes, self.size, self.size, MIN_VISIBLE_SHARE), "composed")
        return scene, [sample for sample, whole in zip(samples, seen, strict=True) if whole]

    def _load(self, sample: Sample) -> np.ndarray:
        # Survey frames are many and decode quickly; the others are few, large, and used again and again.
        return sample.load() if sample.set == "gz_frames" else self._frame((sample.set, sample.file))

    def _known(self, sample: Sample, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return a frame's boxes, and what is to be ignored in it: of a survey frame, the unboxed neighbours too."""
        key = (sample.set, sample.file)
        if key not in self._ignored:
            extra = (
                np.zeros((0, 4), np.float32)
                if sample.complete
                else unboxed_sources(segment_sources(image), sample.boxes)
            )
            self._ignored[key] = np.concatenate([sample.ignore, extra])
        return sample.boxes, self._ignored[key]

    def _window(
        self, sample: Sample, image: np.ndarray, corner: Sequence[float], side: Sequence[float], size: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Cut a window (x, y; width, height in frame pixels) and fit it into a square of `size`."""
        x0, y0 = (max(0, int(value)) for value in corner)
        part = image[y0 : y0 + max(8, int(side[1])), x0 : x0 + max(8, int(side[0]))]
        boxes, ignore = self._known(sample, image)
        shift = np.array([x0, y0, x0, y0], np.float32)
        seen, cut = clip_boxes(boxes - shift, part.shape[1], part.shape[0], MIN_VISIBLE_SHARE)
        shade, more = clip_boxes(ignore - shift, part.shape[1], part.shape[0], 0.0)
        canvas, scale = letterbox(part, size, size)
        factors = np.array([*scale, *scale], np.float32)
        return canvas, seen * factors, np.concatenate([cut, shade, more]) * factors

    def _off_centre(self, rng: Rng, sample: Sample, size: int, sides: tuple[float, float]) -> tuple[np.ndarray, ...]:
        """Cut a window in which one of the frame's galaxies has a side drawn from `sides` (input pixels), anywhere."""
        image = self._load(sample)
        height, width = image.shape[:2]
        box = sample.boxes[rng.integers(len(sample.boxes))]
        wanted = np.exp(rng.uniform(np.log(sides[0]), np.log(sides[1])))
        # At most twice enlarged: more would only show interpolation.
        side = np.clip(max(box[2:] - box[:2]) * size / wanted, size / 2, max(height, width))
        side = np.minimum(side * np.exp(rng.uniform(-0.12, 0.12, 2)), (width, height))
        low = np.clip(box[2:] - side, 0, (width, height) - side)  # windows that hold the whole box
        high = np.clip(box[:2], 0, (width, height) - side)
        return self._window(sample, image, low + rng.random(2) * (high - low), side, size)

    def _pick(self, rng: Rng, samples: Sequence[Sample]) -> Sample:
        return samples[int(rng.integers(len(samples)))]

    def _survey(self, rng: Rng) -> tuple[np.ndarray, ...]:
        return self._off_centre(rng, self._pick(rng, self.survey), self.size, (0.12 * self.size, 0.8 * self.size))

    def _deepsky(self, rng: Rng) -> tuple[np.ndarray, ...]:
        sample = self._pick(rng, self.deepsky)
        draw = rng.random()
        if draw < 0.55:
            return self._off_centre(rng, sample, self.size, (0.06 * self.size, 0.85 * self.size))
        image = self._load(sample)
        if draw < 0.8:
            return self._window(sample, image, (0, 0), image.shape[1::-1], self.size)
        # The frame smaller than the input, somewhere on a black ground, as textures fade to black.
        inner = int(self.size * rng.uniform(0.4, 0.95))
        small, boxes, ignore = self._window(sample, image, (0, 0), image.shape[1::-1], inner)
        x, y = (int(value) for value in rng.integers(0, self.size - inner + 1, 2))
        canvas = np.zeros((self.size, self.size, 3), np.uint8)
        canvas[y : y + inner, x : x + inner] = small
        shift = np.array([x, y, x, y], np.float32)
        return canvas, boxes + shift, ignore + shift

    def _mosaic(self, rng: Rng) -> tuple[np.ndarray, ...]:
        count = int(rng.integers(2, 4))
        step = self.size // count
        canvas = np.zeros((self.size, self.size, 3), np.uint8)
        boxes, ignore = [np.zeros((0, 4), np.float32)], [np.zeros((0, 4), np.float32)]
        sets = [part for part in (self.survey, self.deepsky) if part]
        for cell in range(count * count):
            x, y = cell % count * step, cell // count * step
            if self.fields and rng.random() < 0.25:
                canvas[y : y + step, x : x + step] = resize(self._load(self._pick(rng, self.fields)), step, step)
                continue
            sample = self._pick(rng, sets[int(rng.integers(len(sets)))])
            tile, *found = self._off_centre(rng, sample, step, (0.1 * step, 0.7 * step))
            canvas[y : y + step, x : x + step] = tile
            for known, more in zip((boxes, ignore), found, strict=True):
                known.append(more + np.array([x, y, x, y], np.float32))
        return canvas, np.concatenate(boxes), np.concatenate(ignore)

    def _bare(self, rng: Rng) -> np.ndarray:
        """Pick a real frame of a nebula or cluster, half of the times in other hues."""
        image = self._load(self._pick(rng, self.negatives))
        return mix_channels(rng, image) if rng.random() < 0.5 else image

    def _negative(self, rng: Rng) -> tuple[np.ndarray, ...]:
        none = np.zeros((0, 4), np.float32)
        image = self._bare(rng)
        share = 1.0 if rng.random() < 0.4 else rng.uniform(0.3, 1.0)
        side = np.array(image.shape[1::-1]) * share
        x, y = (rng.random(2) * (np.array(image.shape[1::-1]) - side)).astype(int)
        part = image[y : y + max(8, int(side[1])), x : x + max(8, int(side[0]))]
        inner = self.size if rng.random() < 0.7 else int(self.size * rng.uniform(0.4, 1.0))
        canvas = np.zeros((self.size, self.size, 3), np.uint8)
        at_x, at_y = (int(value) for value in rng.integers(0, self.size - inner + 1, 2))
        canvas[at_y : at_y + inner, at_x : at_x + inner] = letterbox(part, inner, inner)[0]
        return canvas, none, none

    def _ground(self, rng: Rng) -> np.ndarray:
        """Draw a sky without galaxies: (size, size, 3) float32."""
        draw = rng.random()
        if self.fields and draw < 0.4:
            return resize(self._load(self._pick(rng, self.fields)), self.size, self.size).astype(np.float32)
        if self.fields and draw < 0.65:
            half = self.size // 2
            tiles = [resize(self._load(self._pick(rng, self.fields)), half, half) for _ in range(4)]
            whole = np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])])
            return resize(whole, self.size, self.size).astype(np.float32)
        if self.negatives and draw < 0.8:
            return self._negative(rng)[0].astype(np.float32) * np.float32(rng.uniform(0.5, 1.0))
        canvas = np.full((self.size, self.size, 3), rng.uniform(2, 30), np.float32)
        add_small_stars(rng, canvas, int(rng.integers(0, 60)))
        return canvas + rng.normal(0, rng.uniform(1, 5), canvas.shape).astype(np.float32)

    def _distract(self, rng: Rng, canvas: np.ndarray, count: int) -> None:
        """Add what is taken for galaxies: saturated stars, drawn nebulae and real ones cut out of photographs."""
        for _ in range(count):
            draw = rng.random()
            if draw < 0.35:
                self._add_stars(rng, canvas)
                continue
            if draw < 0.7 or not self.negatives:
                self._add_nebula(rng, canvas)
                continue
            side = int(np.exp(rng.uniform(np.log(0.05 * self.size), np.log(0.6 * self.size))))
            x, y = (int(value) for value in rng.integers(0, self.size - side + 1, 2))
            canvas[y : y + side, x : x + side] += self._real_light(rng, side) * np.float32(rng.uniform(0.5, 1.1))

    def _real_light(self, rng: Rng, side: int) -> np.ndarray:
        """Take the light of a real nebula or cluster, turned, stretched and in other hues, to be added to a sky.

        Returns:
            (side, side, 3) float32 levels, faded to nothing at the rim.
        """
        image = self._bare(rng)
        # Between the corners of the picture and its middle half there is more than one nebula to be seen.
        matrix = _random_matrix(rng, 0.25) / rng.uniform(0.6, 1.4)
        middle = np.full(2, (side - 1) / 2)
        small = cv2.warpAffine(
            letterbox(image, side, side)[0],
            np.column_stack([matrix, middle - matrix @ middle]),
            (side, side),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
        ).astype(np.float32)
        small = np.maximum(small - np.percentile(small, 30), 0)
        axis = np.linspace(-1, 1, side, dtype=np.float32)
        small *= np.clip(2.2 - 2.2 * np.hypot(axis[None], axis[:, None]), 0, 1)[..., None]
        return small

    def _add_stars(self, rng: Rng, canvas: np.ndarray) -> None:
        """Add an overexposed star, or two or three close together, or the many of a cluster or the Milky Way."""
        reach, draw = np.exp(rng.uniform(np.log(4), np.log(0.35 * self.size))), rng.random()
        if draw < 0.5:
            add_saturated_stars(rng, canvas, reach)
        elif draw < 0.75:
            add_saturated_stars(rng, canvas, reach, int(rng.integers(2, 4)), reach * rng.uniform(0.1, 1.0))
        else:
            add_saturated_stars(rng, canvas, min(reach, 0.15 * self.size), int(rng.integers(4, 20)))

    def _add_nebula(self, rng: Rng, canvas: np.ndarray) -> None:
        """Add a drawn nebula, cluster or group of stars, up to one that fills the picture."""
        light = nebulae.draw_nebula(rng, int(np.exp(rng.uniform(np.log(0.08), np.log(1.3))) * self.size))
        side = light.shape[0]
        _add_light(canvas, light, *(int(value) for value in rng.integers(-side // 4, self.size - 3 * side // 4 + 1, 2)))

    def _stars(self, rng: Rng) -> tuple[np.ndarray, ...]:
        none = np.zeros((0, 4), np.float32)
        canvas = self._ground(rng)
        if rng.random() < 0.7:
            self._distract(rng, canvas, int(rng.integers(1, 6)))
        return canvas, none, none

    def _nebula(self, rng: Rng) -> tuple[np.ndarray, ...]:
        """Draw what a telescope shows that is pointed at a nebula or cluster: one that fills much of the picture."""
        none = np.zeros((0, 4), np.float32)
        canvas = self._ground(rng)
        side = int(np.exp(rng.uniform(np.log(0.3), np.log(1.6))) * self.size)
        light = self._real_light(rng, side) if self.negatives and rng.random() < 0.4 else nebulae.draw_nebula(rng, side)
        side = light.shape[0]
        middle = (0.5 + rng.uniform(-0.25, 0.25, 2)) * self.size
        _add_light(canvas, light * np.float32(rng.uniform(0.7, 1.6)), *(int(at - side / 2) for at in middle))
        return canvas, none, none

    def _cutout(self, rng: Rng) -> tuple[Cutout, Sample] | None:
        for _ in range(5):
            sample = self._pick(rng, self.survey)
            key = (sample.set, sample.file)
            if key not in self._cutouts:
                image = sample.load()
                parts = segment_sources(image)
                self._cutouts[key] = cut_out(image, sample.boxes[0], parts)
                self._ignored.setdefault(key, np.concatenate([sample.ignore, unboxed_sources(parts, sample.boxes)]))
            if (cutout := self._cutouts[key]) is not None:
                return cutout, sample
        return None

    def _compose(self, rng: Rng, count: int, sides: tuple[float, float]) -> tuple[np.ndarray, np.ndarray, list[Sample]]:
        """Compose galaxies with sides as shares of the input: canvas, boxes (N, 4) not clipped, frames they are of."""
        canvas = self._ground(rng)
        if rng.random() < 0.5:
            self._distract(rng, canvas, int(rng.integers(1, 4)))
        boxes = np.zeros((0, 4), np.float32)
        samples: list[Sample] = []
        for _ in range(count):
            drawn = self._cutout(rng)
            if drawn is None:
                continue
            cutout, sample = drawn
            wanted = self.size * np.exp(rng.uniform(np.log(sides[0]), np.log(sides[1])))
            scale = min(1.4, wanted / max(cutout.box[2:] - cutout.box[:2]))
            matrix = _random_matrix(rng) * scale
            centre = tuple(rng.uniform(0.02, 0.98, 2) * self.size)
            low, high = np.array(centre) - 0.35 * wanted, np.array(centre) + 0.35 * wanted
            if np.any(((boxes[:, :2] < high) & (boxes[:, 2:] > low)).all(axis=1)):
                continue  # galaxies on top of one another have no separate boxes
            gain = 1.0 if cutout.light.max() < 90 else np.exp(rng.uniform(np.log(0.45), np.log(1.2)))
            boxes = np.concatenate([boxes, paste(canvas, cutout, centre, matrix, gain)[None]])
            samples.append(sample)
        return canvas, boxes, samples

    def _composed(self, rng: Rng) -> tuple[np.ndarray, ...]:
        canvas, boxes, _ = self._compose(rng, int(rng.integers(1, 7)), COMPOSED_SIDES)
        return canvas, *clip_boxes(boxes, self.size, self.size, MIN_VISIBLE_SHARE)

    def _close_up(self, rng: Rng) -> tuple[np.ndarray, ...]:
        """Compose a galaxy that fills much of the picture, as nearby ones do in a telescope's."""
        canvas = self._ground(rng)
        if rng.random() < 0.3:
            self._distract(rng, canvas, 1)
        for _ in range(5):
            sample = self._pick(rng, self.close_ups)
            if sample.file not in self._close_ups:
                self._close_ups[sample.file] = cut_out_close_up(sample.load())
            if (cutout := self._close_ups[sample.file]) is not None:
                break
        else:
            return canvas, np.zeros((0, 4), np.float32), np.zeros((0, 4), np.float32)
        wanted = self.size * np.exp(rng.uniform(*np.log(CLOSE_UP_SIDES)))
        matrix = _random_matrix(rng) * wanted / max(cutout.box[2:] - cutout.box[:2])
        spread = max(0.1, 0.5 - 0.4 * wanted / self.size)  # the larger, the nearer to the middle
        centre = tuple((0.5 + rng.uniform(-spread, spread, 2)) * self.size)
        box = paste(canvas, cutout, centre, matrix, np.exp(rng.uniform(np.log(0.6), np.log(2.0))))
        return canvas, *clip_boxes(box, self.size, self.size, MIN_VISIBLE_SHARE)

    def _deep_field(self, rng: Rng) -> tuple[np.ndarray, ...]:
        canvas, boxes, _ = self._compose(rng, int(rng.integers(8, 40)), DEEP_FIELD_SIDES)
        return canvas, *clip_boxes(boxes, self.size, self.size, MIN_VISIBLE_SHARE)


def _add_light(canvas: np.ndarray, light: np.ndarray, x: int, y: int) -> None:
    """Add light to a canvas, in place, its corner at (x, y), which may lie outside."""
    height, width = canvas.shape[:2]
    left, top = max(0, x), max(0, y)
    part = light[top - y : height - y, left - x : width - x]
    canvas[top : top + part.shape[0], left : left + part.shape[1]] += part


def _random_matrix(rng: Rng, most: float = 0.08) -> np.ndarray:
    """Draw a turn, a mirroring and a little stretch, of so much at most: (2, 2)."""
    angle, mirror = rng.uniform(0, 2 * np.pi), rng.choice([-1, 1])
    stretch = np.diag(np.exp(rng.uniform(-most, most, 2)))
    turn_by = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return turn_by @ stretch @ np.diag([mirror, 1.0])
