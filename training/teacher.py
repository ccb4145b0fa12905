"""What an ensemble of larger networks says of the training pictures, for a smaller one to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..models.decode import softmax
from ..models.preprocess import resize
from .cache import kept, key_of
from .feed import numbered_view
from .fit import forward
from .pictures import PictureSet
from .progress import Report
from .recipe import Recipe
from .run import RunError, read_record
from .sheets import load_model

SOFTENING = 1.5
"""Divides the logits on top of a teacher's own temperature (Hinton et al. 2015, arXiv:1503.02531): what it finds likely
besides its first choice is what there is to learn."""

VIEWS_TAUGHT = 24
"""Views of each picture that a teacher is asked about, and that its pupils see."""


def turned(images: np.ndarray) -> list[np.ndarray]:
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
        if "model" not in record:
            raise RunError(f"{run} is not finished: it cannot teach")
        model = record["model"]
        self.name, self.record, self.side = run.name, record, model["input"]["width"]
        self.temperature = model["decode"]["temperature"]
        self.network = load_model(run)
        self._look = forward(self.network)

    def opinion(self, images: np.ndarray, softening: float = 1.0) -> np.ndarray:
        """Average its probabilities (N, C) over the eight orientations of pictures (N, S, S, 3) uint8 of its size."""
        heat = self.temperature * softening
        return np.mean([softmax(self._look(some), heat) for some in turned(images)], axis=0)

    def opinion_on_views(
        self, pictures: PictureSet, recipe: Recipe, views: int, report: Report | None = None
    ) -> np.ndarray:
        """Give its softened probabilities (V, N, C) for the numbered views that a recipe shows, one by one.

        A pupil of another size shows its own views; they are brought to this one's size.
        """
        canvases, found = pictures.canvases(), []
        for number in range(views):
            shown = [numbered_view(recipe, canvas, number, index) for index, canvas in enumerate(canvases)]
            looked = self._look(np.stack([resize(view, self.side, self.side) for view in shown]))
            found.append(softmax(looked, self.temperature * SOFTENING))
            if report:
                report({"label": f"asking {self.name}", "epoch": number + 1, "epochs": views})
        return np.stack(found).astype(np.float32)

    def told(self, pictures: PictureSet, recipe: Recipe, report: Report | None = None) -> np.ndarray:
        """Give its opinion on pictures and on views of them, (V, N, C); it is kept, for a large network takes long."""
        asked = (pictures.ids, pictures.margin, self.side, self.temperature, SOFTENING)
        whole = kept("opinion", key_of(*asked, network=self.network),
                     lambda: self.opinion(pictures.images(self.side), SOFTENING).astype(np.float32))
        shown = kept("opinions", key_of(*asked, recipe.size, recipe.views, VIEWS_TAUGHT, network=self.network),
                     lambda: self.opinion_on_views(pictures, recipe, VIEWS_TAUGHT, report))
        return (whole + shown) / 2


def opinions(
    runs: Sequence[Path], pictures: PictureSet, split: dict[str, Any], recipe: Recipe, report: Report | None = None
) -> np.ndarray:
    """Average the opinions of several runs on numbered views of pictures: (V, N, C) float32, rows adding up to 1.

    Half of each is the opinion on the view itself, half that on the whole picture, averaged over its orientations: the
    one is consistent with what the pupil sees (Beyer et al. 2022, arXiv:2106.05237), the other is the better judgement.
    Where only the coarse group of a picture is known, classes of other groups get none.

    Args:
        runs: finished run folders.
        pictures: the training part of the split.
        split: its record; a teacher that was trained on another split has seen what its pupil is judged on.
        recipe: of the pupil, whose views they are.
        report: told how far it is, see `progress.Report`; asking takes minutes.

    Raises:
        RunError: a run is not finished, or is of another split or other classes.
    """
    teachers = [Teacher(run) for run in runs]
    for run, one in zip(runs, teachers, strict=True):
        if one.record["data"]["split"].get("hash") != split["hash"]:
            raise RunError(f"{run} was trained on another split: it may have seen the pictures its pupil is judged on")
        if tuple(one.record["model"]["classes"]) != pictures.classes:
            raise RunError(f"{run} names other classes")
    total = np.sum([one.told(pictures, recipe, report) for one in teachers], axis=0)
    coarse = pictures.labels < 0
    total[:, coarse] = (total[:, coarse] + 1e-9) * pictures.targets()[coarse]
    return (total / total.sum(axis=2, keepdims=True)).astype(np.float32)
