"""Commands that evaluate on the test part and write the page of results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click
from click.core import ParameterSource

from ..errors import require_extra
from .options import FILE, FOLDER, options

RESULTS = click.option(
    "--results",
    type=FOLDER,
    default=Path("study-results"),
    show_default=True,
    help="Folder of the results, relative to the working directory.",
)


def _file_name(_: click.Context, __: click.Parameter, name: str) -> str:
    """Return a name that a file can have, not a path."""
    if not name.strip() or name.startswith(".") or set(name) & set("/\\") or not name.isprintable():
        raise click.BadParameter(f"'{name}' is not the name of a result: write letters and digits, not a path")
    return name


@click.command("evaluate")
@click.argument("name", callback=_file_name)
@click.argument("runs", nargs=-1, required=True, type=FOLDER)
@click.option("--bundle", type=FOLDER, help="Bundle exported from the run; its int8 network is evaluated too.")
@click.option("--ensemble", type=FILE, help="ensemble.json with the weights of RUNS.")
@click.option("--shares", help="Weights of RUNS in their order, e.g. 0.6,0.4; default: equal.")
@RESULTS
@options("data", "split")
# Many parameters because click passes one for each option.
def evaluate(
    name: str,
    runs: Sequence[Path],
    bundle: Path | None,
    ensemble: Path | None,
    shares: str | None,
    results: Path,
    data: Path,
    split_seed: int,
) -> None:
    """Evaluate finished RUNS on the test part and save the result as NAME.

    Several runs are evaluated together, by their averaged probabilities; the temperature of the average is fitted on
    their validation part.
    """
    require_extra("tensorflow", "train")
    from ..benchmarks.accuracy.classifier_results import evaluate_on_test
    from ..training.study.ensembles import ensemble_temperature, parse_shares, read_ensemble

    if shares and ensemble:
        raise click.UsageError("--shares and --ensemble both give the weights of RUNS: give one of them")
    if ensemble:
        weights, temperature = read_ensemble(ensemble, runs)
    else:
        weights = parse_shares(shares, len(runs)) if shares else [1 / len(runs)] * len(runs)
        temperature = ensemble_temperature(runs, weights) if len(runs) > 1 else 1.0
    result = evaluate_on_test(
        name,
        runs,
        weights,
        data,
        results,
        temperature=temperature,
        bundle=bundle,
        split_seed=split_seed,
    )
    click.echo(json.dumps(result.to_dict(), indent=1))


@click.command("calibrate")
@click.argument("run", type=FOLDER)
@options("data", "split")
def calibrate(run: Path, data: Path, split_seed: int) -> None:
    """Choose temperature, abstention and limits of a classifier again.

    RUN is a finished run of a classifier.

    They are chosen on its validation part and on views of it as of other telescopes, and stored in RUN for the next
    export; the network stays as it is.
    """
    require_extra("tensorflow", "train")
    from ..training.study.recalibration import recalibrate

    click.echo(json.dumps(recalibrate(run, data, split_seed), indent=1))


@click.command("evaluate-detectors")
@click.argument("runs", nargs=-1, required=True, metavar="TITLE=RUN...")
@click.option("--rounds", type=click.IntRange(min=1), default=50, show_default=True, help="Number of timed inferences.")
@click.option("--add", is_flag=True, help="Add runs, e.g. of other seeds, to the saved results; these are not timed.")
@click.option("--again", is_flag=True, help="Measure the bundle of a saved row again: TITLE=BUNDLE; no run is needed.")
@RESULTS
@options("data", "seed")
# Many parameters because click passes one for each option.
def evaluate_detectors(
    runs: Sequence[str], rounds: int, add: bool, again: bool, results: Path, data: Path, seed: int
) -> None:
    """Evaluate exported detectors on held-out images and save the results.

    None of the detectors was trained on these images. The int8 networks are timed alternately.
    """
    require_extra("pycocotools", "bench")
    from ..benchmarks.accuracy.detector_results import FILE as FILE_NAME
    from ..benchmarks.accuracy.detector_results import evaluate_again
    from ..benchmarks.accuracy.detector_results import evaluate_detectors as evaluate_runs

    named = _named(runs)
    if add and again:
        raise click.UsageError("--add measures new rows, --again saved ones: give one of them")
    if not (add or again) and (results / FILE_NAME).exists():
        raise click.UsageError(
            f"{results / FILE_NAME} holds results already: --add adds to them, --again measures a row again; to start "
            "again, delete it or name another --results"
        )
    if again:
        for title, folder in named.items():
            evaluate_again(title, folder, data, results)
            click.echo(f"measured again: {title}")
        return
    result = evaluate_runs(named, data, results, seed=seed, rounds=rounds, add=add)
    click.echo(json.dumps(result.to_dict(), indent=1))


@click.command("pictures")
@click.argument("runs", nargs=-1, required=True, metavar="TITLE=RUN...")
@click.option("--docs", type=FOLDER, required=True, help="Folder for study.md and the pictures in study/.")
@options("data", "split", "seed")
def pictures(runs: Sequence[str], docs: Path, data: Path, split_seed: int, seed: int) -> None:
    """Write a page of curves, maps, activations and filters of RUNS.

    It shows ROC curves, class activation maps, activations and filters of finished runs.

    Scores are of the test part; the galaxies shown are drawn, so that the page holds no image of a survey.
    """
    require_extra("tensorflow", "train")
    from ..benchmarks.study.pictures import write_pictures

    click.echo(f"written to {write_pictures(_named(runs), data, docs, split_seed, seed)}")


@click.command("save-table")
@click.argument("name")
@click.argument("folder", type=FOLDER)
@RESULTS
def save_table(name: str, folder: Path, results: Path) -> None:
    """Save a table in FOLDER for the page of results.

    NAME: views, balance, scratch, folds, report-search, search, cross or search-detector (of study NAME),
    detector-folds (of train detector --folds), detectors-scenes or detectors-hours (of study compare-detectors).
    """
    from ..benchmarks.accuracy.result_tables import save_table as save

    click.echo(f"written to {save(name, folder, results)}")


@click.command("report")
@RESULTS
@click.option("--out", type=FILE, help="Page to write; default: RESULTS.md in the folder of the results.")
@click.option("--comparison", type=FILE, help="Second page to write: the comparison with the university report.")
def report(results: Path, out: Path | None, comparison: Path | None) -> None:
    """Write the saved results and tables as a Markdown page."""
    from ..benchmarks.accuracy.results_page import page
    from ..benchmarks.study.report_page import report_page
    from ..files import write_atomic

    is_given = click.get_current_context().get_parameter_source("results") is not ParameterSource.DEFAULT
    if is_given and not results.is_dir():
        raise click.UsageError(f"{results} does not exist: name the folder of 'study evaluate' with --results")
    pages = {out or results / "RESULTS.md": page(results)}
    if comparison:
        pages[comparison] = report_page(results)
    for path, text in pages.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, text.encode())
        except (FileExistsError, NotADirectoryError) as error:
            raise click.UsageError(f"{path} cannot be written: {error.strerror}") from None
        click.echo(f"written to {path}")


def _named(runs: Sequence[str]) -> dict[str, Path]:
    """Read arguments such as ``ours=runs/detector``: title -> folder."""
    named = {}
    for text in runs:
        title, equals, folder = text.partition("=")
        if not (title and equals and folder):
            raise click.UsageError(f"'{text}' does not name a run: write TITLE=RUN_DIR, e.g. ours=runs/detector")
        if title in named:
            raise click.UsageError(f"the title '{title}' is given twice")
        named[title] = Path(folder)
    return named
