"""`galaxy-edge eval night` and `eval names`: measure on frames of real telescopes and on catalogued galaxies."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from ..errors import UsageError, require_extra
from .options import FILE, FOLDER, PATH, TILES


def _depths(_context: click.Context, _option: click.Parameter, text: str) -> tuple[int, ...]:
    try:
        depths = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        depths = ()
    if not depths or min(depths) < 1 or max(depths) > 64:
        raise click.BadParameter("give numbers of frames from 1 to 64 with commas, e.g. 1,4,8")
    return depths


@click.command()
@click.argument("folder", type=PATH)
@click.option(
    "--truth",
    type=FILE,
    required=True,
    metavar="TABLE",
    help="CSV with file, object, target_x, target_y (pixels of the frame) and, optionally, galaxy (1 or 0).",
)
@click.option("--depths", default="1,4,8,16", show_default=True, callback=_depths, help="Depths of stack, with commas.")
@click.option("--models", type=FOLDER, help="Folder with the two bundles; default: the shipped ones.")
@click.option("--tiles", type=TILES, default="auto", show_default=True, help="As in run.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def night(
    folder: Path, truth: Path, depths: tuple[int, ...], models: Path | None, tiles: str, as_json: bool
) -> None:  # fmt: skip
    """Count how often known galaxies are found in the frames in FOLDER, alone and by depth of stack.

    Without the column galaxy, the catalogue (pip install 'galaxy-edge[catalogue]') says which objects are galaxies.
    """
    from ..benchmarks.accuracy.catalogue import is_galaxy
    from ..benchmarks.accuracy.night import evaluate_night, night_rows, read_truth
    from ..runtime.run_config import RunConfig
    from .terminal.progress_bar import ProgressBar

    if not folder.exists():
        raise UsageError(f"'{folder}' does not exist: give a folder or zip of frames")
    targets = read_truth(truth, is_galaxy)
    config = RunConfig(source=str(folder), models=models, tiles=tiles, video=False)
    with ProgressBar("frames") as progress:
        result = evaluate_night(folder, targets, config, depths, progress)
    if as_json:
        click.echo(json.dumps(result))
        return
    _print(("depth", "object", "frames", "found", "share [95 %]", "false a frame [95 %]"), night_rows(result))
    if result["unknown"]:
        click.echo(f"{result['unknown']} frames are not in the table and were not counted")


@click.command()
@click.option(
    "--data",
    type=FOLDER,
    envvar="GALAXY_EDGE_DATA",
    required=True,
    show_envvar=True,
    help="A data-set folder with boxes.csv of catalogued objects, or a folder of them.",
)
@click.option("--models", type=FOLDER, help="Folder with the classifier's bundle; default: the shipped one.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def names(data: Path, models: Path | None, as_json: bool) -> None:
    """Compare the names of Messier and NGC galaxies with their catalogued Hubble types, by coarse group."""
    from ..benchmarks.accuracy.names import evaluate_names, name_rows
    from ..runtime.inference.bundles import CLASSIFIER, load_bundle
    from ..runtime.inference.classifier import Classifier

    require_extra("pyongc", "catalogue")
    bundle = load_bundle(models, CLASSIFIER)
    result = evaluate_names(data, Classifier(bundle, bundle.default_variant))
    if as_json:
        click.echo(json.dumps(result))
    else:
        _print(("set", "galaxies", "right group [95 %]", "marked sure", "of these right [95 %]"), name_rows(result))


def _print(heading: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    from rich.table import Table

    from ..runtime.monitoring.console import PlainConsole

    table = Table(*heading)
    for row in rows:
        table.add_row(*row)
    PlainConsole(width=None if sys.stdout.isatty() else 120).print(table)
