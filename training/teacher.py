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


def opinion(run: Path, images: np.ndarray, softening: float = 1.0) -> np.ndarray:
    """Average a run's probabilities (N, C) over the eight orientations of pictures (N, S, S, 3) uint8 of its size."""
    look, temperature = forward(load_model(run)), read_record(run)["model"]["decode"]["temperature"]
    return np.mean([softmax(look(some), temperature * softening) for some in turned(images)], axis=0)


def opinion_on_views(run: Path, pictures: PictureSet, recipe: Recipe, views: int) -> np.ndarray:
    """Give a run's softened probabilities (V, N, C) for the numbered views that a recipe shows, one by one.

    A pupil of another size shows its own views; they are brought to the run's size.
    """
    model = read_record(run)["model"]
    look, side = forward(load_model(run)), model["input"]["width"]
    temperature, canvases = model["decode"]["temperature"] * SOFTENING, pictures.canvases()

    def one(number: int) -> np.ndarray:
        shown = [numbered_view(recipe, canvas, number, index) for index, canvas in enumerate(canvases)]
        return softmax(look(np.stack([resize(view, side, side) for view in shown])), temperature)

    return np.stack([one(number) for number in range(views)]).astype(np.float32)


def _kept_opinions(run: Path, pictures: PictureSet, recipe: Recipe) -> np.ndarray:
    """Give a run's opinion on pictures and on views of them; it is kept, for a large teacher takes long over it."""
    model = read_record(run)["model"]
    side, temperature = model["input"]["width"], model["decode"]["temperature"]
    network = load_model(run)
    asked = (pictures.ids, pictures.margin, side, temperature, SOFTENING)
    whole = kept("opinion", key_of(*asked, network=network),
                 lambda: opinion(run, pictures.images(side), SOFTENING).astype(np.float32))
    shown = kept("opinions", key_of(*asked, recipe.size, recipe.views, VIEWS_TAUGHT, network=network),
                 lambda: opinion_on_views(run, pictures, recipe, VIEWS_TAUGHT))
    return (whole + shown) / 2


def opinions(runs: Sequence[Path], pictures: PictureSet, split: dict[str, Any], recipe: Recipe) -> np.ndarray:
    """Average the opinions of several runs on numbered views of pictures: (V, N, C) float32, rows adding up to 1.

    Half of each is the opinion on the view itself, half that on the whole picture, averaged over its orientations: the
    one is consistent with what the pupil sees (Beyer et al. 2022, arXiv:2106.05237), the other is the better judgement.
    Where only the coarse group of a picture is known, classes of other groups get none.

    Args:
        runs: finished run folders.
        pictures: the training part of the split.
        split: its record; a teacher that was trained on another split has seen what its pupil is judged on.
        recipe: of the pupil, whose views they are.

    Raises:
        RunError: a run is not finished, or is of another split or other classes.
    """
    total: np.ndarray | None = None
    for run in runs:
        record = read_record(run)
        if "model" not in record:
            raise RunError(f"{run} is not finished: it cannot teach")
        if record["data"]["split"].get("hash") != split["hash"]:
            raise RunError(f"{run} was trained on another split: it may have seen the pictures its pupil is judged on")
        if tuple(record["model"]["classes"]) != pictures.classes:
            raise RunError(f"{run} names other classes")
        told = _kept_opinions(run, pictures, recipe)
        total = told if total is None else total + told
    assert total is not None
    coarse = pictures.labels < 0
    total[:, coarse] = (total[:, coarse] + 1e-9) * pictures.targets()[coarse]
    return (total / total.sum(axis=2, keepdims=True)).astype(np.float32)
