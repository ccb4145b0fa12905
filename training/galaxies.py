"""What a galaxy classifier learns from: targets, the split by content, and how often each picture is drawn."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from ..models.labels import CLASSES, COARSE, coarse_of
from ..models.preprocess import crop, resize
from .data import DataError, Sample, data_hash, in_share

GROUPS = np.array([[coarse_of(name) == group for name in CLASSES] for group in COARSE], np.float32)
"""(4, 9): which classes make up each coarse group."""

CREDITS = {
    "efigi": "EFIGI: Baillard et al. 2011, A&A 532, A74",
    "gz_frames": "Galaxy Zoo 2: Willett et al. 2013, MNRAS 435, 2835",
}
CALIBRATION_IMAGES = 300
COARSE_WEIGHT = 0.5
"""Weight of pictures with a coarse label only, in drawing what to train on."""


def network_input(image: np.ndarray, boxes: np.ndarray, margin: float, size: int) -> np.ndarray:
    """Cut what the network sees of a labelled picture: the crop of its box, or all of it when it has none."""
    return crop(image, boxes[0], margin, size) if len(boxes) else resize(image, size, size)


def targets_of(sample: Sample) -> np.ndarray | None:
    """Mark the classes that a sample's label allows: (9,) float32 of 0 and 1, or None without a usable label."""
    if sample.label >= 0:
        return np.eye(len(CLASSES), dtype=np.float32)[sample.label]
    return GROUPS[COARSE.index(sample.coarse)] if sample.coarse in COARSE else None


def split(samples: list[Sample], share: float, seed: int) -> tuple[list[Sample], list[Sample], dict[str, Any]]:
    """Part the labelled samples by content into training and, for about `share` (0..1) of them, validation.

    Returns:
        the training samples, with a class or a coarse group; the validation samples, with a class; the data record.

    Raises:
        DataError: either share has no picture with a class.
    """
    used = [sample for sample in samples if targets_of(sample) is not None]
    digests = [sample.digest() for sample in used]
    held = [in_share(digest, share, seed) for digest in digests]
    train = [sample for sample, out in zip(used, held, strict=True) if not out]
    # What only has a coarse label can teach, but the nine classes cannot be scored on it.
    validation = [sample for sample, out in zip(used, held, strict=True) if out and sample.label >= 0]
    if not validation or not any(sample.label >= 0 for sample in train):
        raise DataError(f"{len(used)} labelled pictures are too few to train on and to validate with")
    sets = Counter(sample.set for sample in used)
    record = {
        "hash": data_hash(digests),
        "sets": dict(sets),
        "split": {"seed": seed, "validation_share": share,
                  "train": len(train), "validation": len(validation)},
        "sources": [CREDITS[name] for name in sorted(sets) if name in CREDITS] + ["images: Sloan Digital Sky Survey"],
    }
    return train, validation, record


def draw_weights(samples: list[Sample]) -> np.ndarray:
    """Weigh samples for drawing: (N,) adding up to 1, each class as the square root of its count."""
    kinds = [sample.label if sample.label >= 0 else sample.coarse for sample in samples]
    counts = Counter(kinds)
    weights = np.array([(1.0 if isinstance(kind, int) else COARSE_WEIGHT) / counts[kind] ** 0.5 for kind in kinds])
    return weights / weights.sum()


def pick_calibration(samples: list[Sample], rng: np.random.Generator) -> list[Sample]:
    """Draw at most `CALIBRATION_IMAGES` samples, as equally from the classes as their counts allow."""
    order = [samples[index] for index in rng.permutation(len(samples)) if samples[index].label >= 0]
    seen: Counter[int] = Counter()
    ranks = []
    for sample in order:
        ranks.append(seen[sample.label])
        seen[sample.label] += 1
    return [order[index] for index in np.argsort(ranks, kind="stable")[:CALIBRATION_IMAGES]]
