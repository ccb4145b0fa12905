"""What an ensemble of larger networks says of the training pictures, for a smaller one to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..models.decode import softmax
from .cache import kept, key_of
from .fit import forward
from .pictures import PictureSet
from .run import RunError, read_record
from .sheets import load_model

SOFTENING = 1.5
"""Divides the logits on top of a teacher's own temperature (Hinton et al. 2015, arXiv:1503.02531): what it finds likely
besides its first choice is what there is to learn."""


def turned(images: np.ndarray) -> list[np.ndarray]:
    """Give pictures (N, S, S, 3) in their eight orientations: turned by quarters, and mirrored."""
    return [np.rot90(some, quarter, axes=(1, 2)) for some in (images, images[:, :, ::-1]) for quarter in range(4)]


def opinion(run: Path, images: np.ndarray, softening: float = 1.0) -> np.ndarray:
    """Average a run's probabilities (N, C) over the eight orientations of pictures (N, S, S, 3) uint8 of its size."""
    look, temperature = forward(load_model(run)), read_record(run)["model"]["decode"]["temperature"]
    return np.mean([softmax(look(some), temperature * softening) for some in turned(images)], axis=0)


def _kept_opinion(run: Path, pictures: PictureSet) -> np.ndarray:
    """Give a run's softened opinion; it is kept, for a large teacher takes minutes and has several pupils."""
    model = read_record(run)["model"]
    side, temperature = model["input"]["width"], model["decode"]["temperature"]
    key = key_of(pictures.ids, pictures.margin, side, temperature, SOFTENING, network=load_model(run))
    return kept("opinion", key, lambda: opinion(run, pictures.images(side), SOFTENING))


def opinions(runs: Sequence[Path], pictures: PictureSet, split: dict[str, Any]) -> np.ndarray:
    """Average the opinions of several runs on pictures: (N, C) float32, rows adding up to 1.

    Where only the coarse group of a picture is known, classes of other groups get none.

    Args:
        runs: finished run folders.
        pictures: the training part of the split.
        split: its record; a teacher that was trained on another split has seen what its pupil is judged on.

    Raises:
        RunError: a run is not finished, or is of another split or other classes.
    """
    total = np.zeros((len(pictures), len(pictures.classes)))
    for run in runs:
        record = read_record(run)
        if "model" not in record:
            raise RunError(f"{run} is not finished: it cannot teach")
        if record["data"]["split"].get("hash") != split["hash"]:
            raise RunError(f"{run} was trained on another split: it may have seen the pictures its pupil is judged on")
        if tuple(record["model"]["classes"]) != pictures.classes:
            raise RunError(f"{run} names other classes")
        total += _kept_opinion(run, pictures)
    allowed = (total + 1e-9) * pictures.targets()
    coarse = pictures.labels < 0
    total[coarse] = allowed[coarse]
    return (total / total.sum(axis=1, keepdims=True)).astype(np.float32)
