"""Commands on frames of real telescopes.

They are `eval night`, `composites` and `names`, and `data noise-model`.
"""

from __future__ import annotations

import json
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError, UserError, require_extra
from .options import COUNT, FILE, FOLDER, PATH, SEED_NUMBER, TILES

if TYPE_CHECKING:
    import numpy as np


MAX_EXPOSURES = 20
"""Maximum number of frames that are measured; more would hardly change the result."""
NOISE_ROWS = {
    "sky": "sky level, in the frames' units",
    "noise": "noise of a pixel, in the frames' units",
    "read_limit": "sky over noise",
    "temporal": "share of the noise that differs between frames",
    "pattern": "share of the noise that is the same in all frames",
    "rows": "banding of rows, in units of the noise",
    "columns": "banding of columns, in units of the noise",
    "neighbours": "correlation of neighbouring pixels",
    "hot": "hot pixels per million",
    "saturation": "highest level",
}
"""Descriptions of the fields of a noise model."""


def _depths(_context: click.Context, _option: click.Parameter, text: str) -> tuple[int, ...]:
    try:
        depths = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        depths = ()
    if not depths or min(depths) < 1 or max(depths) > 64:
        raise click.BadParameter("give numbers of frames from 1 to 64 with commas, e.g. 1,4,8")
    return depths


OUT = click.option(
    "--out", type=PATH, metavar="FILE", help="Also save the result as JSON, e.g. training/results/raw-night.json."
)


@click.command()
@click.argument("folder", type=PATH)
@click.option(
    "--truth",
    type=FILE,
    required=True,
    metavar="TABLE",
    help="CSV with file, object, target_x, target_y (pixels of the frame) and, optionally, galaxy (1 or 0).",
)
@click.option(
    "--depths",
    default="1,4,8,16",
    show_default=True,
    callback=_depths,
    help="Frames per stack, comma-separated.",
)
@click.option("--models", type=FOLDER, help="Folder with the two bundles; default: the shipped ones.")
@click.option("--tiles", type=TILES, default="auto", show_default=True, help="As in run.")
@OUT
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def night(
    folder: Path, truth: Path, depths: tuple[int, ...], models: Path | None, tiles: str, out: Path | None, as_json: bool
) -> None:  # fmt: skip
    """Count known galaxies found in the frames in FOLDER, singly and stacked.

    Where TABLE has no column galaxy, a catalogue decides, which needs the extra [catalogue].
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
    if _save(result.to_dict(), out, as_json):
        return
    _print(("depth", "object", "frames", "found", "share [95 %]", "false per frame [95 %]"), night_rows(result.depths))
    if result.unknown:
        click.echo(f"{result.unknown} frames are not in the table and were not counted")


@click.command()
@click.argument("frames", type=FOLDER)
@click.option(
    "--data",
    type=FOLDER,
    envvar="GALAXY_EDGE_DATA",
    required=True,
    show_envvar=True,
    help="A data-set folder, or a folder of them, with the galaxies to add.",
)
@click.option("--models", type=FOLDER, help="Folder with galaxy-detector-raw; default: the shipped one.")
@click.option("--repeats", type=COUNT, default=3, show_default=True, help="Times that each exposure is used.")
@click.option("--seed", type=SEED_NUMBER, default=1, show_default=True, help="Random seed.")
@OUT
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def composites(
    frames: Path, data: Path, models: Path | None, repeats: int, seed: int, out: Path | None, as_json: bool
) -> None:
    """Add galaxies to raw exposures, and count how many the detector and SEP find.

    FRAMES holds exposures as files or in zips, and plate_solutions.csv with file, object, target_x and target_y. The
    exposures and galaxies are those that the detector was not trained on. The parameters of SEP (Source Extractor), and
    a filter of its sources, are fitted on the other exposures; both are compared at the same number of false
    detections.
    """
    for package, extra in (("sep", "bench"), ("sklearn", "bench"), ("astropy", "fits")):
        require_extra(package, extra)
    from ..benchmarks.accuracy.composites import composite_rows, evaluate_composites, false_text, held_out_cutouts
    from ..runtime.inference.bundles import RAW_DETECTOR, load_bundle
    from ..runtime.inference.raw_detector import RawDetector
    from ..training.scenes.raw_frames import read_raw_frames
    from .terminal.progress_bar import ProgressBar

    bundle = load_bundle(models, RAW_DETECTOR)
    detector = RawDetector(bundle, bundle.default_variant)
    exposures, cutouts = list(read_raw_frames(frames)), held_out_cutouts(data, [bundle])
    with ProgressBar("frames") as progress:
        result = evaluate_composites(detector, exposures, cutouts, repeats, seed, progress)
    if not _save(result.to_dict(), out, as_json):
        heads = ("signal in sigma", "galaxies", "detector [95 %]", "SEP [95 %]", "SEP, filter fitted [95 %]")
        _print(heads, composite_rows(result))
        click.echo(f"{false_text(result.detector)}.")


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
    """Compare classes of Messier and NGC galaxies with catalogued types.

    The catalogued types are Hubble types.
    """
    from ..benchmarks.accuracy.names import evaluate_names, name_rows
    from ..runtime.inference.bundles import CLASSIFIER, load_bundle
    from ..runtime.inference.classifier import Classifier

    require_extra("pyongc", "catalogue")
    bundle = load_bundle(models, CLASSIFIER)
    result = evaluate_names(data, Classifier(bundle, bundle.default_variant))
    if as_json:
        click.echo(json.dumps(result.to_dict()))
    else:
        _print(
            ("set", "galaxies", "right group [95 %]", "marked sure", "of these correct [95 %]"), name_rows(result.sets)
        )


@click.command("noise-model")
@click.argument("frames", type=PATH)
@click.option("--out", type=PATH, metavar="FILE", help="Save the result as JSON.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def noise_model(frames: Path, out: Path | None, as_json: bool) -> None:
    """Measure a camera's noise from raw exposures.

    FRAMES is a FITS file, or a folder or zip of FITS files in order of time.

    The first 20 exposures are used; all must be of one camera and setting, best of one night and one pointing.
    """
    from ..training.scenes.noise_model import measure_noise

    if not frames.exists():
        raise UsageError(f"'{frames}' does not exist: give a raw exposure, or a folder or zip of them")
    names, values, pattern = _read_exposures(frames)
    result = {"bayer": pattern, "files": names, **measure_noise(values, pattern).plain()}
    if not _save(result, out, as_json):
        click.echo(_noise_table(result))


def _read_exposures(path: Path) -> tuple[list[str], list[np.ndarray], str | None]:
    """Return names and raw values of the exposures, and their Bayer pattern.

    Raises:
        UsageError: a file is not a raw exposure, or one is of another size or pattern than the first.
    """
    from ..runtime.sources.open_source import open_source

    names: list[str] = []
    values: list[np.ndarray] = []
    pattern: str | None = None
    for frame in islice(open_source(str(path), sequence=True), MAX_EXPOSURES):
        if frame.raw is None:
            raise UsageError(f"{frame.source} is an image of 8 bits; a noise model needs raw exposures, e.g. FITS")
        if values and (frame.raw.shape, frame.cfa) != (values[0].shape, pattern):
            raise UsageError(
                f"{frame.source} is of another camera or setting than {names[0]}: its size or Bayer pattern differs; "
                "measure each camera separately"
            )
        names.append(frame.source)
        values.append(frame.raw)
        pattern = frame.cfa
    return names, values, pattern


def _noise_table(result: dict[str, Any]) -> str:
    lines = [f"{result['frames']} frames, {result['bayer'] or 'no Bayer pattern'}"]
    if result["channels"] == 3:
        lines.append("values for red, green, blue where there are three")
    width = max(map(len, NOISE_ROWS.values()))
    for key, title in NOISE_ROWS.items():
        value = result[key]
        parts = value if isinstance(value, list) else [value]
        lines.append(f"{title:{width}}  {'  '.join(f'{part:g}' for part in parts)}")
    return "\n".join(lines)


def _save(result: dict[str, Any], out: Path | None, as_json: bool) -> bool:
    """Save and print a result as JSON if requested; return whether it was printed."""
    if out:
        try:
            out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise UserError(f"--out {out} cannot be written: {error.strerror}") from None
        click.echo(f"written to {out}", err=True)
    if as_json:
        click.echo(json.dumps(result))
    return as_json


def _print(heading: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    from rich.table import Table

    from ..runtime.monitoring.console import PlainConsole

    table = Table(*heading)
    for row in rows:
        table.add_row(*row)
    PlainConsole(width=None if sys.stdout.isatty() else 120).print(table)
