"""What an ensemble of larger networks says of the training pictures, for a smaller one to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...models.decode import softmax
from ..cache import cache_key, cached_array
from ..figures.explain import load_model
from ..progress import Report
from ..run import RunError, read_record
from .dataset import GalaxyDataset
from .validation import compile_forward

SOFTENING_FACTOR = 1.5
"""Divides the logits on top of a teacher's own temperature (Hinton et al. 2015, arXiv:1503.02531): what it finds likely
besides its first choice is what there is to learn."""


def orientations(images: np.ndarray) -> list[np.ndarray]:
    """Give pictures (N, S, S, 3) in their eight orientations: turned by quarters, and mirrored."""
    return [np.rot90(some, quarter, axes=(1, 2)) for some in (images, images[:, :, ::-1]) for quarter in range(4)]


class Teacher:
    """A finished run that is asked what it thinks of pictures.

    Attributes:
        name: of the run.
        side: of its input in pixels.

    Raises:
        RunError: the run is not finished.
    """

    def __init__(self, run: Path) -> None:
        record = read_record(run)
        if not record.is_finished:
            raise RunError(f"{run} is not finished: it cannot teach")
        model = record.model
        self.name, self.record, self.side = run.name, record, model["input"]["width"]
        self.temperature = model["decode"]["temperature"]
        self.network = load_model(run)
        self._look = compile_forward(self.network)

    def predict(self, images: np.ndarray, softening: float = 1.0) -> np.ndarray:
        """Average its probabilities (N, C) over the eight orientations of pictures (N, S, S, 3) uint8 of its size."""
        heat = self.temperature * softening
        return np.mean([softmax(self._look(some), heat) for some in orientations(images)], axis=0)

    def soft_targets(self, pictures: GalaxyDataset) -> np.ndarray:
        """Give its softened opinion on pictures, (N, C); it is kept, for a large network takes long over it."""
        asked = (pictures.ids, pictures.margin, self.side, self.temperature, SOFTENING_FACTOR)
        return cached_array(
            "opinion",
            cache_key(*asked, network=self.network),
            lambda: self.predict(pictures.images(self.side), SOFTENING_FACTOR).astype(np.float32),
        )


def average_soft_targets(
    runs: Sequence[Path], pictures: GalaxyDataset, split: dict[str, Any], report: Report | None = None
) -> np.ndarray:
    """Average the opinions of several runs on pictures: (N, C) float32, rows adding up to 1.

    Where only the coarse group of a picture is known, classes of other groups get none. (Opinions on the very views
    that a pupil sees, of which only some dozens can be asked for, taught less than these with views without number.)

    Args:
        runs: finished run folders.
        pictures: the training part of the split.
        split: its record; a teacher that was trained on another split has seen what its pupil is judged on.
        report: told how far it is, see `progress.Report`.

    Raises:
        RunError: a run is not finished, or is of another split or other classes.
    """
    teachers = [Teacher(run) for run in runs]
    for run, one in zip(runs, teachers, strict=True):
        if one.record.data["split"].get("hash") != split["hash"]:
            raise RunError(f"{run} was trained on another split: it may have seen the pictures its pupil is judged on")
        if tuple(one.record.model["classes"]) != pictures.classes:
            raise RunError(f"{run} names other classes")
    total = np.zeros((len(pictures), len(pictures.classes)))
    for number, one in enumerate(teachers):
        if report:
            report({"label": f"asking {one.name}", "epoch": number + 1, "epochs": len(teachers)})
        total += one.soft_targets(pictures)
    coarse = pictures.labels < 0
    total[coarse] = (total[coarse] + 1e-9) * pictures.targets()[coarse]
    return (total / total.sum(axis=1, keepdims=True)).astype(np.float32)
