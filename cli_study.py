"""The commands of the classification study: one thin command a verb, as in `cli`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from .errors import UserError

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)
PATH = click.Path(path_type=Path)


class MissingExtra(UserError):
    """An extra that is not installed."""

    exit_code = 2


class EmptySource(UserError):
    """Pictures that hold none."""

    exit_code = 1


def need(module: str, extra: str) -> None:
    """See that an extra is installed before anything begins."""
    import importlib.util

    if importlib.util.find_spec(module) is None:
        raise MissingExtra(f"this command needs the extra [{extra}]: pip install 'galaxy-edge[{extra}]'")


def options(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add options that several commands share."""
    known = {
        "data": click.option(
            "--data",
            type=PATH,
            envvar="GALAXY_EDGE_DATA",
            required=True,
            show_envvar=True,
            help="Galaxy10 HDF5 file, folder of class folders, or folder of labelled sets.",
        ),
        "out": click.option("--out", type=FOLDER, required=True, help="Folder for the runs and tables."),
        "seed": click.option("--seed", type=int, default=1, show_default=True, help="Seed of everything random."),
        "split": click.option("--split-seed", type=int, default=1, show_default=True, help="Seed of the split."),
        "seeds": click.option("--seeds", default="1", show_default=True, callback=_numbers, help="Seeds, e.g. 1,2,3."),
        "epochs": click.option("--epochs", type=click.IntRange(min=1), help="Most epochs; default: the recipe's."),
        "threads": click.option(
            "--threads",
            type=click.IntRange(1, 64),
            default=os.cpu_count() or 1,
            show_default=True,
            help="Threads to use.",
        ),
        "weights": click.option("--weights", help="Weights of a pretrained base: imagenet (VGG-16), a file, or none."),
    }

    def add(command: Callable[..., None]) -> Callable[..., None]:
        for name in reversed(names):
            command = known[name](command)
        return command

    return add


def _numbers(context: click.Context, option: click.Parameter, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter("must be whole numbers with commas between, e.g. 1,2,3") from None


def weights_of(text: str | None) -> Any:
    """Turn --weights into what `vgg.vgg16` takes: "imagenet", a path, or None for random ones."""
    return None if text == "none" else Path(text) if text and text != "imagenet" else "imagenet"


@click.group()
def study() -> None:
    """Compare ways of naming galaxies: the report's, and our own."""


@study.command("compare")
@click.argument("recipes", nargs=-1, required=True)
@options("data", "out", "seeds", "split", "epochs", "threads", "weights")
def compare(recipes: Sequence[str], **given: Any) -> None:
    """Train RECIPES on one split, each with every seed, and put them into a table."""
    from .training.recipe import find_recipe

    _many({name: find_recipe(name) for name in recipes}, **given)


@study.command("scratch")
@options("data", "out", "seeds", "split", "epochs", "threads", "weights")
def scratch(**given: Any) -> None:
    """Section 2.5: simple and bigger CNN, and the seven combinations of dropout, L1L2 and batch normalisation."""
    from .training.recipe import RECIPES, SCRATCH

    _many({name: RECIPES[name] for name in SCRATCH}, **given)


@study.command("balance")
@click.option("--recipe", default="scratch", show_default=True, help="The recipe to balance differently.")
@options("data", "out", "seeds", "split", "epochs", "threads", "weights")
def balance(recipe: str, **given: Any) -> None:
    """Section 2.3: full re-balancing, class weights, partial re-balancing with weights, and none."""
    from dataclasses import replace

    from .training.imbalance import STRATEGIES
    from .training.recipe import find_recipe

    _many({name: replace(find_recipe(recipe), balance=name) for name in STRATEGIES}, **given)


@study.command("views")
@click.option("--recipe", default="scratch", show_default=True, help="The recipe to show the galaxies differently to.")
@options("data", "out", "seeds", "split", "epochs", "threads", "weights")
def views(recipe: str, **given: Any) -> None:
    """Section 2.3: no augmentation, the report's, the same turned freely, and ours."""
    from dataclasses import replace

    from .training.recipe import find_recipe
    from .training.warps import VIEWS

    _many({name: replace(find_recipe(recipe), views=name) for name in VIEWS}, **given)


@study.command("transfer")
@options("data", "out", "seeds", "split", "epochs", "threads", "weights")
def transfer(**given: Any) -> None:
    """Section 2.6: VGG-16, feature extraction and fine-tuning from block 5."""
    from .training.recipe import RECIPES

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
) -> None:
    need("tensorflow", "train")
    from dataclasses import replace

    from .training.progress import Training
    from .training.study import run_many, table

    if epochs:
        recipes = {name: replace(recipe, epochs=epochs) for name, recipe in recipes.items()}
    with Training() as shown:
        rows = run_many(
            recipes,
            data,
            out,
            seeds=seeds,
            threads=threads,
            split_seed=split_seed,
            weights=weights_of(weights),
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
    need("tensorflow", "train")
    from .training.comparisons import compare_folds
    from .training.progress import Training

    with Training() as shown:
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
            weights=weights_of(weights),
            say=shown.say,
        )
    click.echo(json.dumps(result, indent=1))


@study.command("ensemble")
@click.argument("runs", nargs=-1, required=True, type=FOLDER)
@options("out")
def ensemble(runs: Sequence[Path], out: Path) -> None:
    """Section 2.9.1: weigh two or more finished RUNS of one split, on their validation part only."""
    need("tensorflow", "train")
    from .training.ensembles import find_ensemble

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
    need("tensorflow", "train")
    from dataclasses import replace

    from .training.comparisons import cross_sources
    from .training.progress import Training
    from .training.recipe import find_recipe

    chosen = replace(find_recipe(recipe), epochs=epochs) if epochs else find_recipe(recipe)
    with Training() as shown:
        result = cross_sources(
            chosen,
            data,
            out,
            seed=seed,
            split_seed=split_seed,
            threads=threads,
            weights=weights_of(weights),
            say=shown.say,
            report=shown.report,
        )
    click.echo(json.dumps(result, indent=1))


@study.command("judge")
@click.argument("name")
@click.argument("runs", nargs=-1, required=True, type=FOLDER)
@click.option("--bundle", type=FOLDER, help="The bundle exported from the run: its int8 network is judged too.")
@click.option("--ensemble", "blend", type=FILE, help="ensemble.json of the RUNS, with their weights.")
@click.option("--results", type=FOLDER, help="Folder for the verdict; default: that of the package.")
@options("data", "split")
def judge(
    name: str,
    runs: Sequence[Path],
    bundle: Path | None,
    blend: Path | None,
    results: Path | None,
    data: Path,
    split_seed: int,
) -> None:
    """Judge finished RUNS (several: their average) on the test part, and keep the verdict as NAME."""
    need("tensorflow", "train")
    from .benchmarks.judge import RESULTS
    from .benchmarks.judge import judge as pass_judgement
    from .training.ensembles import ensemble_weights

    weights = ensemble_weights(blend, runs)
    verdict = pass_judgement(
        name, runs, weights, data, bundle=bundle, split_seed=split_seed, results=results or RESULTS
    )
    click.echo(json.dumps(verdict, indent=1))


@study.command("results")
@click.option("--results", type=FOLDER, help="Folder of verdicts; default: that of the package.")
@click.option("--out", type=FILE, help="Page to write; default: training/RESULTS.md of the package.")
def results(results: Path | None, out: Path | None) -> None:
    """Write the tables of the study from the verdicts that are kept."""
    from .benchmarks.judge import PAGE, RESULTS
    from .benchmarks.study_tables import page

    place = out or PAGE
    place.write_text(page(results or RESULTS), encoding="utf-8")
    click.echo(f"written to {place}")


@study.command("search")
@click.option("--trials", type=click.IntRange(min=1), default=40, show_default=True, help="Trials in all.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes on this machine.")
@click.option("--trial-epochs", type=click.IntRange(min=1), default=24, show_default=True, help="Epochs of a trial.")
@click.option("--max-macs", type=click.IntRange(min=1), help="Most multiply-adds of a network.")
@click.option("--max-kib", type=click.FloatRange(min=1), help="Most KiB of its int8 file.")
@options("data", "out", "seed", "split", "threads")
def search(trials: int, workers: int, trial_epochs: int, max_macs: int | None, max_kib: float | None, data: Path,
           out: Path, seed: int, split_seed: int, threads: int) -> None:
    """Section 2.9.2, our space: search small networks for macro F1 and cost together.

    The same command in a second process, or on another machine with the same --out, works on the same search; after a
    stop it goes on.
    """
    need("optuna", "study")
    from .training.front import write_front
    from .training.pictures import load_pictures
    from .training.search import search as run_search
    from .training.search_store import Limits
    from .training.trial import Trial

    pictures = load_pictures(data)
    about = {"data": pictures.hash, "split_seed": split_seed, "epochs": trial_epochs}
    trial = Trial(data, trial_epochs, split_seed, seed, threads)
    run_search(trial, out, trials, seed, Limits(max_macs, max_kib), workers,
               classes=len(pictures.classes), about=about, say=_say)
    _tell_front(out, write_front(out, max_macs, max_kib))


def _say(line: str) -> None:
    click.echo(line, err=True)


@study.command("pick")
@click.argument("folder", type=FOLDER)
@click.option("--max-macs", type=click.IntRange(min=1), help="Most multiply-adds of the network.")
@click.option("--max-kib", type=click.FloatRange(min=1), help="Most KiB of its int8 file.")
def pick(folder: Path, max_macs: int | None, max_kib: float | None) -> None:
    """Pick from the search in FOLDER the best network that a budget allows."""
    need("optuna", "study")
    from .training.front import write_front

    _tell_front(folder, write_front(folder, max_macs, max_kib))


def _tell_front(folder: Path, chosen: dict[str, Any]) -> None:
    click.echo((folder / "front.md").read_text(encoding="utf-8"))
    click.echo(f"picked: trial {chosen['number']}, {chosen['macs'] / 1e6:.2f} M multiply-adds, "
               f"{chosen['int8_bytes'] / 1024:.0f} KiB, macro F1 {chosen['macro_f1']:.3f} on validation")
    click.echo(f"next: galaxy-edge train classifier --network {folder / 'picked.json'} --out RUN_DIR")


@study.command("report-search")
@click.option("--trials", type=click.IntRange(min=1), default=10, show_default=True, help="Trials in all.")
@click.option("--trial-epochs", type=click.IntRange(min=1), default=10, show_default=True, help="Epochs of a trial.")
@click.option("--resume", is_flag=True, help="Go on with the search that is in --out.")
@options("data", "out", "seed", "split", "threads")
def report_search(trials: int, trial_epochs: int, resume: bool, data: Path, out: Path, seed: int, split_seed: int,
                  threads: int) -> None:
    """Section 2.9.2, the report's space: two convolutions, by KerasTuner's BayesianOptimization.

    With KERASTUNER_TUNER_ID, KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT set, the same command in several processes
    is the chief and the workers of one search.
    """
    need("keras_tuner", "study")
    from .training.fit import set_threads
    from .training.pictures import load_pictures
    from .training.recipe import RECIPES
    from .training.search_report import search_report
    from .training.study import part

    set_threads(threads)
    recipe = RECIPES["optimised"]
    parts = part(load_pictures(data, recipe.margin, coarse=True), split_seed)
    learn = parts.train.take(parts.train.labelled)
    rows = search_report(
        (learn.images(recipe.size), learn.labels), (parts.validation.images(recipe.size), parts.validation.labels), out,
        trials, trial_epochs, seed, resume, learn.classes, say=_say)
    for row in rows:
        click.echo(json.dumps(row))


@click.command()
@click.argument("model", type=PATH)
@click.argument("pictures")
@click.option("--out", type=FOLDER, required=True, help="Folder for the sheets.")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the filter patterns.")
def explain(model: Path, pictures: str, out: Path, seed: int) -> None:
    """Section 2.8: show what MODEL (a run folder or .keras file) looks at in PICTURES (a file, folder or zip).

    Writes heat.png (Grad-CAM), activations.png and filters.png.
    """
    need("tensorflow", "train")
    import numpy as np

    from .models.preprocess import resize
    from .runtime.sources import open_source
    from .training.sheets import classes_of, explain_model, load_model

    network = load_model(model)
    size = network.input_shape[1]
    images, names = [], []
    for frame in open_source(pictures, lambda problem: click.echo(f"galaxy-edge: skipped {problem}", err=True)):
        images.append(resize(frame.pixels, size, size))
        names.append(Path(frame.source).name)
    if not images:
        raise EmptySource(f"{pictures} holds no picture that can be read")
    out.mkdir(parents=True, exist_ok=True)
    classes, temperature = classes_of(model, network)
    for place in explain_model(network, np.stack(images), names, classes, out, seed,
                               lambda line: click.echo(line, err=True), temperature=temperature):
        click.echo(str(place))
