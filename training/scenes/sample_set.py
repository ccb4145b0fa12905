"""A small labelled set of drawn galaxies, to try training, export and run with.

Everything in it is drawn by formulas (`drawn_galaxies`), so it may be copied and changed by anybody. A network that
learned from it alone shows that the commands work, not how well a network can do.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...models.labels import CLASSES
from ...runtime.imaging.encoding import encode_image
from ..data.splits import in_share
from ..formats.annotation import AnnotatedDataset, ImageAnnotation
from ..formats.registry import write_labels
from ..formats.writing import ensure_free
from .drawn_galaxies import NOISE, SHAPES, Shape, galaxy_light, stretch_light

SIDE = 160
"""Side of an image in pixels."""
GALAXIES, STAR_FIELDS = 45, 5
GALAXY_SIDES = (56, 128)
"""Smallest and largest side in pixels of the square that a galaxy is drawn in."""
SPLIT_SEED, DETECTOR_SHARE, CLASSIFIER_SHARE = 1, 0.1, 0.12
"""Default seed of the splits, and shares of the held-out images; a test compares them with those of the trainings."""
HELD_OUT, VALIDATION, TRAINING = 0, 1, 2
"""Parts: held out by the detector and test part of the classifier, validation part of the classifier, training."""
FLUX_SHARE = 0.96
"""Share of the light that a box holds along each axis."""


def write_sample_set(out: Path, seed: int = 1, kind: str = "voc") -> AnnotatedDataset:
    """Write 50 images with labels.

    45 show a galaxy, 5 of each class, and 5 stars alone.

    Args:
        out: a folder that does not exist yet, or is empty.
        seed: of the draws; the same seed gives the same images.
        kind: format of the labels, see `formats.registry`.

    Returns:
        The data set that was written.

    Raises:
        WriteError: `out` exists, or cannot be written.
    """
    ensure_free(out)
    with tempfile.TemporaryDirectory() as folder:
        images = []
        for number in range(GALAXIES + STAR_FIELDS):
            name = CLASSES[number % len(CLASSES)] if number < GALAXIES else None
            content, box = _draw_for_part(np.random.default_rng([seed, number]), name, number)
            file = f"{name or 'stars'}-{number + 1:02}.png"
            (Path(folder) / file).write_bytes(content)
            boxes = np.zeros((0, 4)) if box is None else box[None]
            classes = () if name is None else (name,)
            drawn = ImageAnnotation(file, SIDE, SIDE, boxes, classes, np.zeros(len(boxes), bool))
            images.append(replace(drawn, archive=Path(folder), member=file))
        images.sort(key=lambda image: image.file)
        labels = AnnotatedDataset(kind, tuple(images), tuple(CLASSES), listed=tuple(CLASSES))
        write_labels(labels, out, kind)
    return labels


def _draw_for_part(rng: np.random.Generator, name: str | None, number: int) -> tuple[bytes, np.ndarray | None]:
    """Draw an image for the part of the split that its number is meant for.

    A split goes by the hash of the content, and of five images of a class it would often leave a part without any. So
    the noise is drawn again until the hash fits.
    """
    light, box = draw_light(rng, name)
    while True:
        content = encode_image(add_noise(light, rng))
        if _part(hashlib.sha256(content).hexdigest()) == min(number // len(CLASSES), TRAINING):
            return content, box


def _part(digest: str) -> int | None:
    """Return the part of an image by its hash.

    It is one of `HELD_OUT`, `VALIDATION`, `TRAINING`; None between them.
    """
    if in_share(digest, DETECTOR_SHARE, SPLIT_SEED):
        return HELD_OUT
    if in_share(digest, CLASSIFIER_SHARE, SPLIT_SEED):
        return None
    return VALIDATION if in_share(digest, 2 * CLASSIFIER_SHARE, SPLIT_SEED) else TRAINING


def draw_light(rng: np.random.Generator, name: str | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Draw the light of a star field, and in it a galaxy of a class.

    Args:
        rng: of the draws.
        name: one of `CLASSES`; None: stars alone.

    Returns:
        The light (160, 160, 3), of which 1 becomes white, and the galaxy's box (4,) in whole pixels x0, y0, x1, y1;
        None without one.
    """
    light = _stars(rng)
    box = None
    if name:
        side = int(rng.integers(*GALAXY_SIDES, endpoint=True))
        galaxy = galaxy_light(_varied(SHAPES[name], rng), side, rng.uniform(0, 180))
        x, y = rng.integers(0, SIDE - side, 2, endpoint=True)
        light[y : y + side, x : x + side] += galaxy / np.quantile(galaxy, 0.999) * rng.uniform(0.6, 1.0)
        box = _box(galaxy) + np.array([x, y, x, y])
    return light, box


def add_noise(light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an image (160, 160, 3) uint8 RGB of light, with the noise of a sky."""
    return stretch_light(light + rng.normal(0, NOISE * rng.uniform(1, 2.5), light.shape))


def _varied(shape: Shape, rng: np.random.Generator) -> Shape:
    """Change a shape within its class.

    The change is large enough that no two are taken for the same galaxy.
    """
    tilted = shape.pitch or shape == SHAPES["disk_no_spiral"]  # disks are seen at any tilt
    ratio = rng.uniform(0.55, 1.0) if tilted else min(1.0, shape.ratio * rng.uniform(0.92, 1.06))
    bulge = shape.bulge * rng.uniform(0.6, 1.4) if shape.bulge < 1 else 1.0
    return replace(shape, ratio=ratio, bulge=bulge, pitch=shape.pitch * rng.uniform(0.85, 1.15))


def _box(galaxy: np.ndarray) -> np.ndarray:
    """Return the box (4,) that holds `FLUX_SHARE` of the light along each axis."""
    tail = (1 - FLUX_SHARE) / 2
    limits = []
    for axis in (0, 1):  # summed over rows: along x
        light = galaxy.sum(axis=2).sum(axis=axis)
        first, last = np.searchsorted(np.cumsum(light) / light.sum(), (tail, 1 - tail))
        limits.append((first, last + 1))
    (x0, x1), (y0, y1) = limits
    return np.array([x0, y0, x1, y1], float)


def _stars(rng: np.random.Generator) -> np.ndarray:
    """Draw the light (160, 160, 3) of five to fifteen stars."""
    light = np.zeros((SIDE, SIDE, 3))
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for _ in range(rng.integers(5, 15, endpoint=True)):
        x, y = rng.uniform(0, SIDE, 2)
        tint = 1 + rng.normal(0, 0.12, 3)
        profile = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * rng.uniform(0.9, 1.3) ** 2))
        light += profile[..., None] * tint * rng.uniform(0.03, 1.0)
    return light
