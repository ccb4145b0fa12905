"""`galaxy-edge eval`: measure bundles on labelled images."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from ..errors import UserError, require_extra
from ..runtime.inference.bundles import CLASSIFIER, DETECTOR
from .evaluate_sky import composites, names, night
from .options import ENGINES, FOLDER, SEED_NUMBER, THREADS, resolve_engine

Result = TypeVar("Result")


@click.group("eval")
def evaluate() -> None:
    """Measure bundles on labelled images."""


for command in (night, composites, names):
    evaluate.add_command(command)


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
        click.option("--threads", type=THREADS, help="Default: the device profile's."),
        click.option("--engine", type=ENGINES, help="Default: the device profile's."),
        click.option("--variant", default="int8", show_default=True, help="Variant of the network."),
        click.option(
            "--data",
            type=FOLDER,
            envvar="GALAXY_EDGE_DATA",
            required=True,
            show_envvar=True,
            help="A data-set folder, or a folder of them.",
        ),
    ):
        command = option(command)
    return command


HELD_OUT = click.option("--held-out", is_flag=True, help="Leave out the images that the bundle was trained on.")
UNSEEN = click.option("--unseen", is_flag=True, hidden=True)  # the old name of --held-out
SEED = click.option("--seed", type=SEED_NUMBER, default=1, show_default=True, help="Seed of the synthetic scenes.")


@evaluate.command("detector")
@click.option("--bundle", "path", type=FOLDER, help="Bundle; default: the shipped one.")
@_options
@HELD_OUT
@UNSEEN
@SEED
@click.option(
    "--tiles", default="off", show_default=True, help="Tiles of each scene in addition to the whole, e.g. 2x2, or auto."
)
@click.option("--out", type=FOLDER, help="Folder for report.json, report.md and plots.")
def detector(
    path: Path | None,
    data: Path,
    variant: str,
    engine: str | None,
    threads: int | None,
    as_json: bool,
    held_out: bool,
    unseen: bool,
    seed: int,
    tiles: str,
    out: Path | None,
) -> None:
    """Measure a detector on all kinds of scenes, next to baselines.

    Baselines: a constant box, SEP, and SEP with a fitted filter.

    \b
    galaxy-edge eval detector --data galaxy-data --out report
    """
    # Many parameters because click passes each option as one.
    from ..benchmarks.accuracy.evaluate import evaluate_detector
    from ..benchmarks.accuracy.report import detector_table, write_report
    from ..models.bundle import Bundle, shipped_bundle_path
    from ..runtime.imaging.tiling import parse_grid

    parse_grid(tiles)  # before minutes of work
    bundle = Bundle.load(path or shipped_bundle_path(DETECTOR), "detect")
    try:
        if out:
            out.mkdir(parents=True, exist_ok=True)  # before minutes of work
    except OSError as error:
        raise UserError(f"--out {out} cannot be created: {error.strerror}") from None
    result = _measure(
        lambda progress: evaluate_detector(
            bundle,
            data,
            variant,
            *resolve_engine(engine, threads),
            progress,
            held_out=held_out or unseen,
            seed=seed,
            tiles=tiles,
        )
    )
    click.echo(json.dumps(result.to_dict()) if as_json else detector_table(result))
    for file in write_report(result, out) if out else ():
        click.echo(f"written to {file}", err=True)


@evaluate.command("classifier")
@click.option("--bundle", "path", type=FOLDER, help="Bundle; default: the shipped one.")
@_options
def classifier(
    path: Path | None, data: Path, variant: str, engine: str | None, threads: int | None, as_json: bool
) -> None:
    """Measure a classifier on every image with a Galaxy10 class."""
    from ..benchmarks.accuracy.evaluate import evaluate_classifier
    from ..models.bundle import Bundle, shipped_bundle_path
    from .terminal.training_progress import classifier_table

    bundle = Bundle.load(path or shipped_bundle_path(CLASSIFIER), "classify")
    result = _measure(
        lambda progress: evaluate_classifier(bundle, data, variant, *resolve_engine(engine, threads), progress)
    )
    if as_json:
        click.echo(json.dumps(result.to_dict()))
    else:
        click.echo(classifier_table({"all": result.to_dict()}))


@evaluate.command("pipeline")
@click.option("--detector", "detect", type=FOLDER, help="Bundle; default: the shipped one.")
@click.option("--classifier", "classify", type=FOLDER, help="Bundle; default: the shipped one.")
@_options
@HELD_OUT
@UNSEEN
@SEED
def pipeline(
    detect: Path | None,
    classify: Path | None,
    data: Path,
    variant: str,
    engine: str | None,
    threads: int | None,
    as_json: bool,
    held_out: bool,
    unseen: bool,
    seed: int,
) -> None:
    """Measure both networks together: galaxies found and classified correctly."""
    # Many parameters because click passes each option as one.
    if held_out or unseen:
        require_extra("tensorflow", "train")  # the classifier's images are split as for its training
    from ..benchmarks.accuracy.pipeline import evaluate_pipeline
    from ..benchmarks.accuracy.report import pipeline_table
    from ..models.bundle import Bundle, shipped_bundle_path

    finder = Bundle.load(detect or shipped_bundle_path(DETECTOR), "detect")
    namer = Bundle.load(classify or shipped_bundle_path(CLASSIFIER), "classify")
    result = _measure(
        lambda progress: evaluate_pipeline(
            finder,
            namer,
            data,
            variant,
            *resolve_engine(engine, threads),
            progress,
            held_out=held_out or unseen,
            seed=seed,
        )
    )
    if as_json:
        click.echo(json.dumps({name: situation.to_dict() for name, situation in result.items()}))
    else:
        click.echo(pipeline_table(result))


def _measure(work: Callable[[Callable[[int, int], None]], Result]) -> Result:
    from .terminal.progress_bar import ProgressBar

    with ProgressBar("images") as progress:
        return work(progress)
