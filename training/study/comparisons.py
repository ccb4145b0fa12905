"""Recipes over folds (report section 2.7), and over sources of pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...models.labels import coarse_group
from ..classifier.dataset_files import load_dataset
from ..classifier.fit import fit
from ..classifier.partition import DatasetSplit, duplicate_groups, split_dataset
from ..classifier.recipe import Recipe, find_recipe
from ..data.sample import DataError
from ..data.splits import folds as draw_folds
from ..data.splits import split
from ..run import write_json
from .runs import finished, fit_parts, goes_on, probabilities_of
from .significance import compare, macro_scores


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
    say: Callable[[str], None] = print,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Compare two recipes by k-fold cross-validation, on the same folds, and test the difference (section 2.7).

    Within each training part an eighth is kept for the recipe's own choices (rate, stopping), never the fold judged.
    """
    scores: dict[str, dict[str, list[float]]] = {first: {}, second: {}}
    for name in (first, second):
        recipe = find_recipe(name) if epochs is None else replace(find_recipe(name), epochs=epochs)
        pictures = load_dataset(data, recipe.margin)
        ids, groups = list(pictures.ids), duplicate_groups(pictures)
        planned = []
        for repeat in range(repeats):
            dealt = draw_folds(ids, groups, pictures.labels, k, seed, repeat, pictures.classes)
            for number, (learn, judged) in enumerate(dealt):
                own, names = [ids[index] for index in learn], pictures.classes
                inner = split(own, groups[learn], pictures.labels[learn], (0.12, 0.0), seed, names)
                planned.append((repeat, number, learn[inner.train], learn[inner.validation], judged))
        # All are drawn before the first is trained on: a class that is too small for one of them is told of at once.
        for repeat, number, learn, choose, judged in planned:
            place = out / name / f"repeat{repeat}_fold{number}"
            if not finished(place):
                say(f"{name}, repeat {repeat + 1}, fold {number + 1} of {k}")
            fit(
                recipe,
                pictures.take(learn),
                pictures.take(choose),
                place,
                seed=seed,
                resume=goes_on(place, recipe),
                threads=threads,
                weights=weights,
                report=report,
            )
            probabilities = probabilities_of(place, pictures.take(judged))
            for key, value in macro_scores(probabilities, pictures.labels[judged], len(pictures.classes)).items():
                scores[name].setdefault(key, []).append(value)
    keys = ("accuracy", "precision", "recall", "f1")
    result = {
        "recipes": [first, second],
        "folds": k,
        "repeats": repeats,
        "epochs": epochs,
        **compare(
            {key: np.array(scores[first][key]) for key in keys},
            {key: np.array(scores[second][key]) for key in keys},
            repeats,
        ),
    }
    write_json(out / "comparison.json", result)
    return result


def cross_sources(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    seed: int = 1,
    split_seed: int = 1,
    threads: int = 1,
    weights: Any = None,
    say: Callable[[str], None] = print,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Train on each source alone and measure on the validation part of every source.

    The sources share few classes, so what counts is the coarse group, and only where both have pictures of it.

    Returns:
        ``coarse_accuracy[trained][measured]``, over the groups that both sources have in the training part;
        ``recall`` and ``pictures``, the same for each of these groups. Classes mean not quite the same in two sources,
        and one may have next to none of a group: the recalls show where it comes from.

    Raises:
        DataError: there is one source only.
    """
    parts = split_dataset(load_dataset(data, recipe.margin, unnamed=True), split_seed)
    names = sorted(set(parts.train.sources))
    if len(names) < 2:
        raise DataError(f"{data} has pictures of one source only ({names[0]}): there is no other to measure on")
    enough = 20
    groups = {
        name: {
            group
            for group in set(parts.train.groups) - {""}
            if sum(
                one == group and source == name
                for one, source in zip(parts.train.groups, parts.train.sources, strict=True)
            )
            >= enough
        }
        for name in names
    }
    result: dict[str, Any] = {"groups": {name: sorted(found) for name, found in groups.items()}}
    result |= {"coarse_accuracy": {}, "recall": {}, "pictures": {}}
    for trained in names:
        own = [np.flatnonzero(np.array(some.sources) == trained) for some in (parts.train, parts.validation)]
        narrow = DatasetSplit(parts.train.take(own[0]), parts.validation.take(own[1]), parts.test, parts.record)
        place = out / trained
        if not finished(place):
            say(f"trained on {trained}")
        fit_parts(
            recipe,
            narrow,
            place,
            seed=seed,
            resume=goes_on(place, recipe),
            threads=threads,
            weights=weights,
            report=report,
        )
        found = result["coarse_accuracy"][trained] = {}
        recall = result["recall"][trained] = {}
        count = result["pictures"][trained] = {}
        for measured in names:
            shared = groups[trained] & groups[measured]
            chosen = [
                index
                for index, (source, group) in enumerate(
                    zip(parts.validation.sources, parts.validation.groups, strict=True)
                )
                if source == measured and group in shared
            ]
            pictures = parts.validation.take(chosen)
            right = np.array(
                [
                    coarse_group(pictures.classes[named]) == group
                    for named, group in zip(
                        probabilities_of(place, pictures).argmax(axis=1), pictures.groups, strict=True
                    )
                ]
            )
            of = {group: right[np.array(pictures.groups) == group] for group in sorted(set(pictures.groups))}
            found[measured] = float(right.mean())
            recall[measured] = {group: float(some.mean()) for group, some in of.items()}
            count[measured] = {group: len(some) for group, some in of.items()}
    write_json(out / "cross.json", result)
    return result
