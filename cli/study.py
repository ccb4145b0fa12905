"""The commands of the classification study: one thin command a verb, as in `cli`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ..errors import UserError, require_extra
from .options import FOLDER, PATH, options, weights_of
from .results import judge, judge_detectors, keep, results
from .search import pick, report_search, search, search_detector


class EmptySource(UserError):
    """Pictures that hold none."""

    exit_code = 1


@click.group()
def study() -> None:
    """Compare ways of naming galaxies: the report's, and our own."""


for command in (search, search_detector, pick, report_search, judge, judge_detectors, keep, results):
    study.add_command(command)


@study.command("compare")
@click.argument("recipes", nargs=-1, required=True)
@options("data", "boxy", "out", "seeds", "split", "epochs", "threads", "weights")
def compare(recipes: Sequence[str], **given: Any) -> None:
    """Train RECIPES on one split, each with every seed, and put them into a table."""
    from ..training.classifier.recipe import find_recipe

    _many({name: find_recipe(name) for name in recipes}, **given)


@study.command("scratch")
@options("data", "boxy", "out", "seeds", "split", "epochs", "threads", "weights")
def scratch(**given: Any) -> None:
    """Section 2.5: simple and bigger CNN, and the seven combinations of dropout, L1L2 and batch normalisation."""
    from ..training.classifier.recipe import RECIPES, SCRATCH

    _many({name: RECIPES[name] for name in SCRATCH}, **given)


@study.command("balance")
@click.option("--recipe", default="scratch", show_default=True, help="The recipe to balance differently.")
@options("data", "boxy", "out", "seeds", "split", "epochs", "threads", "weights")
def balance(recipe: str, **given: Any) -> None:
    """Section 2.3: full re-balancing, class weights, partial re-balancing with weights, and none."""
    from dataclasses import replace

    from ..training.classifier.balancing import STRATEGIES
    from ..training.classifier.recipe import find_recipe

    _many({name: replace(find_recipe(recipe), balance=name) for name in STRATEGIES}, **given)


@study.command("views")
@click.option("--recipe", default="scratch", show_default=True, help="The recipe to show the galaxies differently to.")
@options("data", "boxy", "out", "seeds", "split", "epochs", "threads", "weights")
def views(recipe: str, **given: Any) -> None:
    """Section 2.3: no augmentation, the report's, the same turned freely, and ours."""
    from dataclasses import replace

    from ..training.classifier.augmentation_presets import AUGMENTATIONS
    from ..training.classifier.recipe import find_recipe

    _many({name: replace(find_recipe(recipe), views=name) for name in AUGMENTATIONS}, **given)


@study.command("transfer")
@options("data", "boxy", "out", "seeds", "split", "epochs", "threads", "weights")
def transfer(**given: Any) -> None:
    """Section 2.6: VGG-16, feature extraction and fine-tuning from block 5."""
    from ..training.classifier.recipe import RECIPES

    _many({name: RECIPES[name] for name in ("vgg_features", "vgg_block5")}, **given)


def _many(
    recipes: dict[str, Any],
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

    from ..training.study.runs import run_many, table
    from .training_progress import TrainingProgress

    begin = weights_of(weights, *recipes.values())
    if epochs:
        recipes = {name: replace(recipe, epochs=epochs) for name, recipe in recipes.items()}
    with TrainingProgress() as shown:
        rows = run_many(
            recipes,
            data,
            out,
            seeds=seeds,
            threads=threads,
            split_seed=split_seed,
            weights=begin,
            keep_boxy=keep_boxy,
            say=shown.say,
            report=shown.report,
        )
    click.echo(table(rows))
    click.echo(f"written to {out / 'table.md'}", err=True)


@study.command("folds")
@click.argument("first")
@click.argument("second")
@click.option("--folds", "k", type=click.IntRange(2, 20), default=5, show_default=True, help="Folds.")
@click.option("--repeats", type=click.IntRange(1, 20), default=1, show_default=True, help="Times, folds drawn anew.")
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
    """Section 2.7: compare two recipes by k-fold cross-validation and a Wilcoxon signed-rank test."""
    require_extra("tensorflow", "train")
    from ..training.classifier.recipe import find_recipe
    from ..training.study.comparisons import compare_folds
    from .training_progress import TrainingProgress

    begin = weights_of(weights, find_recipe(first), find_recipe(second))
    with TrainingProgress() as shown:
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
            weights=begin,
            say=shown.say,
            report=shown.report,
        )
    click.echo(json.dumps(result, indent=1))


@study.command("ensemble")
@click.argument("runs", nargs=-1, required=True, type=FOLDER)
@options("out")
def ensemble(runs: Sequence[Path], out: Path) -> None:
    """Section 2.9.1: weigh two or more finished RUNS of one split, on their validation part only."""
    require_extra("tensorflow", "train")
    from ..training.study.ensembles import find_ensemble

    click.echo(json.dumps(find_ensemble(runs, out), indent=1))


@study.command("cross")
@click.option("--recipe", default="small", show_default=True, help="The recipe to train.")
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
    """Train on each source of pictures alone and measure on the others."""
    require_extra("tensorflow", "train")
    from dataclasses import replace

    from ..training.classifier.recipe import find_recipe
    from ..training.study.comparisons import cross_sources
    from .training_progress import TrainingProgress

    chosen = replace(find_recipe(recipe), epochs=epochs) if epochs else find_recipe(recipe)
    begin = weights_of(weights, chosen)
    with TrainingProgress() as shown:
        result = cross_sources(
            chosen,
            data,
            out,
            seed=seed,
            split_seed=split_seed,
            threads=threads,
            weights=begin,
            say=shown.say,
            report=shown.report,
        )
    click.echo(json.dumps(result, indent=1))


@click.command()
@click.argument("model", type=PATH)
@click.argument("pictures")
@click.option("--out", type=FOLDER, required=True, help="Folder for the sheets.")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the filter patterns.")
def explain(model: Path, pictures: str, out: Path, seed: int) -> None:
    """Section 2.8: show what MODEL (a run folder or .keras file) looks at in PICTURES (a file, folder or zip).

    Writes heat.png (Grad-CAM), activations.png and filters.png.
    """
    require_extra("tensorflow", "train")
    import numpy as np

    from ..models.preprocess import resize
    from ..runtime.sources.open_source import open_source
    from ..training.figures.saliency_sheets import classes_of, explain_model, load_model

    network = load_model(model)
    size = network.input_shape[1]
    images, names = [], []
    for frame in open_source(pictures):
        images.append(resize(frame.pixels, size, size))
        names.append(Path(frame.source).name)
    if not images:
        raise EmptySource(f"{pictures} holds no picture that can be read")
    out.mkdir(parents=True, exist_ok=True)
    classes, temperature = classes_of(model, network)
    for place in explain_model(
        network,
        np.stack(images),
        names,
        classes,
        out,
        seed,
        lambda line: click.echo(line, err=True),
        temperature=temperature,
    ):
        click.echo(str(place))
