"""The commands that search for a network: small classifiers, small detectors, and the report's space."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ..errors import require_extra
from .options import FOLDER, options


@click.command("search")
@click.option("--trials", type=click.IntRange(min=1), default=40, show_default=True, help="Trials in all.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes on this machine.")
@click.option("--trial-epochs", type=click.IntRange(min=1), default=24, show_default=True, help="Epochs of a trial.")
@click.option("--max-macs", type=click.IntRange(min=1), help="Most multiply-adds of a network.")
@click.option("--max-kib", type=click.FloatRange(min=1), help="Most KiB of its int8 file.")
@options("data", "out", "seed", "split", "threads")
def search(
    trials: int,
    workers: int,
    trial_epochs: int,
    max_macs: int | None,
    max_kib: float | None,
    data: Path,
    out: Path,
    seed: int,
    split_seed: int,
    threads: int,
) -> None:
    """Section 2.9.2, our space: search small networks for macro F1 and cost together.

    The same command in a second process, or on another machine with the same --out, works on the same search; after a
    stop it goes on.
    """
    require_extra("optuna", "study")
    from ..training.classifier.dataset_files import load_dataset
    from ..training.search.classifier_trial import Trial
    from ..training.search.search import search as run_search
    from ..training.search.study_store import Limits

    pictures = load_dataset(data)
    about = {"data": pictures.hash, "split_seed": split_seed, "epochs": trial_epochs}
    trial = Trial(data, trial_epochs, split_seed, seed, threads)
    run_search(
        trial,
        out,
        trials,
        seed,
        Limits(max_macs, max_kib),
        workers,
        classes=len(pictures.classes),
        about=about,
        say=_say,
    )
    _tell_front(out, max_macs, max_kib)


def _say(line: str) -> None:
    click.echo(line, err=True)


@click.command("pick")
@click.argument("folder", type=FOLDER)
@click.option("--max-macs", type=click.IntRange(min=1), help="Most multiply-adds of the network.")
@click.option("--max-kib", type=click.FloatRange(min=1), help="Most KiB of its int8 file.")
def pick(folder: Path, max_macs: int | None, max_kib: float | None) -> None:
    """Pick from the search in FOLDER the best network that a budget allows."""
    require_extra("optuna", "study")
    _tell_front(folder, max_macs, max_kib)


def _tell_front(folder: Path, max_macs: int | None, max_kib: float | None) -> None:
    from ..training.search.pareto_front import write_front

    chosen, space = write_front(folder, max_macs, max_kib)
    key, title = space.score
    click.echo((folder / "front.md").read_text(encoding="utf-8"))
    click.echo(
        f"picked: trial {chosen['number']}, {chosen['macs'] / 1e6:.2f} M multiply-adds, "
        f"{chosen['int8_bytes'] / 1024:.0f} KiB, {title} {chosen[key]:.3f} on validation"
    )
    click.echo("next: " + space.use.format(picked=folder / "picked.json"))


@click.command("search-detector")
@click.option("--trials", type=click.IntRange(min=1), default=20, show_default=True, help="Trials in all.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes on this machine.")
@click.option("--trial-epochs", type=click.IntRange(min=1), default=6, show_default=True, help="Epochs of a trial.")
@click.option("--images", type=click.IntRange(min=16), default=800, show_default=True, help="Scenes an epoch.")
@click.option("--max-macs", type=click.IntRange(min=1), help="Most multiply-adds of a network.")
@click.option("--max-kib", type=click.FloatRange(min=1), help="Most KiB of its int8 file.")
@options("data", "out", "seed", "threads")
def search_detector(
    trials: int,
    workers: int,
    trial_epochs: int,
    images: int,
    max_macs: int | None,
    max_kib: float | None,
    data: Path,
    out: Path,
    seed: int,
    threads: int,
) -> None:
    """Search small detectors for mAP@0.5 and cost together, as 'study search' does classifiers."""
    require_extra("optuna", "study")
    require_extra("official", "detector")
    from ..training.data.sample import data_hash, read_set
    from ..training.search.detector_space import DETECTORS
    from ..training.search.detector_trial import DetectorTrial
    from ..training.search.search import search as run_search
    from ..training.search.study_store import Limits

    about = {"data": data_hash(sample.digest() for sample in read_set(data)), "epochs": trial_epochs, "images": images}
    trial = DetectorTrial(data, trial_epochs, images, seed, threads)
    run_search(
        trial,
        out,
        trials,
        seed,
        Limits(max_macs, max_kib),
        workers,
        classes=1,
        space=DETECTORS,
        warmup=2,
        about=about,
        say=_say,
    )
    _tell_front(out, max_macs, max_kib)


@click.command("report-search")
@click.option("--trials", type=click.IntRange(min=1), default=10, show_default=True, help="Trials in all.")
@click.option("--trial-epochs", type=click.IntRange(min=1), default=10, show_default=True, help="Epochs of a trial.")
@click.option("--resume", is_flag=True, help="Go on with the search that is in --out.")
@options("data", "out", "seed", "split", "threads")
def report_search(
    trials: int, trial_epochs: int, resume: bool, data: Path, out: Path, seed: int, split_seed: int, threads: int
) -> None:
    """Section 2.9.2, the report's space: two convolutions, by KerasTuner's BayesianOptimization.

    With KERASTUNER_TUNER_ID, KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT set, the same command in several processes
    is the chief and the workers of one search.
    """
    require_extra("keras_tuner", "study")
    from ..training.classifier.dataset_files import load_dataset
    from ..training.classifier.partition import split_dataset
    from ..training.classifier.recipe import RECIPES
    from ..training.search.keras_tuner_search import search_report
    from ..training.threads import set_threads

    set_threads(threads)
    recipe = RECIPES["optimised"]
    parts = split_dataset(load_dataset(data, recipe.margin, unnamed=True), split_seed)
    learn = parts.train.take(parts.train.labelled)
    rows = search_report(
        (learn.images(recipe.size), learn.labels),
        (parts.validation.images(recipe.size), parts.validation.labels),
        out,
        trials,
        trial_epochs,
        seed,
        resume,
        learn.classes,
        say=_say,
    )
    for row in rows:
        click.echo(json.dumps(row))
