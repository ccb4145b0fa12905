"""Commands that search for a network.

They search for small classifiers, small detectors, and in the report's space.
"""

from __future__ import annotations

import json
from pathlib import Path

import click

from ..errors import require_extra
from .options import FOLDER, Number, options
from .terminal.logging_setup import log_like_this_process


# Many parameters because click passes one for each option.
@click.command("search")
@click.option("--trials", type=click.IntRange(min=1), default=40, show_default=True, help="Total number of trials.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes on this machine.")
@click.option("--trial-epochs", type=click.IntRange(min=1), default=24, show_default=True, help="Epochs per trial.")
@click.option("--max-macs", type=click.IntRange(min=1), help="Maximum multiply-adds of a network.")
@click.option("--max-kib", type=Number(min=1), help="Maximum size of its int8 file in KiB.")
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
    """Search small classifiers for macro F1 and cost together.

    Run the same command in a second process, or on another machine with the same --out, to share the work. Run it
    again after an interruption to resume.
    """
    require_extra("optuna", "study")
    from ..training.classifier.dataset_files import load_dataset
    from ..training.search.classifier_trial import Trial
    from ..training.search.search import search as run_search
    from ..training.search.study_store import Limits

    dataset = load_dataset(data, unnamed=True)  # as the trials do
    labelled = dataset.take(dataset.labelled)
    about = {"data": labelled.hash, "loaded": dataset.hash, "split_seed": split_seed, "epochs": trial_epochs}
    trial = Trial(data, trial_epochs, split_seed, seed, threads)
    trial.check()
    run_search(
        trial,
        out,
        trials,
        seed,
        Limits(max_macs, max_kib),
        workers,
        classes=len(dataset.classes),
        about=about,
        initialize=log_like_this_process(),
    )
    _print_front(out, max_macs, max_kib)


@click.command("pick")
@click.argument("folder", type=FOLDER)
@click.option("--max-macs", type=click.IntRange(min=1), help="Maximum multiply-adds of the network.")
@click.option("--max-kib", type=Number(min=1), help="Maximum size of its int8 file in KiB.")
def pick(folder: Path, max_macs: int | None, max_kib: float | None) -> None:
    """Pick the best network within a budget from the search in FOLDER."""
    require_extra("optuna", "study")
    _print_front(folder, max_macs, max_kib)


def _print_front(folder: Path, max_macs: int | None, max_kib: float | None) -> None:
    from ..training.search.pareto_front import write_front

    chosen, space = write_front(folder, max_macs, max_kib)
    click.echo((folder / "front.md").read_text(encoding="utf-8"))
    click.echo(
        f"picked: trial {chosen.number}, {chosen.macs / 1e6:.2f} M multiply-adds, "
        f"{chosen.int8_bytes / 1024:.0f} KiB, {space.score[1]} {chosen.score:.3f} on validation"
    )
    click.echo("next: " + space.use.format(picked=folder / "picked.json"))


# Many parameters because click passes one for each option.
@click.command("search-detector")
@click.option("--trials", type=click.IntRange(min=1), default=20, show_default=True, help="Total number of trials.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes on this machine.")
@click.option("--trial-epochs", type=click.IntRange(min=1), default=6, show_default=True, help="Epochs per trial.")
@click.option("--images", type=click.IntRange(min=16), default=800, show_default=True, help="Scenes per epoch.")
@click.option("--max-macs", type=click.IntRange(min=1), help="Maximum multiply-adds of a network.")
@click.option("--max-kib", type=Number(min=1), help="Maximum size of its int8 file in KiB.")
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
    """Search small detectors for mAP@0.5 and cost together.

    Works like 'study search': several processes and machines can share a search, and it can be resumed.
    """
    require_extra("optuna", "study")
    require_extra("official", "detector")
    from ..training.data.splits import data_hash
    from ..training.formats.read_set import read_set
    from ..training.search.detector_space import DETECTORS
    from ..training.search.detector_trial import DetectorTrial
    from ..training.search.search import search as run_search
    from ..training.search.study_store import Limits

    about = {
        "data": data_hash(sample.labels_digest() for sample in read_set(data)),
        "epochs": trial_epochs,
        "images": images,
    }
    trial = DetectorTrial(data, trial_epochs, images, seed, threads)
    trial.check()
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
        initialize=log_like_this_process(),
    )
    _print_front(out, max_macs, max_kib)


@click.command("report-search")
@click.option("--trials", type=click.IntRange(min=1), default=10, show_default=True, help="Total number of trials.")
@click.option("--trial-epochs", type=click.IntRange(min=1), default=10, show_default=True, help="Epochs per trial.")
@click.option("--resume", is_flag=True, help="Resume the search in --out.")
@options("data", "out", "seed", "split", "threads")
def report_search(
    trials: int, trial_epochs: int, resume: bool, data: Path, out: Path, seed: int, split_seed: int, threads: int
) -> None:
    """Search networks of two convolutions for accuracy with KerasTuner.

    Uses BayesianOptimization, like the university report. To share the work among several processes, set
    KERASTUNER_TUNER_ID, KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT in each, as KerasTuner documents.
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
    train = parts.train.take(parts.train.labelled)
    rows = search_report(
        (train.images(recipe.size), train.labels),
        (parts.validation.images(recipe.size), parts.validation.labels),
        out,
        trials,
        trial_epochs,
        seed,
        resume,
        train.classes,
    )
    for row in rows:
        click.echo(json.dumps(row))
