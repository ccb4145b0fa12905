"""Train recipes on one split, with one or more seeds, and tabulate their scores.

The split is by content, with exact and near duplicates kept together. Everything is selected on the validation part;
the commands ``study evaluate``, ``study pictures`` and ``eval pipeline --held-out`` use the test part.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...files import write_atomic
from ...models.bundle import Bundle
from ...models.decode import softmax
from ..classifier.dataset import GalaxyDataset
from ..classifier.dataset_files import load_dataset
from ..classifier.fit import fit
from ..classifier.partition import DatasetSplit, check_trainable, split_dataset
from ..classifier.recipe import Recipe
from ..data.splits import warn_of_other_split
from ..figures.plots import compare_bars
from ..run import RunError, RunRecord, network_hash, read_record, trained_epochs, write_json
from .agreement import agree, is_finished, is_resumable, read_predictions, recipe_settings, tabulated
from .significance import macro_scores
from .study_table import RunScores, StudyRow, summary, table

logger = logging.getLogger(__name__)


# Many parameters because they are those of the command.
def train(
    data: Path,
    out: Path,
    recipe: Recipe,
    *,
    seed: int = 1,
    split_seed: int = 1,
    resume: bool = False,
    threads: int = 1,
    weights: Any = None,
    teacher: Sequence[Path] = (),
    start: Path | None = None,
    keep_boxy: bool = False,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> RunRecord:
    """Train a recipe on a data set's training part; see `fit.fit`.

    Args:
        teacher: run folders of networks whose averaged predictions are soft targets; they must be of the same split.
        start: bundle of an exported network of the recipe to continue from, whose predictions are soft targets too.
        keep_boxy: see `dataset_files.load_dataset`.
    """
    dataset = load_dataset(data, recipe.margin, keep_boxy, unnamed=True, votes=recipe.votes)
    parts = split_dataset(dataset, split_seed)
    return fit_parts(
        recipe,
        parts,
        out,
        seed=seed,
        resume=resume,
        threads=threads,
        report=report,
        weights=weights,
        teacher=teacher,
        start=start,
    )


def fit_parts(
    recipe: Recipe,
    parts: DatasetSplit,
    out: Path,
    *,
    teacher: Sequence[Path] = (),
    start: Path | None = None,
    **options: Any,
) -> RunRecord:
    """Train a recipe on an existing split; for `options` see `fit.fit`."""
    training, soft = parts.train, None
    if not recipe.unnamed:
        training = training.take(training.labelled)
    elif not teacher and not start:
        training = training.take(training.informative)
    if teacher:
        from ..classifier.distillation import average_soft_targets, load_teacher

        teachers = [load_teacher(folder) for folder in teacher]
        soft = average_soft_targets(teachers, training, parts.record, options.get("report"))
        options["teachers"] = [one.identity for one in teachers]
    if start:
        from ..classifier.distillation import exported_soft_targets

        bundle = Bundle.load(start, "classify")
        warn_of_other_split(start, bundle.manifest.data, training.sources, parts.record)
        own = exported_soft_targets(bundle, recipe, training)
        soft = own if soft is None else (own + len(teacher) * soft) / (1 + len(teacher))
        options["start"] = bundle.path / bundle.variant("fp32").file
    return fit(recipe, training, parts.validation, out, split=parts.record, soft=soft, **options)


def row_of(run: Path) -> RunScores:
    """Return a finished run's scores on validation and the cost of its network.

    Raises:
        RunError: the run is not finished.
    """
    record = read_record(run, "classify")
    if not record.is_finished:
        raise RunError(f"{run} is not finished: train it to the end first")
    kept = read_predictions(run)
    scores = macro_scores(softmax(kept["logits"]), kept["labels"], len(record.model["classes"]))
    return RunScores(
        **vars(scores),
        seed=record.settings["seed"],
        epochs=record.settings["epochs"],
        trained=trained_epochs(run),
        network=record.settings["network"],
        coarse_accuracy=record.metrics["coarse_accuracy"],
        ece=record.metrics["ece"],
        parameters=record.model["parameters"],
        macs=record.model["macs"],
        images=len(kept["labels"]),
    )


# Long because half of it describes its arguments and errors. Many parameters because they are those of the command.
def run_many(
    recipes: dict[str, Recipe],
    data: Path,
    out: Path,
    *,
    seeds: Sequence[int] = (1,),
    threads: int = 1,
    split_seed: int = 1,
    weights: Any = None,
    keep_boxy: bool = False,
    report: Callable[[dict[str, Any]], None] | None = None,
    command: str = "compare",
) -> list[StudyRow]:
    """Train every recipe with every seed, and write a table of their scores.

    Each training has its own run folder. The table is ``table.json``, ``table.md`` and ``table.png``. It has all
    finished runs of the folder, those of other recipes and seeds too.

    Interrupted runs are resumed; finished ones are not trained again.

    Args:
        command: name of the study, which all runs of the folder share.

    Returns:
        A row for each recipe of the folder.

    Raises:
        RunError: a folder holds a run of other data or settings.
    """
    datasets = {
        margin: load_dataset(data, margin, keep_boxy, unnamed=True)
        for margin in {recipe.margin for recipe in recipes.values()}
    }
    parts = {margin: split_dataset(dataset, split_seed) for margin, dataset in datasets.items()}
    for part in parts.values():
        check_trainable(part.train, part.validation)
    split = next(iter(parts.values())).record
    about = {"command": command, "data": split["hash"], "labels": next(iter(datasets.values())).hash}
    shared = {"split": {name: split[name] for name in ("hash", "labels")}}
    wanted = recipe_settings(recipes, weights)
    known = agree(out, about | {"split_seed": split_seed}, wanted, "classify", shared)
    rows: list[StudyRow] = []
    for name, recipe in recipes.items():
        for seed in seeds:
            run = out / name / f"seed{seed}"
            if not is_finished(run):
                logger.info("training %s, seed %d", name, seed)
            fit_parts(
                recipe,
                parts[recipe.margin],
                run,
                seed=seed,
                resume=is_resumable(run, recipe.epochs),
                threads=threads,
                weights=weights,
                report=report,
            )
        rows = [
            summary(each, list(map(row_of, runs.values())))
            for each, runs in tabulated(out, known, "classify", shared).items()
        ]
        write_json(out / "table.json", [row.to_dict() for row in rows])
        write_atomic(out / "table.md", table(rows).encode())
        compare_bars(
            [{"name": row.name, "mean": row.means["f1"], "spread": row.spreads["f1"]} for row in rows],
            out / "table.png",
            "macro F1 on validation",
        )
    return rows


def probabilities_of(
    run: Path,
    dataset: GalaxyDataset,
    transform: Callable[[np.ndarray], np.ndarray] | None = None,
    *,
    before_refit: bool = False,
) -> np.ndarray:
    """Return the probabilities (N, C) of a run's network, at its temperature.

    Args:
        run: folder of a finished run.
        dataset: the images.
        transform: applied to the network's inputs (N, S, S, 3) uint8; None for no change.
        before_refit: with the last layer as it was trained, see `classifier.last_layer`.

    Raises:
        RunError: the run has no network, or that of another run.
    """
    from ..classifier.last_layer import restore_trained_layer
    from ..classifier.validation import predict
    from ..figures.explain import load_model

    model = read_record(run).model
    images = dataset.images(model["input"]["width"])
    network_hash(run)
    network = load_model(run)
    if before_refit:
        restore_trained_layer(network, run)
    logits = predict(network, images if transform is None else transform(images))
    return softmax(logits, model["decode"]["temperature"])
