"""`galaxy-edge train`: train a network on a workstation."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..errors import require_extra
from .options import FILE, FOLDER, PATH, THREADS, options


@click.group()
def train() -> None:
    """Train a network on a workstation."""


def _training_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--threads", type=THREADS, default=os.cpu_count() or 1, show_default=True, help="Threads to use."),
        click.option("--resume", is_flag=True, help="Go on with the run that is in --out."),
        click.option("--epochs", type=click.IntRange(min=1), help="Epochs; default: the recipe's."),
        click.option("--seed", type=int, default=1, show_default=True, help="Seed of everything random."),
        click.option("--out", type=FOLDER, required=True, help="Run folder."),
    ):
        command = option(command)
    return command


@train.command("classifier")
@options("data", "boxy")
@_training_options
@click.option("--recipe", default="small", show_default=True, help="How to train: a network of the report, or ours.")
@click.option("--split-seed", type=int, default=1, show_default=True, help="Seed of the split.")
@click.option("--teacher", type=FOLDER, multiple=True, help="Run folder of a network to learn from; may be repeated.")
@click.option("--weights", help="Weights of a pretrained base: imagenet (VGG-16), a file, or none.")
@click.option("--network", type=FILE, help="picked.json of a search: the small network to train.")
@click.option("--width", type=float, help="Share of the channels, of the recipe mobilenet.")
def train_classifier(
    data: Path,
    out: Path,
    seed: int,
    epochs: int | None,
    resume: bool,
    threads: int,
    recipe: str,
    split_seed: int,
    teacher: tuple[Path, ...],
    weights: str | None,
    network: Path | None,
    width: float | None,
    keep_boxy: bool,
) -> None:
    """Train a network that names a galaxy's morphology; by default the small one that is shipped."""
    require_extra("tensorflow", "train")
    from dataclasses import replace

    from ..training.classifier.recipe import find_recipe, with_network, with_width
    from ..training.study.runs import train
    from .options import weights_of
    from .training_progress import show_training

    chosen = find_recipe(recipe)
    if network:
        chosen = with_network(chosen, network)
    if width is not None:
        chosen = with_width(chosen, width)
    if epochs:
        chosen = replace(chosen, epochs=epochs)
    begin = weights_of(weights, chosen)
    show_training(
        lambda report: train(
            data,
            out,
            chosen,
            seed=seed,
            split_seed=split_seed,
            resume=resume,
            threads=threads,
            teacher=teacher,
            weights=begin,
            keep_boxy=keep_boxy,
            report=report,
        ),
        out,
    )


@train.command("detector")
@click.option(
    "--data", type=FOLDER, envvar="GALAXY_EDGE_DATA", required=True, show_envvar=True, help="Folder of data sets."
)
@_training_options
@click.option("--images", type=click.IntRange(min=1), help="Scenes an epoch; default: the recipe's.")
@click.option(
    "--weights",
    type=PATH,
    help="What the backbone begins with: pretrained MobileNetV2 weights (.npz), or "
    "the run folder of train classifier --recipe mobilenet; default: random.",
)
@click.option(
    "--imitate",
    type=FILE,
    help="Pretrained MobileNetV2 (.npz) whose features the backbone learns to "
    "foretell beside its task; for networks that begin from random weights.",
)
@click.option(
    "--preset",
    type=click.Choice(["quick", "small", "stock", "efficientdet"]),
    help="Ours, with early stages that take the least time; ours with MobileNetV2; SSD MobileNetV2 FPNLite "
    "320; EfficientDet-Lite0. Default: quick, or small where --weights is given; options below change it.",
)
@click.option("--network", type=FILE, help="picked.json of a search for detectors, in place of a preset.")
@click.option("--size", type=click.IntRange(64, 1024), help="Side of the input in pixels, a multiple of 32.")
@click.option("--width", type=float, help="Share of MobileNetV2's channels, e.g. 0.1 to 1.0.")
@click.option("--fpn-filters", type=click.IntRange(min=1), help="Channels of pyramid and head.")
@click.option("--head-convs", type=click.IntRange(min=0), help="Convolutions of the head before its last.")
@click.option("--min-level", type=click.IntRange(2, 7), help="First level of the pyramid: its stride is 2 to that.")
@click.option("--max-level", type=click.IntRange(2, 7), help="Last level of the pyramid.")
@click.option(
    "--patience",
    type=click.IntRange(min=1),
    help="End after so many epochs without a better validation "
    "mAP@0.5, and keep the best weights; default: train to the end.",
)
@click.option(
    "--folds", type=click.IntRange(min=2), help="Train so many networks, each without one fold, and tell the spread."
)
@click.option("--skip-bad", is_flag=True, help="Leave faulty labels and pictures out, and tell how many they were.")
@click.option("--workers", help="host:port of every process that trains, with commas between; the same everywhere.")
@click.option(
    "--worker-index",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Which of them this one is; 0 is the chief.",
)
def train_detector(
    data: Path,
    out: Path,
    seed: int,
    epochs: int | None,
    resume: bool,
    threads: int,
    images: int | None,
    preset: str | None,
    network: Path | None,
    folds: int | None,
    skip_bad: bool,
    workers: str | None,
    worker_index: int,
    **options: Any,
) -> None:
    """Train a network that finds galaxies; by default the SSD MobileNet that is shipped."""
    require_extra("official", "detector")
    from ..training.detector.cross_validation import train_folds
    from ..training.detector.distributed import Workers
    from ..training.detector.fit import train
    from ..training.detector.settings import PRESETS, DetectorSettings, read_picked_network
    from ..training.formats.samples import FaultyLabels
    from .training_progress import TrainingProgress, show_training

    if folds and workers:
        raise click.UsageError("--folds trains one network after the other, in one process: leave --workers out")
    if network and preset:
        raise click.UsageError("--network says what the network is like, as --preset does: leave one of them out")
    given = {"seed": seed, "threads": threads, "epochs": epochs, "images_per_epoch": images, **options}
    shape = read_picked_network(network) if network else PRESETS[preset or ("small" if options["weights"] else "quick")]
    chosen = shape | {name: value for name, value in given.items() if value is not None}
    try:
        settings = DetectorSettings(**chosen)
    except ValueError as problem:
        raise click.UsageError(str(problem)) from None
    skipped = _warn if skip_bad else None
    try:
        if folds:
            with TrainingProgress() as shown:
                train_folds(data, out, settings, folds, resume, shown.report, skipped)
            click.echo((out / "folds.md").read_text(encoding="utf-8"))
        else:
            together = Workers(tuple(map(str.strip, workers.split(","))) if workers else (), worker_index)
            show_training(
                lambda report: train(data, out, settings, resume, report, together, skipped), together.folder(out)
            )
    except FaultyLabels as problem:
        if skip_bad:
            raise  # nothing was left
        raise FaultyLabels(f"{problem}; --skip-bad leaves them out") from None


def _warn(message: str) -> None:
    click.echo(f"galaxy-edge: {message}", err=True)
