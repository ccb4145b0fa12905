"""The commands that keep what was measured, and write the page of results."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path

import click

from ..errors import require_extra
from .options import FILE, FOLDER, options


@click.command("judge")
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
    require_extra("tensorflow", "train")
    from ..benchmarks.accuracy.classifier_results import RESULTS
    from ..benchmarks.accuracy.classifier_results import judge as pass_judgement
    from ..training.study.ensembles import read_ensemble

    weights, temperature = read_ensemble(blend, runs)
    verdict = pass_judgement(
        name,
        runs,
        weights,
        data,
        temperature=temperature,
        bundle=bundle,
        split_seed=split_seed,
        results=results or RESULTS,
    )
    click.echo(json.dumps(verdict, indent=1))


@click.command("judge-detectors")
@click.argument("runs", nargs=-1, required=True, metavar="TITLE=RUN...")
@click.option("--rounds", type=click.IntRange(min=1), default=50, show_default=True, help="Inferences that are timed.")
@click.option("--add", is_flag=True, help="Keep what was judged before; for runs of other seeds, which are not timed.")
@click.option("--results", type=FOLDER, help="Folder for the verdict; default: that of the package.")
@options("data", "seed")
def judge_detectors(runs: Sequence[str], rounds: int, add: bool, results: Path | None, data: Path, seed: int) -> None:
    """Judge exported detectors on pictures that none was trained on, time them in turns, and keep the verdict."""
    require_extra("pycocotools", "bench")
    from ..benchmarks.accuracy.classifier_results import RESULTS
    from ..benchmarks.accuracy.detector_results import judge_detectors as pass_judgement

    named = {}
    for text in runs:
        title, equals, folder = text.partition("=")
        if not (title and equals and folder):
            raise click.UsageError(f"'{text}' names no run: write TITLE=RUN_DIR, e.g. ours=runs/detector")
        named[title] = Path(folder)
    say = functools.partial(click.echo, err=True)
    verdict = pass_judgement(named, data, seed, rounds, say, results or RESULTS, add)
    click.echo(json.dumps(verdict, indent=1))


@click.command("keep")
@click.argument("name")
@click.argument("folder", type=FOLDER)
@click.option("--results", type=FOLDER, help="Folder of verdicts; default: that of the package.")
def keep(name: str, folder: Path, results: Path | None) -> None:
    """Keep the table that `study NAME` wrote into FOLDER for the page of results."""
    from ..benchmarks.accuracy.classifier_results import RESULTS
    from ..benchmarks.accuracy.result_tables import keep as keep_table

    click.echo(f"written to {keep_table(name, folder, results or RESULTS)}")


@click.command("results")
@click.option("--results", type=FOLDER, help="Folder of verdicts; default: that of the package.")
@click.option("--out", type=FILE, help="Page to write; default: training/RESULTS.md of the package.")
def results(results: Path | None, out: Path | None) -> None:
    """Write the tables of the study from the verdicts that are kept."""
    from ..benchmarks.accuracy.classifier_results import PAGE, RESULTS
    from ..benchmarks.accuracy.results_page import page

    place = out or PAGE
    place.write_text(page(results or RESULTS), encoding="utf-8")
    click.echo(f"written to {place}")
