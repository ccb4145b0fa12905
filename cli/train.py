"""`galaxy-edge train`: train a network on a workstation."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import require_extra
from .options import FILE, FOLDER, PATH, SEED_NUMBER, THREADS, Number, options

if TYPE_CHECKING:
    from ..training.detector.settings import DetectorSettings


@click.group()
def train() -> None:
    """Train a network on a workstation."""


def _training_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--threads", type=THREADS, default=os.cpu_count() or 1, show_default=True, help="Threads to use."),
        click.option("--resume", is_flag=True, help="Continue the run in --out."),
        click.option("--epochs", type=click.IntRange(min=1), help="Number of epochs; default: the recipe's."),
        click.option("--seed", type=SEED_NUMBER, default=1, show_default=True, help="Random seed."),
        click.option("--out", type=FOLDER, required=True, help="Run folder."),
    ):
        command = option(command)
    return command


# Many parameters because click passes one for each option.
@train.command("classifier")
@options("data", "boxy")
@_training_options
@click.option("--recipe", default="small", show_default=True, help="Network and how it is trained.")
@options("split")
@click.option(
    "--teacher",
    type=FOLDER,
    multiple=True,
    help="Run folder or bundle of a network to distil from; may be repeated.",
)
@click.option(
    "--start",
    type=FOLDER,
    help="Bundle of an exported network of the recipe: continue its training, and distil from it too.",
)
@click.option("--weights", help="Weights of a pretrained base: imagenet (VGG-16), a file, or none.")
@click.option("--network", type=FILE, help="The picked.json of a search: train its network.")
@click.option("--width", type=float, help="Channel multiplier of the recipe mobilenet.")
@click.option("--votes", is_flag=True, help="Train on the shares of votes of Galaxy Zoo 2, where there are any.")
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
    start: Path | None,
    weights: str | None,
    network: Path | None,
    width: float | None,
    votes: bool,
    keep_boxy: bool,
) -> None:
    """Train a classifier of galaxy morphology.

    By default, it has the layers of the shipped network; docs/models.md has the commands that trained that one.

    \b
    galaxy-edge train classifier --data galaxy-data --out runs/classifier
    """
    require_extra("tensorflow", "train")
    from dataclasses import replace

    from ..training.classifier.recipe import find_recipe, with_network, with_width
    from ..training.study.runs import train
    from .options import weights_of
    from .terminal.training_progress import show_training

    chosen = find_recipe(recipe)
    if network:
        chosen = with_network(chosen, network)
    if width is not None:
        chosen = with_width(chosen, width)
    chosen = replace(chosen, votes=votes, epochs=epochs or chosen.epochs)
    initial = weights_of(weights, chosen)
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
            start=start,
            weights=initial,
            keep_boxy=keep_boxy,
            report=report,
        ),
        out,
    )


# Many parameters because click passes one for each option.
@train.command("detector")
@click.option(
    "--data", type=FOLDER, envvar="GALAXY_EDGE_DATA", required=True, show_envvar=True, help="Folder of data sets."
)
@_training_options
@click.option("--images", type=click.IntRange(min=1), help="Scenes per epoch; default: the recipe's.")
@click.option(
    "--weights",
    type=PATH,
    help="Initial weights of the backbone: a pretrained MobileNetV2 (.npz), or the run folder of "
    "train classifier --recipe mobilenet; or of the whole network: a bundle's fp32.tflite; default: random.",
)
@click.option(
    "--distill-from",
    type=FILE,
    help="Pretrained MobileNetV2 (.npz) whose features the backbone also learns to predict; for networks "
    "that start from random weights.",
)
@click.option("--imitate", type=FILE, hidden=True)  # the old name of --distill-from
@click.option(
    "--preset",
    type=click.Choice(["nano", "quick", "base", "small", "stock", "efficientdet"]),
    help="quick: ours, with fast early stages; nano, base: the same, smaller or larger; small: ours with MobileNetV2; "
    "stock: SSD MobileNetV2 FPNLite 320; efficientdet: EfficientDet-Lite0. Default: quick, or small with pretrained "
    "--weights. The options below change it.",
)
@click.option("--network", type=FILE, help="The picked.json of a search for detectors, instead of a preset.")
@click.option("--size", type=click.IntRange(64, 1024), help="Side of the input in pixels, a multiple of 32.")
@click.option("--width", type=float, help="Channel multiplier of MobileNetV2, e.g. 0.1 to 1.0.")
@click.option(
    "--stage-blocks",
    type=click.IntRange(min=0),
    nargs=3,
    help="Of quick, nano and base: blocks in the stages of stride 8, 16 and 32, e.g. 1 2 1.",
)
@click.option(
    "--expansions",
    type=Number(1, min_open=True),
    nargs=3,
    help="Of these blocks in each stage, inner channels divided by outer ones, e.g. 2 2 3.",
)
@click.option("--fpn-filters", type=click.IntRange(min=1), help="Channels of pyramid and head.")
@click.option("--head-convs", type=click.IntRange(min=0), help="Convolutions of the head before its last one.")
@click.option("--min-level", type=click.IntRange(2, 7), help="First level of the pyramid; its stride is 2^level.")
@click.option("--max-level", type=click.IntRange(2, 7), help="Last level of the pyramid.")
@click.option(
    "--patience",
    type=click.IntRange(min=1),
    help="Stop after N epochs without a better validation mAP@0.5 and keep the best weights; default: never.",
)
@click.option(
    "--raw-frames",
    type=FOLDER,
    help="Raw exposures with a table plate_solutions.csv: most scenes are drawn like them, with their skies and noise.",
)
@click.option("--learning-rate", type=Number(0, 1, min_open=True), help="Peak of the learning rate; default: 0.002.")
@click.option("--raw-share", type=Number(0, 1), help="Share of scenes like raw exposures; default: 0.8.")
@click.option(
    "--teacher",
    type=FOLDER,
    help="Bundle of a detector with the same input size and anchors: its boxes and scores, averaged over the four "
    "flips of each scene, are targets too.",
)
@click.option(
    "--hard-share",
    type=Number(0, 1),
    help="Share of scenes in which the teacher finds something that is not a galaxy; default: 0.",
)
@click.option(
    "--scenes",
    multiple=True,
    metavar="KIND=SHARE",
    callback=lambda _, __, given: tuple(_scene_share(text) for text in given),
    help="Share of a kind of scenes, e.g. deep_field=0.15; may be repeated; the others keep their proportions. "
    "Default: survey 0.11 (frames around one galaxy), deepsky 0.17 (photographs), composed 0.13 (galaxies pasted onto "
    "a sky), deep_field 0.07 (many small ones), mosaic 0.04, close_up 0.10 (large galaxies); without galaxies: "
    "negative 0.15 (photographs), stars 0.13, nebula 0.10 (drawn).",
)
@click.option("--deep-fields", type=Number(0, 1), hidden=True)  # the old name of --scenes deep_field=SHARE
@click.option(
    "--folds", type=click.IntRange(min=2), help="Cross-validate: train N networks, each without one fold of the images."
)
@click.option("--skip-invalid", is_flag=True, help="Leave invalid labels and images out, and report their number.")
@click.option("--skip-bad", is_flag=True, hidden=True)  # the old name of --skip-invalid
@click.option("--workers", help="host:port of every training process, comma-separated, the same in each of them.")
@click.option(
    "--worker-index",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Position of this process in --workers; 0 is the chief.",
)
# Long because every option is a parameter.
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
    distill_from: Path | None,
    imitate: Path | None,
    deep_fields: float | None,
    skip_invalid: bool,
    skip_bad: bool,
    workers: str | None,
    worker_index: int,
    **options: Any,
) -> None:
    """Train a detector of galaxies; by default with the layers of the shipped one.

    \b
    galaxy-edge train detector --data galaxy-data --out runs/detector
    galaxy-edge train detector --data my-sky --preset nano --epochs 40 --out runs/nano
    """
    require_extra("official", "detector")
    from ..training.detector.settings import PRESETS, DetectorSettings, read_picked_network
    from ..training.formats.samples import InvalidLabelsError

    if folds and workers:
        raise click.UsageError("--folds trains one network after the other in one process: leave --workers out")
    if network and preset:
        raise click.UsageError("--network and --preset both choose the network: leave one of them out")
    # `imitate` is the setting's name in run.json.
    options |= {"seed": seed, "threads": threads, "epochs": epochs, "imitate": distill_from or imitate}
    options["images_per_epoch"] = images
    options["scenes"] += (("deep_field", deep_fields),) if deep_fields is not None else ()
    weights = options["weights"]
    pretrained = weights is not None and weights.suffix != ".tflite"
    shape = read_picked_network(network) if network else PRESETS[preset or ("small" if pretrained else "quick")]
    try:
        settings = DetectorSettings(**(shape | {name: value for name, value in options.items() if value is not None}))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if settings.architecture != "quick" and (options["stage_blocks"] or options["expansions"]):
        raise click.UsageError("--stage-blocks and --expansions are of the networks quick, nano and base")
    skip_invalid = skip_invalid or skip_bad
    try:
        _train_detector(data, out, settings, resume, skip_invalid, folds, workers, worker_index)
    except InvalidLabelsError as error:
        if skip_invalid:
            raise  # nothing valid was left
        raise InvalidLabelsError(f"{error}; --skip-invalid leaves them out") from None


def _scene_share(text: str) -> tuple[str, float]:
    """Return the kind of scene and its share of ``KIND=SHARE``."""
    kind, _, share = text.partition("=")
    try:
        return kind.strip(), float(share)
    except ValueError:
        raise click.BadParameter(f"'{text}' is not KIND=SHARE, e.g. deep_field=0.15") from None


def _train_detector(
    data: Path,
    out: Path,
    settings: DetectorSettings,
    resume: bool,
    skip_invalid: bool,
    folds: int | None,
    workers: str | None,
    worker_index: int,
) -> None:
    """Train one network, or one per fold, under a progress bar."""
    from ..training.detector.cross_validation import train_folds
    from ..training.detector.distributed import Workers
    from ..training.detector.fit import train
    from .terminal.training_progress import TrainingProgress, show_training

    if folds:
        with TrainingProgress() as progress:
            train_folds(data, out, settings, folds, resume, progress.report, skip_invalid)
        click.echo((out / "folds.md").read_text(encoding="utf-8"))
        return
    group = Workers(tuple(map(str.strip, workers.split(","))) if workers else (), worker_index)
    show_training(lambda report: train(data, out, settings, resume, report, group, skip_invalid), group.folder(out))
