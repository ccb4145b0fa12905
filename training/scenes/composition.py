"""Compose scenes of skies, galaxies and objects that resemble galaxies.

The galaxies are cut out of real frames.

numpy, OpenCV and SEP only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ...models.preprocess import letterbox, resize
from ..data.sample import Sample
from . import nebulae
from .camera_effects import Rng, add_saturated_stars, add_small_stars, mix_channels
from .close_ups import cut_out_close_up
from .cutouts import Cutout, cut_out, paste, segment_sources
from .frames import FrameCache

CLOSE_UP_SIDES = (0.3, 1.2)
"""Smallest and largest side of a close-up galaxy, as shares of the input's."""

MAX_CUTOUT_ATTEMPTS = 5
"""Number of frames to try before a galaxy is skipped, because not every galaxy can be cut out."""


class SceneComposer:
    """A composer of scenes, which draws skies and pastes galaxies onto them.

    Args:
        size: side of the scenes in pixels.
        frames: loads the samples.
        survey: frames with a box, of which galaxies are cut out.
        close_ups: images that a galaxy fills.
        fields: star fields without galaxies; may be empty.
        negatives: other frames without galaxies; may be empty.

    Attributes:
        close_up_samples, negatives: as given for `close_ups` and `negatives`.
    """

    def __init__(
        self,
        size: int,
        frames: FrameCache,
        survey: Sequence[Sample],
        close_ups: Sequence[Sample],
        fields: Sequence[Sample],
        negatives: Sequence[Sample],
    ) -> None:
        self.size, self._frames = size, frames
        self._survey, self.close_up_samples = survey, close_ups
        self._fields, self.negatives = fields, negatives
        self._cutouts: dict[tuple[Path, str], Cutout | None] = {}
        self._close_ups: dict[tuple[Path, str], Cutout | None] = {}

    def sky(self, rng: Rng) -> np.ndarray:
        """Draw a sky without galaxies: (size, size, 3) float32."""
        draw = rng.random()
        if self._fields and draw < 0.4:
            return self._field(rng, self.size).astype(np.float32)
        if self._fields and draw < 0.65:
            tiles = [self._field(rng, self.size // 2) for _ in range(4)]
            mosaic = np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])])
            return resize(mosaic, self.size, self.size).astype(np.float32)
        if self.negatives and draw < 0.8:
            return self.negative(rng).astype(np.float32) * np.float32(rng.uniform(0.5, 1.0))
        canvas = np.full((self.size, self.size, 3), rng.uniform(2, 30), np.float32)
        add_small_stars(rng, canvas, int(rng.integers(0, 60)))
        noise: np.ndarray = rng.normal(0, rng.uniform(1, 5), canvas.shape).astype(np.float32)
        return np.asarray(canvas + noise)

    def negative(self, rng: Rng) -> np.ndarray:
        """Draw a part of a real frame without galaxies.

        Returns (size, size, 3) uint8; the part may be smaller than that, on black.
        """
        image = self._negative_frame(rng)
        share = 1.0 if rng.random() < 0.4 else rng.uniform(0.3, 1.0)
        side = np.array(image.shape[1::-1]) * share
        x, y = (rng.random(2) * (np.array(image.shape[1::-1]) - side)).astype(int)
        window = image[y : y + max(8, int(side[1])), x : x + max(8, int(side[0]))]
        inner = self.size if rng.random() < 0.7 else int(self.size * rng.uniform(0.4, 1.0))
        canvas = np.zeros((self.size, self.size, 3), np.uint8)
        left, top = (int(value) for value in rng.integers(0, self.size - inner + 1, 2))
        canvas[top : top + inner, left : left + inner] = letterbox(window, inner, inner)[0]
        return canvas

    def stars(self, rng: Rng) -> np.ndarray:
        """Draw a sky, mostly with distractors: (size, size, 3) float32."""
        canvas = self.sky(rng)
        if rng.random() < 0.7:
            self._add_distractors(rng, canvas, int(rng.integers(1, 6)))
        return canvas

    def nebula(self, rng: Rng) -> np.ndarray:
        """Draw a nebula or cluster that fills much of the image: (size, size, 3) float32."""
        canvas = self.sky(rng)
        side = int(np.exp(rng.uniform(np.log(0.3), np.log(1.6))) * self.size)
        is_real = self.negatives and rng.random() < 0.4
        light = self.real_light(rng, side) if is_real else nebulae.draw_nebula(rng, side)
        side = light.shape[0]
        middle = (0.5 + rng.uniform(-0.25, 0.25, 2)) * self.size
        x, y = (int(value - side / 2) for value in middle)
        _add_light(canvas, light * np.float32(rng.uniform(0.7, 1.6)), x, y)
        return canvas

    def galaxies(self, rng: Rng, count: int, sides: tuple[float, float]) -> tuple[np.ndarray, np.ndarray, list[Sample]]:
        """Compose galaxies onto a sky.

        Args:
            count: galaxies to try; those that would overlap another, or cannot be cut out, are left out.
            sides: range of their sides, as shares of the input's.

        Returns:
            canvas (size, size, 3) float32, boxes (N, 4) not clipped, and the N samples they were cut out of.
        """
        canvas = self.sky(rng)
        if rng.random() < 0.5:
            self._add_distractors(rng, canvas, int(rng.integers(1, 4)))
        boxes = np.zeros((0, 4), np.float32)
        samples: list[Sample] = []
        for _ in range(count):
            drawn = self.draw_cutout(rng)
            if drawn is None:
                continue
            cutout, sample = drawn
            side = self.size * np.exp(rng.uniform(np.log(sides[0]), np.log(sides[1])))
            scale = min(1.4, side / max(cutout.box[2:] - cutout.box[:2]))
            matrix = random_matrix(rng) * scale
            centre = rng.uniform(0.02, 0.98, 2) * self.size
            low, high = centre - 0.35 * side, centre + 0.35 * side
            if np.any(((boxes[:, :2] < high) & (boxes[:, 2:] > low)).all(axis=1)):
                continue  # overlapping galaxies have no separate boxes
            gain = 1.0 if cutout.light.max() < 90 else np.exp(rng.uniform(np.log(0.45), np.log(1.2)))
            boxes = np.concatenate([boxes, paste(canvas, cutout, (centre[0], centre[1]), matrix, gain)[None]])
            samples.append(sample)
        return canvas, boxes, samples

    def draw_close_up(self, rng: Rng) -> Cutout | None:
        """Draw a close-up and cut its galaxy out; None if that is not possible."""
        sample = pick(rng, self.close_up_samples)
        if sample.location not in self._close_ups:
            self._close_ups[sample.location] = cut_out_close_up(sample.load())
        return self._close_ups[sample.location]

    def close_up(self, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
        """Compose a scene with a galaxy that fills much of the image.

        Nearby galaxies do so in telescopes.

        Returns:
            canvas (size, size, 3) float32 and boxes (N, 4) not clipped; N is 0 where no galaxy could be cut out.
        """
        canvas = self.sky(rng)
        if rng.random() < 0.3:
            self._add_distractors(rng, canvas, 1)
        drawn = (self.draw_close_up(rng) for _ in range(MAX_CUTOUT_ATTEMPTS))
        cutout = next((cutout for cutout in drawn if cutout is not None), None)
        if cutout is None:
            return canvas, np.zeros((0, 4), np.float32)
        side = self.size * np.exp(rng.uniform(*np.log(CLOSE_UP_SIDES)))
        matrix = random_matrix(rng) * side / max(cutout.box[2:] - cutout.box[:2])
        spread = max(0.1, 0.5 - 0.4 * side / self.size)  # larger galaxies lie nearer to the middle
        centre = (0.5 + rng.uniform(-spread, spread, 2)) * self.size
        gain = np.exp(rng.uniform(np.log(0.6), np.log(2.0)))
        return canvas, paste(canvas, cutout, (centre[0], centre[1]), matrix, gain)[None]

    def _field(self, rng: Rng, side: int) -> np.ndarray:
        return resize(self._frames.load(pick(rng, self._fields)), side, side)

    def _negative_frame(self, rng: Rng) -> np.ndarray:
        """Load a real frame of a nebula or cluster, half of the time in other hues."""
        image = self._frames.load(pick(rng, self.negatives))
        return mix_channels(rng, image) if rng.random() < 0.5 else image

    def draw_cutout(self, rng: Rng) -> tuple[Cutout, Sample] | None:
        """Cut a galaxy out of a random survey frame.

        The result is None if the galaxies of several frames cannot be cut out.
        """
        for _ in range(MAX_CUTOUT_ATTEMPTS):
            sample = pick(rng, self._survey)
            key = sample.location
            if key not in self._cutouts:
                image = sample.load()
                segments = segment_sources(image)
                self._cutouts[key] = cut_out(image, sample.boxes[0], segments)
                self._frames.add_segments(sample, segments)
            if (cutout := self._cutouts[key]) is not None:
                return cutout, sample
        return None

    def _add_distractors(self, rng: Rng, canvas: np.ndarray, count: int) -> None:
        """Add `count` objects that resemble galaxies, in place.

        They are saturated stars, drawn nebulae, and real nebulae and clusters cut out of photographs.
        """
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
            canvas[y : y + side, x : x + side] += self.real_light(rng, side) * np.float32(rng.uniform(0.5, 1.1))

    def _add_stars(self, rng: Rng, canvas: np.ndarray) -> None:
        """Add overexposed stars: one, a close group, or many as in a cluster."""
        reach, draw = np.exp(rng.uniform(np.log(4), np.log(0.35 * self.size))), rng.random()
        if draw < 0.5:
            add_saturated_stars(rng, canvas, reach)
        elif draw < 0.75:
            add_saturated_stars(rng, canvas, reach, int(rng.integers(2, 4)), reach * rng.uniform(0.1, 1.0))
        else:
            add_saturated_stars(rng, canvas, min(reach, 0.15 * self.size), int(rng.integers(4, 20)))

    def _add_nebula(self, rng: Rng, canvas: np.ndarray) -> None:
        """Add a drawn nebula, cluster or group of stars, up to larger than the image."""
        light = nebulae.draw_nebula(rng, int(np.exp(rng.uniform(np.log(0.08), np.log(1.3))) * self.size))
        side = light.shape[0]
        x, y = (int(value) for value in rng.integers(-side // 4, self.size - 3 * side // 4 + 1, 2))
        _add_light(canvas, light, x, y)

    def real_light(self, rng: Rng, side: int) -> np.ndarray:
        """Return the light of a real nebula or cluster, randomly transformed.

        It is rotated and stretched, and half of the time its hues are changed.

        Returns:
            (side, side, 3) float32 levels to add to a sky, 0 at the rim.
        """
        image = self._negative_frame(rng)
        # From the complete image to its middle half: each scale shows another part of the nebula.
        matrix = random_matrix(rng, 0.25) / rng.uniform(0.6, 1.4)
        middle = np.full(2, (side - 1) / 2)
        light = cv2.warpAffine(
            letterbox(image, side, side)[0],
            np.column_stack([matrix, middle - matrix @ middle]),
            (side, side),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
        ).astype(np.float32)
        light = np.maximum(light - np.percentile(light, 30), 0)
        axis = np.linspace(-1, 1, side, dtype=np.float32)
        light *= np.clip(2.2 - 2.2 * np.hypot(axis[None], axis[:, None]), 0, 1)[..., None]
        return np.asarray(light)


def pick(rng: Rng, samples: Sequence[Sample]) -> Sample:
    """Draw a random sample."""
    return samples[int(rng.integers(len(samples)))]


def _add_light(canvas: np.ndarray, light: np.ndarray, x: int, y: int) -> None:
    """Add light to a canvas in place, its corner at (x, y), which may lie outside."""
    height, width = canvas.shape[:2]
    left, top = max(0, x), max(0, y)
    inside = light[top - y : height - y, left - x : width - x]
    canvas[top : top + inside.shape[0], left : left + inside.shape[1]] += inside


def random_matrix(rng: Rng, max_stretch: float = 0.08) -> np.ndarray:
    """Draw a rotation, a reflection and a stretch of up to exp(max_stretch): (2, 2)."""
    angle, mirror = rng.uniform(0, 2 * np.pi), rng.choice([-1, 1])
    stretch = np.diag(np.exp(rng.uniform(-max_stretch, max_stretch, 2)))
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix: np.ndarray = rotation @ stretch @ np.diag([mirror, 1.0])
    return matrix
