"""The commands of the classification study."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from ..errors import require_extra
from .command_groups import RenamingGroup
from .options import FOLDER, Number, options, weights_of
from .results import calibrate, evaluate, evaluate_detectors, pictures, report, save_table
from .search import pick, report_search, search, search_detector

if TYPE_CHECKING:
    from ..training.classifier.recipe import Recipe


class StudyGroup(RenamingGroup):
    """The group of the study's commands, with the names of earlier versions."""

    old_names: ClassVar[dict[str, str]] = {
        "judge": "evaluate",
        "judge-detectors": "evaluate-detectors",
        "keep": "save-table",
        "results": "report",
    }


@click.group(cls=StudyGroup)
def study() -> None:
    """Train, compare and evaluate galaxy classifiers.

    The commands reproduce a university report and compare its networks with smaller ones. training/README.md names the
    section of the report that each command belongs to; training/RESULTS.md has the results.
    """


for command in (
    search, search_detector, pick, report_search, calibrate, evaluate, evaluate_detectors, save_table, report,
    pictures,
):  # fmt: skip
    study.add_command(command)


@study.command("compare")
@click.argument("recipes", nargs=-1, required=True)
@options("data", "boxy", "out", "seeds", "split", "epochs", "threads", "weights")
def compare(recipes: Sequence[str], **given: Any) -> None:
    """Train RECIPES on one split, each with every seed, and write a table."""
    from ..training.classifier.recipe import find_recipe

    _train_all("compare", {name: find_recipe(name) for name in recipes}, **given)


@study.command("scratch")
@options("data", "boxy", "out", "seeds", "split", "epochs", "threads", "weights")
def scratch(**given: Any) -> None:
    """Compare networks that are trained from scratch.

    Trains a simple and a bigger CNN, and the bigger one with seven combinations of dropout, L1L2 regularisation and
    batch normalisation.
    """
    from ..training.classifier.recipe import RECIPES, SCRATCH

    _train_all("scratch", {name: RECIPES[name] for name in SCRATCH}, **given)


@study.command("balance")
@click.option("--recipe", default="scratch", show_default=True, help="Recipe to train with each strategy.")
@options("data", "boxy", "out", "seeds", "split", "epochs", "threads", "weights")
def balance(recipe: str, **given: Any) -> None:
    """Compare strategies against class imbalance.

    Trains without balancing, with full re-balancing, class weights, partial re-balancing with weights, and weights by
    the inverse root of the number of images.
    """
    from dataclasses import replace

    from ..training.classifier.balancing import STRATEGIES
    from ..training.classifier.recipe import find_recipe

    _train_all("balance", {name: replace(find_recipe(recipe), balance=name) for name in STRATEGIES}, **given)


@study.command("views")
@click.option("--recipe", default="scratch", show_default=True, help="Recipe to train with each augmentation.")
@options("data", "boxy", "out", "seeds", "split", "epochs", "threads", "weights")
def views(recipe: str, **given: Any) -> None:
    """Compare augmentations of the training images.

    Trains without augmentation, with the report's, with the report's and free rotation, with ours, and with views
    that imitate other telescopes.
    """
    from dataclasses import replace

    from ..training.augmentation.presets import AUGMENTATIONS
    from ..training.classifier.recipe import find_recipe

    _train_all("views", {name: replace(find_recipe(recipe), views=name) for name in AUGMENTATIONS}, **given)


@study.command("transfer")
@options("data", "boxy", "out", "seeds", "split", "epochs", "threads", "weights")
def transfer(**given: Any) -> None:
    """Compare a frozen VGG-16 with one that is fine-tuned from block 5."""
    from ..training.classifier.recipe import RECIPES

    _train_all("transfer", {name: RECIPES[name] for name in ("vgg_features", "vgg_block5")}, **given)


# Many parameters because the commands of a study share these options.
def _train_all(
    command: str,
    recipes: dict[str, Recipe],
    data: Path,
    out: Path,
    seeds: tuple[int, ...],
    split_seed: int,
    epochs: int | None,
    threads: int,
    weights: str | None,
    keep_boxy: bool,
) -> None:
    require_extra("tensorflow", "train")
    from dataclasses import replace

    from ..training.study.runs import run_many
    from ..training.study.study_table import table
    from .terminal.training_progress import TrainingProgress

    initial = weights_of(weights, *recipes.values())
    if epochs:
        recipes = {name: replace(recipe, epochs=epochs) for name, recipe in recipes.items()}
    with TrainingProgress() as progress:
        rows = run_many(
            recipes,
            data,
            out,
            seeds=seeds,
            threads=threads,
            split_seed=split_seed,
            weights=initial,
            keep_boxy=keep_boxy,
            report=progress.report,
            command=command,
        )
    click.echo(table(rows))
    click.echo(f"written to {out / 'table.md'}", err=True)


# Many parameters because click passes one for each option.
@study.command("compare-detectors")
@click.argument("presets", nargs=-1, required=True)
@click.option("--scenes", type=click.IntRange(min=16), help="Train each for this number of scenes.")
@click.option("--core-hours", type=Number(0, min_open=True), help="Train each for this processor time.")
@click.option("--patience", type=click.IntRange(min=0), default=0, help="End after N epochs without a better mAP@0.5.")
@options("data", "out", "seeds", "threads")
def compare_detectors(
    presets: Sequence[str],
    scenes: int | None,
    core_hours: float | None,
    patience: int,
    data: Path,
    out: Path,
    seeds: tuple[int, ...],
    threads: int,
) -> None:
    """Compare detector PRESETS, trained from random weights under one budget.

    The budget is a number of scenes or of core-hours. Run it again after an interruption to resume.
    """
    require_extra("official", "detector")
    from ..training.detector.settings import PRESETS
    from ..training.study.detector_comparison import Budget
    from ..training.study.detector_comparison import compare_detectors as compare
    from .terminal.training_progress import TrainingProgress

    if unknown := sorted(set(presets) - set(PRESETS)):
        raise click.UsageError(f"there is no preset {', '.join(unknown)}: {', '.join(PRESETS)}")
    try:
        budget = Budget(scenes, core_hours, patience)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    with TrainingProgress() as progress:
        compare(presets, data, out, budget, seeds=seeds, threads=threads, report=progress.report)
    click.echo((out / "comparison.md").read_text(encoding="utf-8"))


# Many parameters because click passes one for each option.
@study.command("folds")
@click.argument("first")
@click.argument("second")
@click.option("--folds", "k", type=click.IntRange(2, 20), default=5, show_default=True, help="Number of folds.")
@click.option(
    "--repeats",
    type=click.IntRange(1, 20),
    default=1,
    show_default=True,
    help="Number of repeats.",
)
@options("data", "out", "seed", "epochs", "threads", "weights")
def folds(
    first: str,
    second: str,
    k: int,
    repeats: int,
    data: Path,
    out: Path,
    seed: int,
    epochs: int | None,
    threads: int,
    weights: str | None,
) -> None:
    """Compare two recipes by k-fold cross-validation.

    The scores are compared by a Wilcoxon signed-rank test.
    """
    require_extra("tensorflow", "train")
    from ..training.classifier.recipe import find_recipe
    from ..training.study.comparisons import compare_folds
    from .terminal.training_progress import TrainingProgress

    initial = weights_of(weights, find_recipe(first), find_recipe(second))
    with TrainingProgress() as progress:
        result = compare_folds(
            first,
            second,
            data,
            out,
            k=k,
            repeats=repeats,
            seed=seed,
            threads=threads,
            epochs=epochs,
            weights=initial,
            report=progress.report,
        )
    click.echo(json.dumps(result.to_dict(), indent=1))


@study.command("ensemble")
@click.argument("runs", nargs=-1, required=True, type=FOLDER)
@options("out")
def ensemble(runs: Sequence[Path], out: Path) -> None:
    """Find the ensemble weights of two or more finished RUNS.

    The weights are selected on the validation part; all runs must have been trained on the same split.
    """
    require_extra("tensorflow", "train")
    from ..training.study.ensembles import find_ensemble

    click.echo(json.dumps(find_ensemble(runs, out).to_dict(), indent=1))


@study.command("cross")
@click.option("--recipe", default="small", show_default=True, help="Recipe to train.")
@options("data", "out", "seed", "split", "epochs", "threads", "weights")
def cross(
    recipe: str,
    data: Path,
    out: Path,
    seed: int,
    split_seed: int,
    epochs: int | None,
    threads: int,
    weights: str | None,
) -> None:
    """Train on each source of images alone and measure on the others."""
    require_extra("tensorflow", "train")
    from dataclasses import replace

    from ..training.classifier.recipe import find_recipe
    from ..training.study.comparisons import cross_sources
    from .terminal.training_progress import TrainingProgress

    settings = replace(find_recipe(recipe), epochs=epochs) if epochs else find_recipe(recipe)
    initial = weights_of(weights, settings)
    with TrainingProgress() as progress:
        result = cross_sources(
            settings,
            data,
            out,
            seed=seed,
            split_seed=split_seed,
            threads=threads,
            weights=initial,
            report=progress.report,
        )
    click.echo(json.dumps(result.to_dict(), indent=1))
