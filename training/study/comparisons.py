"""Compare two recipes over folds, or one over the sources of its images."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...models.labels import coarse_group
from ..classifier.dataset import GalaxyDataset
from ..classifier.dataset_files import load_dataset
from ..classifier.fit import fit
from ..classifier.partition import DatasetSplit, check_trainable, duplicate_groups, split_dataset
from ..classifier.recipe import Recipe, find_recipe
from ..data.errors import DataError
from ..data.splits import holdout_indices
from ..data.splits import k_fold_indices as draw_folds
from ..run import RunError, trained_epochs, write_json
from .agreement import agree, is_finished, is_resumable, recipe_settings
from .runs import fit_parts, probabilities_of
from .significance import MetricDifference, PairedComparison, compare, macro_scores

logger = logging.getLogger(__name__)

MIN_IMAGES = 20
"""Minimum number of training images of a group in a source, for the group to be compared."""


@dataclass(frozen=True)
class FoldComparison(PairedComparison):
    """Two recipes compared by cross-validation; the content of ``comparison.json``.

    Attributes:
        recipes: names of the two recipes, ``a`` and ``b`` of the metrics.
        folds, repeats: how often all images were divided into how many folds.
        epochs: maximum number of epochs where it is not the recipes' own; None otherwise.
        seed, data: seed of folds and trainings, and hash of the data; None in files of earlier versions.
        trained: number of epochs that each training of a recipe took; None in files of earlier versions.
    """

    recipes: Sequence[str]
    folds: int
    repeats: int
    epochs: int | None
    seed: int | None = None
    data: str | None = None
    trained: Mapping[str, Sequence[int]] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**vars(self), "metrics": {name: found.to_dict() for name, found in self.metrics.items()}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FoldComparison:
        """Create a comparison from the values of `to_dict`."""
        metrics = {name: MetricDifference.from_dict(found) for name, found in values["metrics"].items()}
        return cls(**{"epochs": None, **values, "metrics": metrics})


@dataclass(frozen=True)
class SourceComparison:
    """A recipe trained on each source alone and measured on every source.

    This is the content of ``cross.json``.

    Attributes:
        groups: the coarse groups of each source that are compared.
        coarse_accuracy: source trained on -> source measured on -> accuracy of the coarse group.
        recall: source trained on -> source measured on -> group -> its recall.
        images: source trained on -> source measured on -> group -> its number of images.
    """

    groups: Mapping[str, Sequence[str]]
    coarse_accuracy: Mapping[str, Mapping[str, float]]
    recall: Mapping[str, Mapping[str, Mapping[str, float]]]
    images: Mapping[str, Mapping[str, Mapping[str, int]]]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"pictures" if name == "images" else name: value for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SourceComparison:
        """Create a comparison from the values of `to_dict`."""
        return cls(values["groups"], values["coarse_accuracy"], values["recall"], values["pictures"])


# Long because half of it describes its arguments and result. Many parameters because both recipes have theirs.
def compare_folds(
    first: str,
    second: str,
    data: Path,
    out: Path,
    *,
    k: int = 5,
    repeats: int = 1,
    seed: int = 1,
    threads: int = 1,
    epochs: int | None = None,
    weights: Any = None,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> FoldComparison:
    """Compare two recipes by k-fold cross-validation, and test the difference.

    Both are trained and measured on the same folds.

    An eighth of each training part is held out for the recipe's own choices (learning rate, stopping); the fold that is
    measured is not used for them. Writes ``comparison.json``.

    Raises:
        DataError: a class has too few images for one of the folds.
        RunError: a folder holds a run of other data or settings.
    """
    if first == second:
        raise RunError(f"'{first}' cannot be compared with itself: name two recipes")
    scores: dict[str, dict[str, list[float]]] = {first: {}, second: {}}
    recipes = {name: find_recipe(name) for name in scores}
    if epochs is not None:
        recipes = {name: replace(recipe, epochs=epochs) for name, recipe in recipes.items()}
    # All folds are drawn before the first training: a class that is too small is reported at once.
    drawn = {}
    for name, recipe in recipes.items():
        dataset = load_dataset(data, recipe.margin)
        drawn[name] = dataset, _draw(dataset, k, repeats, seed)
        for fold in drawn[name][1]:
            check_trainable(dataset.take(fold.train), dataset.take(fold.validation))
    about = {"command": "folds", "data": dataset.hash, "folds": k, "seed": seed}
    agree(out, about, recipe_settings(recipes, weights))
    for name, recipe in recipes.items():
        dataset, folds = drawn[name]
        for fold in folds:
            run = out / name / f"repeat{fold.repeat}_fold{fold.number}"
            if not is_finished(run):
                logger.info("training %s, repeat %d, fold %d of %d", name, fold.repeat + 1, fold.number + 1, k)
            fit(
                recipe,
                dataset.take(fold.train),
                dataset.take(fold.validation),
                run,
                seed=seed,
                resume=is_resumable(run, recipe.epochs),
                threads=threads,
                weights=weights,
                report=report,
            )
            probabilities = probabilities_of(run, dataset.take(fold.held_out))
            measured = macro_scores(probabilities, dataset.labels[fold.held_out], len(dataset.classes))
            for key, value in vars(measured).items():
                scores[name].setdefault(key, []).append(value)
    keys = ("accuracy", "precision", "recall", "f1")
    compared = compare(
        {key: np.array(scores[first][key]) for key in keys},
        {key: np.array(scores[second][key]) for key in keys},
        repeats,
    )
    trained = {
        name: [trained_epochs(out / name / f"repeat{fold.repeat}_fold{fold.number}") for fold in drawn[name][1]]
        for name in scores
    }
    result = FoldComparison(
        **vars(compared),
        recipes=[first, second],
        folds=k,
        repeats=repeats,
        epochs=epochs,
        seed=seed,
        data=dataset.hash,
        trained=trained,
    )
    write_json(out / "comparison.json", result.to_dict())
    return result


class _Fold(NamedTuple):
    """Image indices of one fold: training, validation and held-out part."""

    repeat: int
    number: int
    train: np.ndarray
    validation: np.ndarray
    held_out: np.ndarray


def _draw(dataset: GalaxyDataset, k: int, repeats: int, seed: int) -> list[_Fold]:
    """Draw the folds, with an eighth of each training part for validation."""
    ids, groups, names = list(dataset.ids), duplicate_groups(dataset), dataset.classes
    drawn = []
    for repeat in range(repeats):
        partition = draw_folds(ids, groups, dataset.labels, k, seed, repeat, names)
        for number, (training, held_out) in enumerate(partition):
            own = [ids[index] for index in training]
            inner = holdout_indices(own, groups[training], dataset.labels[training], (0.12, 0.0), seed, names)
            drawn.append(_Fold(repeat, number, training[inner.train], training[inner.validation], held_out))
    return drawn


# Long because half of it describes its arguments and result.
def cross_sources(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    seed: int = 1,
    split_seed: int = 1,
    threads: int = 1,
    weights: Any = None,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> SourceComparison:
    """Train on each source alone and measure on the validation part of every source.

    The sources share few classes, so the coarse group is measured, for the groups of which both sources have at least
    `MIN_IMAGES` images in the training part. Writes ``cross.json``.

    The sources define their classes slightly differently, and one may have few images of a group: the recalls show
    where a difference comes from.

    Raises:
        DataError: there is only one source, or there are too few images to measure on.
    """
    parts = split_dataset(load_dataset(data, recipe.margin, unnamed=True), split_seed)
    names = sorted(set(parts.train.sources))
    if len(names) < 2:
        raise DataError(f"{data} has images of one source only ({names[0]}): there is no other to measure on")
    counts = Counter(zip(parts.train.sources, parts.train.groups, strict=True))
    groups = {
        name: {group for group in set(parts.train.groups) - {""} if counts[name, group] >= MIN_IMAGES} for name in names
    }
    for trained in names:
        for measured in names:
            if not len(_in_groups(parts.validation, measured, groups[trained] & groups[measured])):
                where = f"{trained} has" if measured == trained else f"{trained} and {measured} share"
                raise DataError(
                    f"{where} no coarse group with {MIN_IMAGES} training images of a source and images to measure on: "
                    f"add images to {data}, or leave a source out"
                )
    accuracy, recall, images = dict[str, dict[str, float]](), dict[str, Any](), dict[str, Any]()
    for trained in names:
        run = out / trained
        if not is_finished(run):
            logger.info("training on %s", trained)
        own = [np.flatnonzero(np.array(part.sources) == trained) for part in (parts.train, parts.validation)]
        fit_parts(
            recipe,
            DatasetSplit(parts.train.take(own[0]), parts.validation.take(own[1]), parts.test, parts.record),
            run,
            seed=seed,
            resume=is_resumable(run, recipe.epochs),
            threads=threads,
            weights=weights,
            report=report,
        )
        accuracy[trained], recall[trained], images[trained] = {}, {}, {}
        for measured in names:
            correct = _correct_groups(run, parts.validation, measured, groups[trained] & groups[measured])
            accuracy[trained][measured] = float(np.mean([value for values in correct.values() for value in values]))
            recall[trained][measured] = {group: float(values.mean()) for group, values in correct.items()}
            images[trained][measured] = {group: len(values) for group, values in correct.items()}
    result = SourceComparison({name: sorted(found) for name, found in groups.items()}, accuracy, recall, images)
    write_json(out / "cross.json", result.to_dict())
    return result


def _correct_groups(run: Path, validation: GalaxyDataset, source: str, groups: set[str]) -> dict[str, np.ndarray]:
    """Return, by group, whether each image of a source is assigned to its group.

    The values are (n,) bool.
    """
    dataset = validation.take(_in_groups(validation, source, groups))
    predicted = probabilities_of(run, dataset).argmax(axis=1)
    correct = np.array(
        [coarse_group(dataset.classes[label]) == group for label, group in zip(predicted, dataset.groups, strict=True)]
    )
    return {group: correct[np.array(dataset.groups) == group] for group in sorted(set(dataset.groups))}


def _in_groups(dataset: GalaxyDataset, source: str, groups: set[str]) -> np.ndarray:
    """Return the indices (n,) of a source's images of one of the groups."""
    return np.flatnonzero((np.array(dataset.sources) == source) & np.isin(dataset.groups, list(groups)))
