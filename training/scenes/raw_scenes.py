"""Draw scenes that imitate raw exposures.

They show galaxies on real and drawn skies in linear light, or are hard negatives.

Light is in units of the noise of a pixel until the stretch of the front end converts it to levels. A scene has the
scale of a tile of a large frame, one pixel per superpixel, or is reduced two or four times like a whole frame. numpy
and OpenCV only.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ...models.preprocess import letterbox
from ...models.raw.background import Background
from ...models.raw.front_end import FrameLevels, measure, stretch_planes
from ..data.sample import Sample
from . import nebulae
from .camera_effects import Rng, add_saturated_stars, rotate_randomly
from .composition import random_matrix
from .cutouts import Cutout, paste
from .generator import MIN_IGNORED_SIDE, MIN_SIDE, MIN_VISIBLE_SHARE, Scene, SceneGenerator, clip_boxes
from .linear_light import destretched, point_spread, sersic, stars
from .raw_sky import RawSky
from .sensor_model import SensorModel, draw_sensor

VIEWS = {1: 0.66, 2: 0.26, 4: 0.08}
"""Factors by which scenes are reduced, and the share of scenes of each."""
KINDS = {"raw_galaxies": 0.64, "raw_nebula": 0.18, "raw_stars": 0.18}
SIDES = (7.0, 125.0)
"""Sides of galaxies in pixels of the input."""
FOUND, LOST = 18.0, 6.0
"""Minimum signal-to-noise ratio of a galaxy's total light to be found, and to be ignored; fainter ones are sky."""
_STRENGTH = (0.0, 6.5)
_WEIGHTS = {nebulae.planetary_nebula: 0.6, nebulae.hazy_stars: 2.0}


class RawSceneGenerator:
    """A generator of scenes that imitate raw exposures.

    Args:
        generator: whose galaxies and nebulae are used, see `generator.SceneGenerator`.
        skies: real skies in linear light, without galaxies; drawn ones are used as well.
    """

    def __init__(self, generator: SceneGenerator, skies: Sequence[RawSky] = ()) -> None:
        self._generator, self._skies, self.size = generator, list(skies), generator.size
        self.composer = generator.composer

    def draw(self, rng: Rng, kind: str | None = None, view: int | None = None) -> Scene:
        """Draw a scene; kind (of `KINDS`) and view (of `VIEWS`) are random if None."""
        kind = kind or str(rng.choice(list(KINDS), p=list(KINDS.values())))
        view = view or int(rng.choice(list(VIEWS), p=list(VIEWS.values())))
        side = self.size * view
        shape = (side, side) if view < 4 else (int(side * rng.uniform(0.5, 0.75)), side)
        sensor = draw_sensor(rng)
        light, share = self._sky(rng, shape, sensor)
        boxes, signal = np.zeros((0, 4), np.float32), np.zeros(0)
        if kind == "raw_galaxies":
            if rng.random() < 0.4:
                self._distract(rng, light, view)
            boxes, signal = self._add_galaxies(rng, light, view, sensor)
        elif kind == "raw_nebula" and rng.random() < 0.35:
            self._add_veiled_star(rng, light, view)
        elif kind == "raw_nebula":
            self._add_nebula(rng, light, np.exp(rng.uniform(np.log(0.12), np.log(1.4))))
        if kind != "raw_galaxies" and rng.random() < 0.6:
            self._distract(rng, light, view)
        image = self._develop(rng, sensor.expose(rng, light, share), sensor, bool(share < 1))
        image, scale = letterbox(image, self.size, self.size)
        seen, cut = clip_boxes(boxes, shape[1], shape[0], MIN_VISIBLE_SHARE)
        inside = np.array([len(clip_boxes(box, shape[1], shape[0], MIN_VISIBLE_SHARE)[0]) > 0 for box in boxes], bool)
        factors = np.array([*scale, *scale], np.float32)
        return self._sort(rng, image, seen * factors, signal[inside], cut * factors, kind)

    def _sort(
        self, rng: Rng, image: np.ndarray, boxes: np.ndarray, signal: np.ndarray, cut: np.ndarray, kind: str
    ) -> Scene:
        """Create a scene; galaxies too faint, too small or cut off are to be ignored."""
        longest = np.max(boxes[:, 2:] - boxes[:, :2], axis=1, initial=0)
        found = (signal >= FOUND) & (longest >= MIN_SIDE)
        ignored = ~found & (signal >= LOST) & (longest >= MIN_IGNORED_SIDE)
        image, keep, ignore = rotate_randomly(rng, image, boxes[found], np.concatenate([cut, boxes[ignored]]))
        return Scene(image, keep, ignore, kind)

    def _sky(self, rng: Rng, shape: tuple[int, int], sensor: SensorModel) -> tuple[np.ndarray, float]:
        """Draw a sky (H, W, 3) float32 in sigma, and return the noise to add to it.

        The latter is a share: 0 for a real sky, which has its own noise, and 1 for a drawn one.
        """
        if self._skies and rng.random() < 0.4:
            sky = self._skies[int(rng.integers(len(self._skies)))]
            depth = 1 if rng.random() < 0.5 else int(rng.integers(2, 17))
            part = sky.cut(rng, *shape, depth)
            if part is not None:
                return part, 0.0
        light = stars(rng, *shape)
        if rng.random() < 0.3:  # remainder of a gradient after subtracting the background model
            x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :, None]
            y = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None, None]
            slope = rng.normal(0, 0.25, (3, 3)).astype(np.float32)
            light += slope[0] * x + slope[1] * y + slope[2] * x * y
        return light, 1.0

    def _distract(self, rng: Rng, light: np.ndarray, view: int) -> None:
        """Add small distractors in place: saturated stars, groups, nebulae, clusters."""
        for _ in range(int(rng.integers(1, 4))):
            draw = rng.random()
            if draw < 0.2:
                self._add_veiled_star(rng, light, view)
            elif draw < 0.5:
                canvas: np.ndarray = np.zeros_like(light)
                reach = np.exp(rng.uniform(np.log(3), np.log(60))) * view
                single = rng.random() < 0.5
                count, max_distance = (1, None) if single else (int(rng.integers(2, 9)), reach * rng.uniform(0.1, 1))
                add_saturated_stars(rng, canvas, reach, count, max_distance)
                light += canvas * np.float32(np.exp(rng.uniform(np.log(0.05), np.log(8))))
            elif draw < 0.65:
                self._add_group(rng, light, view)
            else:
                self._add_nebula(rng, light, np.exp(rng.uniform(np.log(0.04), np.log(0.3))))

    def _add_group(self, rng: Rng, light: np.ndarray, view: int) -> None:
        """Add two to six stars that nearly touch, in place."""
        side = 24 * view
        points: np.ndarray = np.zeros((2 * side, 2 * side, 3), np.float32)
        spread = rng.uniform(1, 5) * view
        for _ in range(int(rng.integers(2, 7))):
            x, y = np.clip(rng.normal(side, spread, 2), 4, 2 * side - 5).astype(int)
            points[y, x] += np.float32(np.exp(rng.uniform(np.log(30), np.log(3000))))
        _add(rng, light, point_spread(points, rng.uniform(0.6, 1.5)))

    def _add_veiled_star(self, rng: Rng, light: np.ndarray, view: int) -> None:
        """Add one to three bright stars that light faint dust around them, in place."""
        side = max(16, min(int(np.exp(rng.uniform(np.log(24), np.log(170))) * view), int(0.8 * min(light.shape[:2]))))
        x, y = (axis.astype(np.float32) for axis in np.meshgrid(*[np.linspace(-1, 1, side)] * 2))
        off = rng.normal(0, 0.15, 2)
        radius = np.hypot(x - off[0], (y - off[1]) / rng.uniform(0.6, 1.0))
        dust = np.exp(-((radius / rng.uniform(0.3, 0.7)) ** rng.uniform(0.7, 2.5))).astype(np.float32)
        if rng.random() < 0.7:
            dust *= 0.3 + 1.4 * nebulae.turbulence(rng, side, rng.uniform(0.4, 0.65))
        dust *= np.clip(3 - 3 * np.hypot(x, y), 0, 1)
        hue = np.exp(rng.normal([-0.15, 0, 0.2], 0.15)).astype(np.float32)
        part = (dust * np.float32(np.exp(rng.uniform(np.log(0.5), np.log(15)))))[..., None] * hue
        points: np.ndarray = np.zeros_like(part)
        for number in range(1 if rng.random() < 0.65 else int(rng.integers(2, 4))):
            at = np.clip(side / 2 + rng.normal(0, 0.03 + 0.12 * (number > 0), 2) * side, 1, side - 2).astype(int)
            points[at[1], at[0]] += np.float32(np.exp(rng.uniform(np.log(300), np.log(30_000)))) * np.sqrt(hue)
        _add(rng, light, part + point_spread(points, rng.uniform(0.6, 1.8)))

    def _add_nebula(self, rng: Rng, light: np.ndarray, share: float) -> None:
        """Add a drawn or real nebula or cluster, a `share` of the scene's side, in place."""
        side = max(24, int(share * min(light.shape[:2])))
        drawn = min(side, 360)
        if self.composer.negatives and rng.random() < 0.3:
            part = self.composer.real_light(rng, drawn)
            if rng.random() < 0.7:
                strength = rng.uniform(1, 5)
                part = 255 * np.sinh(strength * np.minimum(part / 255, 1.5)) / np.float32(np.sinh(strength))
        else:
            kinds = [
                kind for kind, min_side in nebulae.MIN_SIDES.items() if drawn >= min_side or kind is nebulae.hazy_stars
            ]
            weights = np.array([_WEIGHTS.get(kind, 1.0) for kind in kinds] or [1.0])
            kind = (kinds or [nebulae.planetary_nebula])[int(rng.choice(len(weights), p=weights / weights.sum()))]
            part = kind(rng, max(drawn, nebulae.MIN_SIDES[kind]))
        if part.shape[0] > side:
            part = cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA)
        if part.shape[0] < side:
            part = cv2.resize(part, (side, side), interpolation=cv2.INTER_LINEAR)
        bright = np.maximum(part.mean(axis=2), 0)
        level = float(bright[bright > 0.3 * np.percentile(bright, 98)].mean()) if bright.max() > 0 else 1.0
        _add(rng, light, part * np.float32(np.exp(rng.uniform(np.log(0.8), np.log(80))) / max(level, 1e-6)))

    def _add_galaxies(
        self, rng: Rng, light: np.ndarray, view: int, sensor: SensorModel
    ) -> tuple[np.ndarray, np.ndarray]:
        """Add up to five galaxies, in place.

        Returns their boxes (N, 4), not clipped, and their signal-to-noise ratios (N,).
        """
        height, width = light.shape[:2]
        boxes, signals = np.zeros((0, 4), np.float32), []
        for _ in range(int(rng.choice([1, 1, 1, 2, 2, 3, 4, 5]))):
            wanted = float(np.exp(rng.uniform(np.log(SIDES[0]), np.log(SIDES[1])))) * view
            if rng.random() < 0.06:
                wanted = float(rng.uniform(0.5, 1.1)) * min(height, width)
            cutout = self._galaxy(rng, wanted)
            if cutout is None:
                continue
            centre = tuple(rng.uniform(0.03, 0.97, 2) * (width, height))
            low, high = np.array(centre) - 0.4 * wanted, np.array(centre) + 0.4 * wanted
            if np.any(((boxes[:, :2] < high) & (boxes[:, 2:] > low)).all(axis=1)):
                continue
            box, signal = _lay(rng, light, cutout, centre, wanted, view)
            boxes = np.concatenate([boxes, box[None]])
            signals.append(signal)
        return boxes, np.array(signals)

    def _galaxy(self, rng: Rng, wanted: float) -> Cutout | None:
        """Draw a galaxy with a side of `wanted` pixels: a model or a real one.

        A real one is a close-up or cut out of a labelled frame, and its stretch is undone. None if none could be cut
        out.
        """
        draw = rng.random()
        if draw < 0.45 or not self._generator.survey:
            return sersic(rng, min(wanted, 160.0))
        strength = rng.uniform(*_STRENGTH)
        if draw < 0.7 and wanted > 20 and self.composer.close_up_samples:
            cutout = self.composer.draw_close_up(rng)
        else:
            cutout = (self.composer.draw_cutout(rng) or (None, None))[0]
        return destretched(cutout, strength) if cutout is not None else None

    def _develop(self, rng: Rng, linear: np.ndarray, sensor: SensorModel, real: bool) -> np.ndarray:
        """Stretch a linear image as the front end of the runtime does."""
        planes = list(cv2.split(linear))
        if sensor.mono:
            planes = planes[:1]
        if not real and rng.random() < 0.12:
            return stretch_planes(planes, measure(planes))
        shift = rng.normal(0, 0.06, len(planes))
        factor = rng.uniform(0.88, 1.05)
        if real and rng.random() < 0.5:
            planes = planes[:: 1 if rng.random() < 0.5 else -1]
        skies = tuple(Background(np.array([value, 0.0, 0, 0, 0, 0]), 1.0) for value in shift)
        return stretch_planes(planes, FrameLevels(skies, (float(factor),) * len(planes), "noise"))


def _lay(
    rng: Rng, light: np.ndarray, cutout: Cutout, centre: tuple[float, float], wanted: float, view: int
) -> tuple[np.ndarray, float]:
    """Add a galaxy of random brightness, in place.

    Returns its box and the signal-to-noise ratio of its total light.

    The mean light in the inner half of its box is 0.4 to 60 sigma per pixel; small galaxies are brighter, because the
    same mean over fewer pixels is harder to detect.
    """
    scale = wanted / max(cutout.box[2:] - cutout.box[:2])
    reach = int(np.hypot(*cutout.light.shape[:2]) * scale * 0.6) + 2
    x, y = int(centre[0]), int(centre[1])
    left, top = max(0, x - reach), max(0, y - reach)
    region = light[top : y + reach, left : x + reach]
    canvas: np.ndarray = np.zeros_like(region)
    box = paste(canvas, cutout, (centre[0] - left, centre[1] - top), random_matrix(rng) * scale, 1.0)
    x0, y0, x1, y1 = (round(float(value)) for value in box)
    box = box + np.array([left, top, left, top], np.float32)
    grey = canvas[max(0, y0) : max(1, y1), max(0, x0) : max(1, x1)].mean(axis=2)
    if not grey.size or grey.max() <= 0:
        return box, 0.0
    bright = grey[grey >= np.percentile(grey, 60)]
    boost = max(1.0, 24.0 * view / wanted) / view
    level = np.exp(rng.uniform(np.log(0.5), np.log(40))) * boost
    factor = np.float32(level / max(float(bright.mean()), 1e-9))
    region += factor * canvas
    return box, float(factor * np.sqrt((grey.astype(np.float64) ** 2).sum()))


def _add(rng: Rng, light: np.ndarray, part: np.ndarray) -> None:
    """Add light at a random position, in place; at most half of it lies outside."""
    height, width = light.shape[:2]
    side_y, side_x = part.shape[:2]
    y = int(rng.integers(-side_y // 2, height - side_y // 2 + 1))
    x = int(rng.integers(-side_x // 2, width - side_x // 2 + 1))
    piece = part[max(0, -y) : height - y, max(0, -x) : width - x]
    light[max(0, y) : max(0, y) + piece.shape[0], max(0, x) : max(0, x) + piece.shape[1]] += piece


class MixedScenes:
    """A source of a random mixture of raw-like and processed scenes.

    Args:
        share: of raw-like scenes, 0..1.
    """

    def __init__(self, generator: SceneGenerator, raw: RawSceneGenerator, share: float) -> None:
        self._processed, self._raw, self._share = generator, raw, share
        self.size, self.kinds = generator.size, [*generator.kinds, *KINDS]

    def draw(self, rng: Rng, kind: str | None = None) -> Scene:
        """Draw a scene, of a given kind or of any."""
        raw = kind in KINDS if kind else rng.random() < self._share
        return self._raw.draw(rng, kind) if raw else self._processed.draw(rng, kind)

    def whole(self, sample: Sample) -> Scene:
        """Fit a whole frame into the input, see `SceneGenerator.whole`."""
        return self._processed.whole(sample)
